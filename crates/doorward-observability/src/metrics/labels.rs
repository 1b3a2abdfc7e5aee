//! Labels of metrics.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    pub server: String,
    pub method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabels {
    pub server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    pub server: String,
    pub tool: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UserLabels {
    pub tenant: String,
    pub user: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeviationLabels {
    pub server: String,
    pub deviation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabels {
    pub limit: String,
    pub dry_run: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingLabels {
    pub direction: &'static str,
    pub signal: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DataLabels {
    pub direction: &'static str,
    pub class: String,
    pub action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedLabels {
    pub direction: &'static str,
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReplicaLabels {
    pub server: String,
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LifecycleLabels {
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CacheLabels {
    pub server: String,
    pub outcome: CacheOutcome,
}

/// The outcome of a cache lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)] // The labels' own spelling.
pub enum CacheOutcome {
    hit,
    /// A stale response was served while a new one was fetched, or because none could be fetched.
    stale,
    /// Joined an identical request in flight.
    joined,
    miss,
}

impl CacheOutcome {
    pub const ALL: [Self; 4] = [Self::hit, Self::stale, Self::joined, Self::miss];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::hit => "hit",
            Self::stale => "stale",
            Self::joined => "joined",
            Self::miss => "miss",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)] // The labels' own spelling.
pub enum Outcome {
    ok,
    /// The server's error, or bad input.
    error,
    /// A policy denied it.
    denied,
    /// A limit was reached.
    rate_limited,
    /// The server was unreachable, sent an invalid response or timed out.
    failure,
}

impl Outcome {
    pub const ALL: [Self; 5] =
        [Self::ok, Self::error, Self::denied, Self::rate_limited, Self::failure];
}
