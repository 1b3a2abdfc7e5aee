//! Cached results, returned only to callers, and only for as long, as the server would return the same.
//!
//! The key of a result contains everything that it can depend on ([`key`]), including the caller, unless the operator
//! declares that all callers receive the same. A result of one caller is never under the key of another's call.

mod entry;
mod flight;
pub mod key;
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

/// Nothing is kept longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Cache {
    kept: moka::sync::Cache<Key, Arc<Entry>>,
    pub flights: Flights,
    max_entry: usize,
    shared: Option<Arc<SharedResults>>,
    changes: Mutex<HashMap<String, Arc<AtomicU64>>>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("kept", &self.kept.entry_count()).finish_non_exhaustive()
    }
}

/// Each for as long as it says.
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
        let kept = moka::sync::Cache::builder()
            .weigher(|_: &Key, entry: &Arc<Entry>| entry.weight)
            .max_capacity(settings.memory.0 as u64)
            .expire_after(Expires)
            .build();
        let shared = settings.shared.as_ref().and_then(|url| {
            let opened = SharedResults::open(url, settings.namespace.as_deref());
            opened.map_err(|why| tracing::error!("the shared cache is unavailable: {why}")).ok()
        });
        Self {
            kept,
            flights: Flights::default(),
            max_entry: settings.max_entry.0,
            shared: shared.map(Arc::new),
            changes: Mutex::default(),
        }
    }

    /// Whether results are kept where others find them, too.
    pub fn shared(&self) -> Option<Arc<SharedResults>> {
        self.shared.clone()
    }

    /// A result that is kept, made when so much had been changed at its server.
    pub fn get(&self, key: &Key, epoch: u64) -> Option<Arc<Entry>> {
        self.kept.get(key).filter(|entry| entry.epoch == epoch && entry.age() != Age::Over)
    }

    pub fn put(&self, key: Key, entry: &Arc<Entry>) {
        if self.is_small_enough(entry) {
            self.kept.insert(key, entry.clone());
        }
    }

    pub fn is_small_enough(&self, entry: &Entry) -> bool {
        entry.result.size_hint() <= self.max_entry
    }

    /// Counts changes of a server, by its name: whatever becomes of its configuration, what was kept before
    /// a change does not come back.
    pub fn changes_of(&self, server: &str) -> Arc<AtomicU64> {
        self.changes.lock().entry(server.to_ascii_lowercase()).or_default().clone()
    }

    /// How many results are kept, and how many bytes they take.
    pub fn size(&self) -> (u64, u64) {
        (self.kept.entry_count(), self.kept.weighted_size())
    }
}

/// How long a result is kept by a rule; `None` if not at all.
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

/// Whether a result may be told again at all: a question, a task and an error may not.
pub fn is_final(result: &Object) -> bool {
    !interaction::is_tool_error(result) && interaction::result_type(result) == "complete"
}
