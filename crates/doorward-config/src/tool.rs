//! The settings of single tools, prompts and resources.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cache::CacheRule;
use super::checks::{ArgumentSettings, ResultSettings};
use super::defaults::is_default;

/// Settings of tools that override what the server declares.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolSettings {
    /// Whether the tool can change something. Default: what its annotations say; without annotations, it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<bool>,
    /// Whether a failed call may be retried although the tool writes: calling it twice has the same effect as
    /// calling it once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// In addition to those of the server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Classes of data that calls of the tool carry, in addition to those of the server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<String>,
    /// Labels of what the tool returns, instead of those of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brings: Option<BTreeSet<String>>,
    /// Whether the tool sends, writes, pays or publishes. Default: that of the server, else what `flow.sinks` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<bool>,
    /// Whether the tool interacts with systems of others. Default: what it says of itself (`openWorldHint`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
    /// OAuth scopes that a token must have to use the tool, in addition to those of the server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub arguments: ArgumentSettings,
    #[serde(skip_serializing_if = "is_default")]
    pub results: ResultSettings,
    #[serde(skip_serializing_if = "is_default")]
    pub cache: CacheRule,
}
