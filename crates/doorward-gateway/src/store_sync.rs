//! Copies of what the gateway needs from the store: keys, principals, policies. Refreshed as soon as anything changes,
//! also by another replica.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_store::{Entry, Key, Kind, Store, StoredPortal};
use http::HeaderValue;
use parking_lot::Mutex;

mod refresh;

/// How often the store is polled: a revoked key fails within a second.
const EVERY: Duration = Duration::from_millis(250);

type Given = HashMap<(String, Kind, String), HeaderValue>;

/// A copy of the store's contents.
#[derive(Debug, Default)]
pub struct StoreCopy {
    store: Option<Store>,
    revision: AtomicI64,
    people: Mutex<Vec<Entry>>,
    keys: Mutex<Vec<Key>>,
    portals: Mutex<Vec<StoredPortal>>,
    /// Credentials provided for servers, by server in lower case and owner.
    given: ArcSwap<Given>,
    /// The store could not be read last time.
    unreadable: AtomicBool,
    /// Policies from the configuration, which take precedence over those of the store.
    declared: Mutex<Option<BTreeMap<String, String>>>,
}

impl StoreCopy {
    pub fn new(store: Option<Store>) -> Self {
        Self { store, revision: AtomicI64::new(-1), ..Self::default() }
    }

    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The store's principals.
    pub fn people(&self) -> Vec<Entry> {
        self.people.lock().clone()
    }

    pub fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Acquire)
    }
}
