//! What is answered from memory, for how long, and to whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period, Secret};

/// Where results are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The most that is kept in memory. What is asked for often stays longest.
    pub memory: ByteSize,
    /// The largest result that is kept.
    pub largest: ByteSize,
    /// A Valkey or Redis in which several gateways keep results together: `redis://…`, or `rediss://…` with
    /// TLS. What is kept there is sealed with the `state_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Secret>,
    /// What names in the shared store begin with; `doorward` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        let (memory, largest) = (ByteSize(64 << 20), ByteSize(1 << 20));
        Self { memory, largest, shared: None, namespace: None }
    }
}

/// Whether results are kept: of tools that change nothing, and of resources. What is absent is what is said
/// less specially.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRule {
    /// How long a result is good for. When absent everywhere, for as long as it says itself (`ttlMs`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
    /// Whether what results say of themselves is believed: `ttlMs`. It is, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<bool>,
    /// A result is the same for everybody. When absent, each principal has results of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Results that say they are the same for everybody (`cacheScope: public`) are believed. Not when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_public: Option<bool>,
    /// For so long after its time a result is still told, while a fresh one is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Period>,
    /// For so long after its time a result is still told where the server fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Period>,
    /// Results are kept though something was changed at the server through the gateway. When absent, such a
    /// call ends the time of all that is kept of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_on_write: Option<bool>,
}

impl CacheRule {
    /// With what is said less specially where nothing is said here.
    pub fn or(&self, other: &Self) -> Self {
        Self {
            ttl: self.ttl.or(other.ttl),
            hints: self.hints.or(other.hints),
            public: self.public.or(other.public),
            trust_public: self.trust_public.or(other.trust_public),
            stale_while_revalidate: self.stale_while_revalidate.or(other.stale_while_revalidate),
            stale_if_error: self.stale_if_error.or(other.stale_if_error),
            keep_on_write: self.keep_on_write.or(other.keep_on_write),
        }
    }

    pub fn takes_hints(&self) -> bool {
        self.hints.unwrap_or(true)
    }
}

impl CacheSettings {
    pub fn problems(&self, has_state_key: bool) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.largest.0 > self.memory.0 {
            problems.push(("largest", "must not be more than 'memory'".into()));
        }
        if let Some(url) = &self.shared {
            if let Err(why) = doorward_store::SharedValues::check(url.expose()) {
                problems.push(("shared", why));
            }
            if !has_state_key {
                problems.push(("shared", "needs a 'state_key', which seals what is kept".into()));
            }
        }
        problems
    }
}
