//! What may be served of servers with pins: copies of the store's decisions, and what is withheld now.
//!
//! Until the store was read nothing of such a server is served. What is pinned at sight is in the store before it is served,
//! so that no crash makes something new of it.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use doorward_governance::pins::{Book, Definition, Hash, Judgement, Kind, OnNew, Place, Reason};
use doorward_mcp::server_info::About;
use doorward_mcp::{Era, Value};
use doorward_observability::audit::Audit;
use doorward_store::{DefinitionKey, Store, StoredDefinition};
use doorward_upstream::approval::{Approval, Approved};
use doorward_upstream::catalog::Item;
use doorward_upstream::{Contact, Server};
use parking_lot::RwLock;

use crate::gateway::Gateway;

const META: &str = "_meta";

/// The pins of all servers.
#[derive(Debug)]
pub struct Keeper {
    store: Option<Store>,
    audit: Arc<Audit>,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether the store was read.
    is_read: bool,
    /// By server in lower case, as are all.
    books: HashMap<String, Arc<Book>>,
    /// How often each book had changed when it was read.
    seen: BTreeMap<String, i64>,
    withheld: HashMap<String, BTreeMap<Place, Hash>>,
}

impl Keeper {
    pub fn new(store: Option<Store>, audit: Arc<Audit>) -> Self {
        Self { store, audit, inner: RwLock::default() }
    }

    fn book(&self, server: &str) -> Option<Arc<Book>> {
        let inner = self.inner.read();
        inner.is_read.then(|| inner.books.get(server).cloned().unwrap_or_default())
    }

    async fn read_book(&self, store: &Store, server: &str) -> doorward_store::Result<()> {
        let book = Arc::new(store.pin_book(server).await?.read());
        self.inner.write().books.insert(server.to_owned(), book);
        Ok(())
    }

    /// Reads what has changed in the store. Returns the servers that it concerns; `None` for all, the first time.
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

    /// Pins what is new, where settings say so, before it is served.
    async fn pin_at_sight(
        &self,
        server: &str,
        on_new: OnNew,
        kind: Kind,
        said: &[(Place, Definition)],
    ) {
        let key = server.to_ascii_lowercase();
        let (Some(book), Some(store)) = (self.book(&key), &self.store) else { return };
        if !book.pins_at_sight(kind, on_new) {
            return;
        }
        let is_new = |(place, said): &&(Place, Definition)| {
            book.judge(place, said) == Judgement::Withheld(Reason::New)
        };
        let new: Vec<_> = said
            .iter()
            .filter(is_new)
            .map(|(place, said)| StoredDefinition::of(place, said))
            .collect();
        if new.is_empty() && book.has_learnt(kind) {
            return;
        }
        let pinned = store.pin_new("definition.pin", &key, &new, &[kind.as_str()]).await;
        let read = match pinned {
            Ok(()) => self.read_book(store, &key).await,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            tracing::error!(server, %error, "new definitions cannot be pinned and \
                are not served");
        }
    }

    /// Judges all that a server says of one kind, and remembers what is withheld.
    async fn judge(
        &self,
        server: &str,
        on_new: OnNew,
        era: Era,
        kind: Kind,
        said: &[(Place, Definition)],
    ) -> Vec<Judgement> {
        self.pin_at_sight(server, on_new, kind, said).await;
        let key = server.to_ascii_lowercase();
        let Some(book) = self.book(&key) else {
            return vec![Judgement::Withheld(Reason::New); said.len()];
        };
        let judged: Vec<_> = said.iter().map(|(place, said)| book.judge(place, said)).collect();
        let drifts: Vec<_> =
            said.iter().zip(&judged).filter(|(_, it)| **it != Judgement::Served).collect();
        let gone = {
            let mut inner = self.inner.write();
            let withheld = inner.withheld.entry(key.clone()).or_default();
            let before: Vec<_> = withheld
                .extract_if(.., |place, _| place.era == era && place.kind == kind)
                .collect();
            withheld.extend(drifts.iter().map(|((place, said), _)| (place.clone(), said.hash)));
            let gone = before.into_iter().filter(|(place, hash)| withheld.get(place) != Some(hash));
            gone.map(|(place, hash)| (DefinitionKey::of(&place), hash.to_string()))
                .collect::<Vec<_>>()
        };
        let Some(store) = &self.store else { return judged };
        if !gone.is_empty()
            && let Err(error) = store.forget_drifts(&key, &gone).await
        {
            tracing::warn!(server, %error, "cannot forget what waits no more");
        }
        let drifts: Vec<_> =
            drifts.iter().map(|((place, said), _)| StoredDefinition::of(place, said)).collect();
        if !drifts.is_empty() {
            match store.note_drifts(&key, &drifts).await {
                Ok(new) => new.iter().for_each(|new| self.tell(server, new)),
                Err(error) => {
                    tracing::error!(server, %error, "withheld definitions cannot be stored");
                }
            }
        }
        judged
    }

