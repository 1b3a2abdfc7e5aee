//! Cached results, returned only to callers, and only for as long, as the server would return the same.
//!
//! The key of a result contains everything that it can depend on ([`key`]), including the caller, unless the
//! operator declares that all callers receive the same. So no result of one caller is found for a call of
//! another.

mod entry;
mod flight;
pub mod key;
pub mod rest;
mod shared;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Object, interaction};
use parking_lot::Mutex;

pub use self::entry::{Age, Entry, Lives};
pub use self::flight::{Boarding, Flights, Lead, Waited};
pub use self::key::{Key, Keys};
pub use self::shared::SharedResults;

use doorward_config::{CacheRule, CacheSettings};

/// Upper bound on all lifetimes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Cache {
    entries: moka::sync::Cache<Key, Arc<Entry>>,
    pub flights: Flights,
    max_entry: usize,
    shared: Option<Arc<SharedResults>>,
    changes: Mutex<HashMap<String, Arc<AtomicU64>>>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.entries.entry_count())
            .finish_non_exhaustive()
    }
}

/// Expires each entry after its longest lifetime.
struct Expires;

impl moka::Expiry<Key, Arc<Entry>> for Expires {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.lives.longest())
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Arc<Entry>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lives.longest())
    }
}

impl Cache {
    pub fn new(settings: &CacheSettings) -> Self {
        let entries = moka::sync::Cache::builder()
            .weigher(|_: &Key, entry: &Arc<Entry>| entry.weight)
            .max_capacity(settings.memory.0 as u64)
            .expire_after(Expires)
            .build();
        let shared = settings.shared.as_ref().and_then(|url| {
            let opened = SharedResults::open(url, settings.namespace.as_deref());
            opened.map_err(|why| tracing::error!("the shared cache is unavailable: {why}")).ok()
        });
        Self {
            entries,
            flights: Flights::default(),
            max_entry: settings.max_entry.0,
            shared: shared.map(Arc::new),
            changes: Mutex::default(),
        }
    }

    /// The shared cache, if one is configured.
    pub fn shared(&self) -> Option<Arc<SharedResults>> {
        self.shared.clone()
    }

    /// The cached result, if the server's change counter is still `epoch` and the entry has not expired.
    pub fn get(&self, key: &Key, epoch: u64) -> Option<Arc<Entry>> {
        self.entries.get(key).filter(|entry| entry.epoch == epoch && entry.age() != Age::Over)
    }

    pub fn put(&self, key: Key, entry: &Arc<Entry>) {
        if self.is_small_enough(entry) {
            self.entries.insert(key, entry.clone());
        }
    }

    pub fn is_small_enough(&self, entry: &Entry) -> bool {
        entry.result.size_hint() <= self.max_entry
    }

    /// The change counter of a server, by name. It survives configuration reloads, so that results from before a
    /// change are never served again.
    pub fn changes_of(&self, server: &str) -> Arc<AtomicU64> {
        self.changes.lock().entry(server.to_ascii_lowercase()).or_default().clone()
    }

    /// The number of cached results, and their size in bytes.
    pub fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

/// The lifetimes of a result under a rule; `None` if it is not cached.
pub fn lives(rule: &CacheRule, hints: Option<CacheHints>) -> Option<Lives> {
    let hinted = hints.filter(|hints| rule.takes_hints() && hints.ttl_ms > 0);
    let hinted = hinted.map(|hints| Duration::from_millis(hints.ttl_ms));
    let fresh = rule.ttl.map(|ttl| ttl.0).or(hinted)?.min(LONGEST);
    let of = |period: Option<doorward_config::Period>| {
        period.map(|period| period.0).unwrap_or_default().min(LONGEST)
    };
    let lives = Lives {
        fresh,
        revalidating: of(rule.stale_while_revalidate),
        failing: of(rule.stale_if_error),
    };
    (!fresh.is_zero()).then_some(lives)
}

/// Whether a result may be cached: an input request, a task or an error may not.
pub fn is_final(result: &Object) -> bool {
    !interaction::is_tool_error(result) && interaction::result_type(result) == "complete"
}
