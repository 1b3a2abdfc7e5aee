//! The gateway as an agent of the Agent2Agent protocol.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tools as an agent of the Agent2Agent protocol (A2A), at `/api/a2a`: the same tools, for the same callers, under the same
/// policies, limits and prices as over MCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct A2aSettings {
    /// Serve `/api/a2a` and the agent card at `/.well-known/agent-card.json`.
    pub enabled: bool,
}

impl Default for A2aSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}
