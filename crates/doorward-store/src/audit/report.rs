//! The findings of a verification.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It cannot be read.
    Unreadable,
    /// Its text is not that of its hash.
    Changed,
    /// It does not follow the record before it.
    Unlinked,
    /// Records between it and the one before are not there.
    Missing,
    /// It comes once more, or after one that it comes before.
    Misplaced,
    /// Its signature is not one of the gateway's.
    BadCheckpoint,
    /// A checkpoint has seen another record in its place.
    Replaced,
    /// A checkpoint has seen records after it, which are not there.
    CutOff,
    /// It was taken away, and no record says that it was to be.
    Unjustified,
    /// It was taken away, and nobody has signed the record that says so.
    UnsignedRemoval,
    /// It comes after the end of its chain.
    AfterEnd,
    /// Its chain has ended, and no record says how.
    NoEnd,
    /// Its chain has ended, and no checkpoint vouches for it.
    Unsigned,
    /// There is no key with which any checkpoint could be trusted.
    NoKey,
    /// The gateway that wrote its chain has signed nothing of it.
    NeverSigned,
    /// The database does not list its chain.
    Unlisted,
    /// Its row gives other numbers or times than its records.
    Misfiled,
    /// Another record tells of the same process's death.
    SecondDeath,
    /// Exported files have no checkpoint that could be trusted.
    NoCheckpoint,
    /// The anchor is not there, or has no checkpoint.
    NoAnchor,
    /// A checkpoint in the anchor cannot be trusted.
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

/// One chain as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    pub first: i64,
    pub last: i64,
    pub hash: String,
    /// Up to where a checkpoint vouches for it.
    pub checkpointed: i64,
}

/// What checking has brought to light.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub records: u64,
    pub removed: u64,
    pub checkpoints: u64,
    pub chains: BTreeMap<String, Found>,
    /// The first of each chain's first, in the order of the chains.
    pub findings: Vec<Finding>,
    /// Further ones, which are not told.
    pub more: u64,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}
