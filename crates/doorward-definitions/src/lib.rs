//! Which definitions of servers may be served, and in which form. [`Keeper`] compares them with pins (copies of the store's
//! decisions or of a lock file), inspects them, asks external checks about them, and knows what is currently withheld.
//!
//! Until the store was read, nothing of such a server is served. A definition that is pinned on
//! first use is stored before it is served, so that it does not count as new again after a crash.

mod checking;
mod inspecting;
mod pinning;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use doorward_governance::pins::{Book, Definition, Hash, Judgement, Kind, Lock, Place};
use doorward_guards::definitions::Definitions;
use doorward_mcp::Value;
use doorward_observability::audit::Audit;
use doorward_observability::metrics::CheckMetrics;
use doorward_store::{Store, StoredDefinition};
use doorward_upstream::{Contact, Server};
use parking_lot::RwLock;

use self::checking::Checking;

/// The pins of all servers.
#[derive(Debug)]
pub struct Keeper {
    store: Option<Store>,
    audit: Arc<Audit>,
    pub definitions: Arc<Definitions>,
    checking: Checking,
    inner: RwLock<Inner>,
}

/// By server in lower case.
#[derive(Debug, Default)]
struct Inner {
    /// Whether the store was read.
    is_read: bool,
    books: HashMap<String, Arc<Book>>,
    /// The change count of each book when it was read.
    seen: BTreeMap<String, i64>,
    /// From the lock file, which replaces the store for the servers that it names.
    locked: HashMap<String, Arc<Book>>,
    /// Withheld definitions, by the replica that returned them.
    withheld: HashMap<String, BTreeMap<(Place, Box<str>), Hash>>,
    /// Definitions withheld because of their content, by list, for those without a decision.
    refused: HashMap<String, BTreeMap<&'static str, usize>>,
}

impl Keeper {
    pub fn new(store: Option<Store>, audit: Arc<Audit>, metrics: CheckMetrics) -> Self {
        let inner = RwLock::new(Inner { is_read: store.is_none(), ..Inner::default() });
        let checking = Checking::new(metrics);
        Self { store, audit, definitions: Arc::default(), checking, inner }
    }

    /// A server's pins; `None` until they are known.
    fn book(&self, key: &str) -> Option<Arc<Book>> {
        let inner = self.inner.read();
        if let Some(locked) = inner.locked.get(key) {
            return Some(locked.clone());
        }
        inner.is_read.then(|| inner.books.get(key).cloned().unwrap_or_default())
    }

    /// The store, if it holds this server's pins.
    fn store_of(&self, key: &str) -> Option<&Store> {
        let is_locked = self.inner.read().locked.contains_key(key);
        self.store.as_ref().filter(|_| !is_locked)
    }

    /// Whether the lock file has a server's pins.
    pub fn is_locked(&self, server: &str) -> bool {
        self.inner.read().locked.contains_key(&server.to_ascii_lowercase())
    }

    /// The number of withheld definitions, by server in lower case.
    pub fn withheld(&self) -> BTreeMap<String, usize> {
        let inner = self.inner.read();
        let of_server = |all: &BTreeMap<(Place, Box<str>), Hash>| {
            let mut places: Vec<&Place> = all.keys().map(|(place, _)| place).collect();
            places.dedup();
            places.len()
        };
        let counts = inner.withheld.iter().map(|(server, all)| (server.clone(), of_server(all)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Definitions withheld because of their content, besides those that await a decision.
    pub fn refused(&self) -> usize {
        self.inner.read().refused.values().flat_map(BTreeMap::values).sum()
    }

    /// Drops entries of servers that no longer exist.
    pub fn forget_refused(&self, is_there: impl Fn(&str) -> bool) {
        self.inner.write().refused.retain(|server, _| is_there(server));
    }

    /// Drops withheld definitions of servers that no longer exist.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.inner.write().withheld.retain(|server, _| is_there(server));
    }

    async fn read_book(&self, store: &Store, key: &str) -> doorward_store::Result<()> {
        let book = Arc::new(store.pin_book(key).await?.read());
        self.inner.write().books.insert(key.to_owned(), book);
        Ok(())
    }

    /// Reads changes from the store. Returns the affected servers; `None` for all, at first.
    pub async fn take(&self, store: &Store) -> doorward_store::Result<Option<Vec<String>>> {
        let books = store.pin_books().await?;
        let (first, seen) = {
            let inner = self.inner.read();
            (!inner.is_read, inner.seen.clone())
        };
        let is_new = |(name, n): &(&String, &i64)| seen.get(*name) != Some(n);
        let changed: Vec<_> = books.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
        for server in &changed {
            self.read_book(store, server).await?;
        }
        let mut inner = self.inner.write();
        inner.seen = books;
        inner.is_read = true;
        Ok((!first).then_some(changed))
    }

    /// Applies the pins of a lock file. Returns the servers whose pins have changed.
    pub fn lock(&self, lock: &Lock) -> Vec<String> {
        let new: HashMap<String, Arc<Book>> =
            lock.servers().map(|name| (name.to_owned(), Arc::new(lock.book(name)))).collect();
        let mut inner = self.inner.write();
        let old = std::mem::replace(&mut inner.locked, new);
        let names = old.keys().chain(inner.locked.keys().filter(|name| !old.contains_key(*name)));
        let differs = |name: &&String| old.get(*name) != inner.locked.get(*name);
        names.filter(differs).cloned().collect()
    }

    /// Logged once per withheld definition.
    fn tell(&self, server: &str, drift: &StoredDefinition) {
        self.audit.event("definition.drift", |members| {
            members.text("server", server).text("type", &drift.key.kind);
            members.text("name", &drift.key.name).text("era", &drift.key.era);
            members.text("digest", &drift.hash);
        });
    }

    /// The server's description of itself, as far as it may be served: for a server with pins never
    /// unapproved instructions, and none withheld because of their content.
    pub fn about(&self, server: &Server, contact: &Contact) -> (Option<Value>, Option<Value>) {
        let about = &contact.about;
        if !server.is_pinned() {
            let shown = |kind, said: &Option<Value>| {
                said.as_ref().and_then(|said| self.inspected_about(server, kind, said, false))
            };
            return (
                shown(Kind::Identity, &about.info),
                shown(Kind::Instructions, &about.instructions),
            );
        }
        let Some(book) = self.book(&server.name.to_ascii_lowercase()) else { return (None, None) };
        let shown = |kind, said: &Option<Value>| {
            let place = Place::new(contact.era, kind, "");
            let said = said.as_ref()?;
            if book.judge(&place, &Definition::said(said)) == Judgement::Served {
                return self.inspected_about(server, kind, said, true);
            }
            let pinned = Value::Raw(book.text(&place)?.clone());
            self.inspected_about(server, kind, &pinned, true)
        };
        (shown(Kind::Identity, &about.info), shown(Kind::Instructions, &about.instructions))
    }
}
