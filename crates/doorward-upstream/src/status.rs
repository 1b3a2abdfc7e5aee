//! The status of a server, for people and programs.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::Server;
use doorward_config::{ReplicaGroup, Start};

/// Maximum number of hidden tools in a status.
const MOST_LEFT_OUT: usize = 100;

/// A tool that is hidden.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LeftOut {
    pub tool: String,
    pub why: String,
}

/// A list that could not be fetched.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FailedList {
    pub list: &'static str,
    pub why: String,
}

/// A server's status, for people and programs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct State {
    pub name: String,
    /// `up`, `down`, `starting` or `idle` (not used yet).
    pub state: &'static str,
    /// `modern`, `handshake`, or `both`: each client is served in its era.
    pub era: Option<String>,
    pub revision: Option<String>,
    pub transport: Option<&'static str>,
    /// State of the circuit breaker: `closed`, `open` after failures, `half_open` while it is retried.
    pub circuit: &'static str,
    /// The current concurrency limit, if it is adaptive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Duration of the last detection.
    pub latency_ms: Option<f64>,
    pub tools: Option<usize>,
    /// Hidden tools, with reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Tools whose schemas are not fully checked, with reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<LeftOut>,
    /// Lists that could not be fetched, with reasons: they are unchanged, or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_lists: Vec<FailedList>,
    pub prompts: Option<usize>,
    pub resources: Option<usize>,
    pub sessions: usize,
    /// Programs that wait for a session.
    #[serde(skip_serializing_if = "is_none")]
    pub prestarted: usize,
    /// The reason why it is down.
    pub problem: Option<String>,
    pub retry_in_ms: Option<u64>,
    /// The status of each replica.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaState>,
}

/// The status of one replica.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReplicaState {
    pub replica: String,
    pub group: ReplicaGroup,
    /// As for a server; `ejected` while it is out of rotation though it can be reached.
    pub state: &'static str,
    pub circuit: &'static str,
    pub in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // Serde's shape.
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Server {
    fn left_out(&self) -> Vec<LeftOut> {
        let left_out = self.catalog.left_out().into_iter();
        left_out.take(MOST_LEFT_OUT).map(|(tool, why)| LeftOut { tool, why }).collect()
    }

    fn unchecked(&self) -> Vec<LeftOut> {
        let unchecked = self.catalog.unchecked().into_iter();
        unchecked.take(MOST_LEFT_OUT).map(|(tool, why)| LeftOut { tool, why }).collect()
    }

    fn failed_lists(&self) -> Vec<FailedList> {
        let failed = self.catalog.failed().into_iter();
        failed.map(|(list, why)| FailedList { list, why }).collect()
    }

    pub fn state(&self) -> State {
        match &self.replicas {
            None => self.own_state(),
            Some(replicas) => replicas.state(self, self.own_state()),
        }
    }

    fn own_state(&self) -> State {
        let contact = self.known();
        let twin = self.known_twin();
        let health = self.health.lock();
        let counts = self.catalog.counts();
        State {
            name: self.name.to_string(),
            state: match (&contact, &health.last) {
                (Some(_), _) => "up",
                (None, Some(_)) => "down",
                (None, None) if self.settings.start == Start::Lazy => "idle",
                (None, None) => "starting",
            },
            era: contact.as_ref().map(|contact| match &twin {
                Some(_) => "both".into(),
                None => contact.era.to_string(),
            }),
            revision: contact.as_ref().map(|contact| contact.revision.to_string()),
            transport: contact.as_ref().map(|contact| contact.transport.as_str()),
            circuit: self.guard.circuit(),
            concurrency: self.guard.found_limit(),
            latency_ms: health.latency.map(doorward_core::millis),
            tools: counts.map(|counts| counts[0]),
            left_out: self.left_out(),
            unchecked: self.unchecked(),
            failed_lists: self.failed_lists(),
            prompts: counts.map(|counts| counts[1]),
            resources: counts.map(|counts| counts[2]),
            prestarted: self.prestarted.len(),
            sessions: self.pool.len() + twin.map_or(0, |twin| twin.pool.len()),
            problem: health.last.as_ref().map(|failure| match &failure.cause {
                Some(cause) => format!("{failure} ({cause})"),
                None => failure.to_string(),
            }),
            replicas: Vec::new(),
            retry_in_ms: health
                .retry_at
                .map(|at| at.saturating_duration_since(Instant::now()).as_millis() as u64),
        }
    }
}
