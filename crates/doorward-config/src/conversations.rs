//! Bounds of conversations: how many calls an agent makes, what they cost, how often it repeats one, and how many agents
//! act for each other.

use std::time::Duration;

use doorward_store::Amount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, Secret};

/// Bounds of a conversation: the calls of one session, or of one caller without a session, as flow rules separate them
/// (`flow.conversations`). What is absent has no bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConversationSettings {
    /// Calls of tools, prompts and resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// What the calls cost together, in credits. A call counts once its price is known, so calls that run at the same
    /// time can exceed it together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cost: Option<Amount>,
    /// Equal calls in a row: the same tool with the same arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u32>,
    /// Agents that act for each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Share of a bound, in percent, from which results tell the model so. 100: never.
    pub warn: u8,
    /// What is counted together.
    pub by: CountBy,
    /// How long counts are kept after the last call of a conversation. Those of a session end with it, too.
    pub lasts: Period,
    /// Valkey or Redis in which several gateways count together: `redis://HOST:PORT`, or `rediss://…` with TLS. While it
    /// is unavailable, each gateway counts separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Secret>,
    /// Prefix of the keys in the shared store. Default: `doorward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountBy {
    /// The calls of a conversation.
    #[default]
    Conversation,
    /// The calls of a trace (`traceparent`) of one caller; those without a trace as a conversation.
    Trace,
}

impl Default for ConversationSettings {
    fn default() -> Self {
        Self {
            calls: None,
            cost: None,
            repeated: None,
            depth: None,
            warn: 80,
            by: CountBy::default(),
            lasts: Period(Duration::from_secs(3_600)),
            shared: None,
            namespace: None,
        }
    }
}

impl ConversationSettings {
    /// Whether counts are kept in another place, or for another time.
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.shared.clone(), it.namespace.clone(), it.lasts);
        place(self) != place(other)
    }

    /// Whether anything is bounded.
    pub fn is_on(&self) -> bool {
        self.calls.is_some()
            || self.cost.is_some()
            || self.repeated.is_some()
            || self.depth.is_some()
    }

    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (key, bound) in [("calls", self.calls), ("depth", self.depth)] {
            if bound == Some(0) {
                problems.push((key, "must be at least 1".into()));
            }
        }
        if self.repeated.is_some_and(|most| most < 2) {
            problems.push(("repeated", "must be at least 2: every call is made once".into()));
        }
        if self.cost.is_some_and(|cost| cost <= Amount::ZERO) {
            problems.push(("cost", "must be more than 0".into()));
        }
        if self.warn == 0 || self.warn > 100 {
            problems.push(("warn", "must be 1 to 100".into()));
        }
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
