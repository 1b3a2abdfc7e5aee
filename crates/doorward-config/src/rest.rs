//! The REST API for calling tools.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most calls of one request that may run at a time.
const MOST_PARALLEL: usize = 64;

/// Tools over REST, and as functions of model APIs, at `/api/v1`: the same tools, for the same callers, under the same
/// policies, limits and prices as over MCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestSettings {
    /// Serve `/api/v1`.
    pub enabled: bool,
    /// How many calls of one request to `/api/v1/tools/execute` run at a time, at most 64. How many it may have is
    /// `limits.batch`.
    pub parallel: usize,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self { enabled: true, parallel: 8 }
    }
}

impl RestSettings {
    /// Problems, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        if (1..=MOST_PARALLEL).contains(&self.parallel) {
            return Vec::new();
        }
        vec![("parallel", format!("{}: from 1 to {MOST_PARALLEL}", self.parallel))]
    }
}
