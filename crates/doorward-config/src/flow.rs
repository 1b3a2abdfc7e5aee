//! Flow rules: which content tools return, which tools have effects outside, and how long a caller carries the labels of
//! what it has read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use doorward_core::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, Secret, StoreAway};

/// The label of content that somebody outside can have written.
pub const UNTRUSTED: &str = "untrusted";

/// Labels of what tools return. A caller carries the labels of everything that it was returned in its conversation;
/// policies read them in `context.flow`. Servers and tools have labels in `brings`, `sink` and `open_world`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlowSettings {
    /// What is labelled `untrusted` without being named in `brings`.
    pub untrusted: Untrusted,
    /// Which tools are sinks without being named so by `sink`.
    pub sinks: Sinks,
    /// Labels by what inspection finds in a result, by patterns of signal IDs, such as `{"*": [untrusted]}`.
    pub findings: BTreeMap<Pattern, BTreeSet<String>>,
    /// Labels by the classes of data in a result, by patterns of classes, such as `{card: [pii]}`.
    pub data: BTreeMap<Pattern, BTreeSet<String>>,
    /// Further labels, which external checks add to calls.
    pub labels: BTreeSet<String>,
    /// How long a caller without a session carries a label after the last call that returned it.
    pub lasts: Period,
    /// What separates the conversations of one caller.
    pub conversations: Separation,
    /// What callers without a session carry while the memory of labels is younger than `lasts`: after a start, or after
    /// the shared store has lost its data.
    pub after_start: AfterStart,
    /// Valkey or Redis in which several gateways keep labels together: `redis://HOST:PORT`, or `rediss://…` with TLS.
    /// Default: each gateway keeps them in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Secret>,
    /// Prefix of the keys in the shared store. Default: `doorward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What to do while the shared store is unavailable. `closed`: callers without a session carry every label, and calls
    /// that return labelled content are refused. `open`: each gateway keeps labels separately.
    pub store_away: StoreAway,
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self {
            untrusted: Untrusted::default(),
            sinks: Sinks::default(),
            findings: BTreeMap::new(),
            data: BTreeMap::new(),
            labels: BTreeSet::new(),
            lasts: Period(Duration::from_secs(3_600)),
            conversations: Separation::default(),
            after_start: AfterStart::default(),
            shared: None,
            namespace: None,
            store_away: StoreAway::Closed,
        }
    }
}

/// What is labelled `untrusted`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Untrusted {
    /// Only what `brings` names.
    #[default]
    Declared,
    /// Also everything that interacts with an open world: tools without `openWorldHint: false`, prompts and resources,
    /// unless `open_world: false` is set for them.
    OpenWorld,
}

/// Which tools are sinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sinks {
    /// Only those with `sink: true`.
    #[default]
    Declared,
    /// Also every tool that can change something, unless `sink: false` is set for it.
    Writes,
}

/// What separates the conversations of one caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Separation {
    /// Sessions of the handshake era. All calls of a caller without a session are one conversation.
    #[default]
    Sessions,
    /// Also the conversation ID that a client without a session sends. Only if clients, not models, choose it: whoever
    /// chooses a new ID carries nothing.
    Trusted,
    /// Nothing: all calls of a caller are one conversation, whatever sessions it opens.
    Principal,
}

/// What is assumed of callers whose earlier calls may be forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterStart {
    /// They carry every label that the settings name, until an administrator clears them.
    #[default]
    Marked,
    /// They carry nothing.
    Clean,
}

/// What all servers inherit of the flow rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowDefaults {
    pub untrusted: Untrusted,
    pub sinks: Sinks,
}

/// What flow rules say of one tool, prompt or resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowLabels {
    /// Labels of what it returns.
    pub brings: BTreeSet<String>,
    /// Whether it has effects outside: it sends, writes, pays or publishes.
    pub sink: bool,
    /// Whether it interacts with anything beyond the operator's own systems.
    pub open_world: bool,
}

impl FlowSettings {
    /// Whether labels are kept in another place.
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        (&self.shared, &self.namespace) != (&other.shared, &other.namespace)
    }

    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.lasts.0.is_zero() {
            problems.push(("lasts", "must be longer than nothing".into()));
        }
        if let Some(url) = &self.shared
            && let Err(why) = doorward_store::SharedValues::check(url.expose())
        {
            problems.push(("shared", why));
        }
        problems
    }
}