    /// Once for each definition that is withheld.
    fn tell(&self, server: &str, drift: &StoredDefinition) {
        self.audit.event("definition.drift", |members| {
            members.text("server", server).text("kind", &drift.key.kind);
            members.text("name", &drift.key.name).text("era", &drift.key.era);
            members.text("hash", &drift.hash);
        });
    }

    /// What the server says of itself, so far as it was approved: never new instructions.
    pub fn about(&self, server: &Server, contact: &Contact) -> (Option<Value>, Option<Value>) {
        let about = &contact.about;
        if !server.is_pinned() {
            return (about.info.clone(), about.instructions.clone());
        }
        let Some(book) = self.book(&server.name.to_ascii_lowercase()) else { return (None, None) };
        let shown = |kind, said: &Option<Value>| {
            let place = Place::new(contact.era, kind, "");
            let said = said.as_ref()?;
            if book.judge(&place, &Definition::said(said)) == Judgement::Served {
                return Some(said.clone());
            }
            book.text(&place).map(|text| Value::Raw(text.clone()))
        };
        (shown(Kind::Identity, &about.info), shown(Kind::Instructions, &about.instructions))
    }
}

impl Approval for Keeper {
    fn list<'a>(
        &'a self,
        server: &'a str,
        on_new: OnNew,
        era: Era,
        kind: Kind,
        items: Vec<Item>,
    ) -> Pin<Box<dyn Future<Output = Approved> + Send + 'a>> {
        Box::pin(async move {
            let names: Vec<Box<str>> = items.iter().map(|item| item.key.clone()).collect();
            let hashing = tokio::task::spawn_blocking(move || {
                let of = |item: &Item| {
                    (Place::new(era, kind, &item.key), Definition::of(&item.definition))
                };
                let said: Vec<_> = items.iter().map(of).collect();
                (items, said)
            });
            let Ok((items, said)) = hashing.await else {
                let why = || "it cannot be compared with its pin".to_owned();
                return (Vec::new(), names.into_iter().map(|name| (name, why())).collect());
            };
            let judged = self.judge(server, on_new, era, kind, &said).await;
            let mut withheld = BTreeMap::new();
            let mut served = Vec::with_capacity(items.len());
            for (mut item, judged) in items.into_iter().zip(judged) {
                match judged {
                    Judgement::Served => served.push(item),
                    Judgement::WithoutMeta => {
                        item.definition.retain(|name| name != META.as_bytes());
                        served.push(item);
                    }
                    Judgement::Withheld(why) => _ = withheld.insert(item.key, why.to_string()),
                }
            }
            (served, withheld)
        })
    }

    fn about<'a>(
        &'a self,
        server: &'a str,
        on_new: OnNew,
        era: Era,
        about: &'a About,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            for (kind, said) in
                [(Kind::Identity, &about.info), (Kind::Instructions, &about.instructions)]
            {
                let said: Vec<_> = said
                    .iter()
                    .map(|said| (Place::new(era, kind, ""), Definition::said(said)))
                    .collect();
                self.judge(server, on_new, era, kind, &said).await;
            }
        })
    }
}

impl Gateway {
    /// Reads the pins that have changed; lists of the servers that they are of are fetched anew.
    pub(crate) async fn take_pins(&self, store: &Store) -> doorward_store::Result<()> {
        let changed = self.pins.take(store).await?;
        for server in self.servers() {
            let concerned =
                changed.as_ref().is_none_or(|all| all.contains(&server.name.to_ascii_lowercase()));
            if !(concerned && server.is_pinned()) {
                continue;
            }
            // What waited may have been decided on without being said again.
            if let Some(contact) = server.known() {
                server.judge_about(contact.era, &contact.about).await;
            }
            server.renew_lists();
        }
        Ok(())
    }
}
