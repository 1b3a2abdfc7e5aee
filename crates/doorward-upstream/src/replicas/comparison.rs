//! The result of comparing a replica with the pinned definitions.

use std::time::Instant;

use arc_swap::ArcSwapOption;
use doorward_governance::pins::Kind as Pinned;
use doorward_mcp::method;
use tokio::sync::{Mutex, Notify};

use crate::Asked;

/// The state of one replica's comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// `None` until the comparison is complete.
    pub found: ArcSwapOption<Found>,
    /// Counts reasons for a new comparison: results from before the latest do not count.
    pub doubts: parking_lot::Mutex<u64>,
    pub comparing: Mutex<()>,
    pub done: Notify,
    /// The changed definitions of the previous comparison.
    pub last: parking_lot::Mutex<Vec<String>>,
}

#[derive(Debug)]
pub struct Found {
    /// Definitions that differ from the approved ones, by kind and name.
    pub changed: Vec<(Pinned, Box<str>)>,
    pub fresh_until: Instant,
}

impl Found {
    /// Whether a request is for one of them.
    pub fn concerns(&self, asked: &Asked<'_>) -> bool {
        let (list, name) = match asked.method {
            method::TOOLS_CALL => (Pinned::Tool, asked.params.string("name")),
            method::PROMPTS_GET => (Pinned::Prompt, asked.params.string("name")),
            // The replica decides which template a resource belongs to.
            method::RESOURCES_READ | method::COMPLETE => {
                return self.changed.iter().any(|(list, _)| *list != Pinned::Tool);
            }
            _ => return false,
        };
        name.is_some_and(|name| self.changed.iter().any(|it| it.0 == list && *it.1 == *name))
    }
}
