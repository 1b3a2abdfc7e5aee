//! The findings of a verification.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The line cannot be parsed.
    Unreadable,
    /// The hash does not match the text.
    Changed,
    /// The record does not link to the one before it.
    Unlinked,
    /// Records between it and the previous one are missing.
    Missing,
    /// The record is duplicated or out of order.
    Misplaced,
    /// The signature was not made with one of the gateway's keys.
    BadCheckpoint,
    /// A checkpoint saw another record in this place.
    Replaced,
    /// A checkpoint saw later records, which are missing.
    CutOff,
    /// The record was removed, and no retention act reports it.
    Unjustified,
    /// The record was removed, and the act that reports it is not signed.
    UnsignedRemoval,
    /// The record comes after the end of its chain.
    AfterEnd,
    /// The chain has ended, and no record says how.
    NoEnd,
    /// The chain has ended, and no checkpoint covers its end.
    Unsigned,
    /// No key is available to verify any checkpoint.
    NoKey,
    /// The gateway that wrote the chain has signed none of it.
    NeverSigned,
    /// The database does not list the chain.
    Unlisted,
    /// The row's numbers or times differ from those of its records.
    Misfiled,
    /// A second record reports the same process's death.
    SecondDeath,
    /// The exported files contain no trusted checkpoint.
    NoCheckpoint,
    /// The anchor is missing, or has no checkpoint.
    NoAnchor,
    /// A checkpoint in the anchor is not trusted.
    BadAnchor,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "cannot be read",
            Self::Changed => "was changed",
            Self::Unlinked => "does not follow the record before it",
            Self::Missing => "is missing",
            Self::Misplaced => "is out of place",
            Self::BadCheckpoint => "is a checkpoint that cannot be trusted",
            Self::Replaced => "is not the record that a checkpoint covers",
            Self::CutOff => "is missing: the chain was truncated before it",
            Self::Unjustified => "was removed without a record of its retention",
            Self::UnsignedRemoval => "was removed by a retention that is not signed",
            Self::AfterEnd => "comes after the end of its chain",
            Self::NoEnd => "is the last of a chain that has ended, and no record says so",
            Self::Unsigned => "and those after it are not signed, though their chain has ended",
            Self::NoKey => "and all others are signed by no key that is trusted",
            Self::NeverSigned => "and all others of its chain were never signed by their gateway",
            Self::Unlisted => "is of a chain that the database does not list",
            Self::Misfiled => "is stored under numbers or times that are not those of its records",
            Self::SecondDeath => "reports a death that another record reports otherwise",
            Self::NoCheckpoint => "have no checkpoint that can be trusted",
            Self::NoAnchor => "is missing, or has no checkpoint: nothing can be compared with it",
            Self::BadAnchor => "has a checkpoint that cannot be trusted",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The chain, or the anchor's path.
    pub writer: String,
    /// The record's number, or the line of the anchor.
    pub seq: i64,
    pub fault: Fault,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writer, seq, fault, .. } = self;
        match fault {
            Fault::NoCheckpoint | Fault::NoAnchor => write!(f, "{writer} {fault}")?,
            Fault::BadAnchor => write!(f, "line {seq} of {writer} {fault}")?,
            _ => write!(f, "record {seq} of {writer} {fault}")?,
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// The result for one chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    pub first: i64,
    pub last: i64,
    pub hash: String,
    /// The last record that a checkpoint covers.
    pub checkpointed: i64,
}

/// The result of a verification.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub records: u64,
    pub removed: u64,
    pub checkpoints: u64,
    pub chains: BTreeMap<String, Found>,
    /// The first findings of each chain, in the order of the chains.
    pub findings: Vec<Finding>,
    /// The number of further findings, which are not listed.
    pub more: u64,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}
