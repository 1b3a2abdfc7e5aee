//! What is cached, for how long, and for whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period, Secret};

/// Where results are cached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// Maximum memory for the cache. Results that are requested often are evicted last.
    pub memory: ByteSize,
    /// Maximum size of a cached result.
    pub max_entry: ByteSize,
    /// Valkey or Redis that several gateways use as a shared cache: `redis://…`, or `rediss://…` with TLS. Cached
    /// results are encrypted with the `state_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Secret>,
    /// Prefix of the names in the shared cache. Default: `doorward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        let (memory, max_entry) = (ByteSize(64 << 20), ByteSize(1 << 20));
        Self { memory, max_entry, shared: None, namespace: None }
    }
}

/// Caching of results of read-only tools and of resources. Settings that are absent are inherited from the less
/// specific level.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRule {
    /// How long a result is fresh. Default: as long as the result says (`ttlMs`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
    /// Whether to respect the `ttlMs` of results. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<bool>,
    /// Share cached results between all principals. Default: each principal has separate results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Share results that declare themselves public (`cacheScope: public`) between all principals. Default:
    /// false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_public: Option<bool>,
    /// How long a stale result is still returned while a fresh one is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Period>,
    /// How long a stale result is still returned if the server fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Period>,
    /// Keep results in the cache when a call through the gateway changes something at the server. Default: such a
    /// call invalidates all cached results of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_on_write: Option<bool>,
}

impl CacheRule {
    /// These settings, with absent ones inherited from the less specific level.
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
        if self.max_entry.0 > self.memory.0 {
            problems.push(("max_entry", "must not be more than 'memory'".into()));
        }
        if let Some(url) = &self.shared {
            if let Err(why) = doorward_store::SharedValues::check(url.expose()) {
                problems.push(("shared", why));
            }
            if !has_state_key {
                problems.push((
                    "shared",
                    "requires a 'state_key', which encrypts cached results".into(),
                ));
            }
        }
        problems
    }
}
