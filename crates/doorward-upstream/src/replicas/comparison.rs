//! What is known of a replica whose definitions are pinned.

use std::time::Instant;

use arc_swap::ArcSwapOption;
use doorward_governance::pins::Kind as Pinned;
use doorward_mcp::method;
use tokio::sync::{Mutex, Notify};

use crate::Asked;

/// What the comparison of one replica with the pins has found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// `None` until it was compared, and while it is compared anew.
    pub found: ArcSwapOption<Found>,
    /// How often it became doubtful: what was found out before that does not count.
    pub doubts: parking_lot::Mutex<u64>,
    pub comparing: Mutex<()>,
    pub done: Notify,
    /// What had changed when it was compared before.
    pub last: parking_lot::Mutex<Vec<String>>,
}

#[derive(Debug)]
pub struct Found {
    /// Definitions of which something else was approved, by what they are.
    pub changed: Vec<(Pinned, Box<str>)>,
    pub fresh_until: Instant,
}

impl Found {
    /// Whether a request is for one of them.
    pub fn concerns(&self, asked: &Asked<'_>) -> bool {
        let (list, name) = match asked.method {
            method::TOOLS_CALL => (Pinned::Tool, asked.params.string("name")),
            method::PROMPTS_GET => (Pinned::Prompt, asked.params.string("name")),
            // Which template it is of is the replica's to say.
            method::RESOURCES_READ | method::COMPLETE => {
                return self.changed.iter().any(|(list, _)| *list != Pinned::Tool);
            }
            _ => return false,
        };
        name.is_some_and(|name| self.changed.iter().any(|it| it.0 == list && *it.1 == *name))
    }
}
