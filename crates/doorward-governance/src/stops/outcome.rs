//! What comes of setting and lifting stops.

use serde::Serialize;

use super::{LONGEST_REASON, MOST_STOPS, Stop};

/// A stop that was set or lifted, and who knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopOutcome {
    #[serde(flatten)]
    pub stop: Stop,
    pub known_by: KnownBy,
    /// Whether a restart of this gateway changes nothing, with or without the database.
    pub survives_restart: bool,
}

/// Who obeys a stop, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// It is in the store: every replica obeys within a second.
    AllReplicas,
    /// The store cannot be written: this gateway obeys now, the others when the database is back.
    ThisGateway,
}

/// Why a stop was not set or lifted.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("a reason is required, of {LONGEST_REASON} characters at most")]
    Reason,
    #[error("there is no stop '{0}' in force")]
    Absent(String),
    #[error("{MOST_STOPS} stops are in force, the maximum: undo some first")]
    TooMany,
    #[error("the random number generator failed")]
    Randomness,
}
