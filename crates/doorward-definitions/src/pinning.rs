//! Compares servers' definitions with their pins, and stores those that await a decision.

use std::collections::BTreeMap;

use doorward_governance::pins::{Definition, Hash, Judgement, Kind, Place, Reason};
use doorward_mcp::server_info::About;
use doorward_store::{DefinitionKey, Store, StoredDefinition};
use doorward_upstream::approval::{Approval, Approved, Findings, Source, Withheld};
use doorward_upstream::catalog::Item;
use futures_util::future::BoxFuture;

use super::Keeper;
use super::inspecting::kind_of_about;

const META: &str = "_meta";

/// The changes in what is withheld.
struct Remembered<'a> {
    /// No longer withheld.
    gone: Vec<(DefinitionKey, String)>,
    /// Newly withheld.
    new: Vec<&'a (Place, Definition)>,
}

/// Whether any replica's definition with a hash is withheld.
fn is_withheld(all: &BTreeMap<(Place, Box<str>), Hash>, place: &Place, hash: Hash) -> bool {
    let of_place = all.range((place.clone(), Box::default())..).take_while(|it| it.0.0 == *place);
    of_place.into_iter().any(|(_, withheld)| *withheld == hash)
}

impl Keeper {
    /// Pins new definitions before they are served, if the settings say so.
    async fn pin_at_sight(
        &self,
        source: Source<'_>,
        kind: Kind,
        said: &[(Place, Definition)],
        is_held: &(dyn Fn(&str) -> bool + Sync),
    ) {
        let server = source.server;
        let key = server.to_ascii_lowercase();
        let (Some(book), Some(store)) = (self.book(&key), self.store_of(&key)) else { return };
        if !book.pins_at_sight(kind, source.on_new) {
            return;
        }
        let is_new = |(place, said): &&(Place, Definition)| {
            book.judge(place, said) == Judgement::Withheld(Reason::New) && !is_held(&place.name)
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
            tracing::error!(server, %error, "new definitions cannot be pinned and are not served");
        }
    }

    /// Compares all of a server's definitions of one kind, and remembers which are withheld. Those
    /// held because of their content are pinned by people only.
    async fn judge(
        &self,
        source: Source<'_>,
        kind: Kind,
        said: &[(Place, Definition)],
        is_held: &(dyn Fn(&str) -> bool + Sync),
    ) -> Vec<Judgement> {
        self.pin_at_sight(source, kind, said, is_held).await;
        let key = source.server.to_ascii_lowercase();
        let Some(book) = self.book(&key) else {
            return vec![Judgement::Withheld(Reason::New); said.len()];
        };
        let judged: Vec<_> = said.iter().map(|(place, said)| book.judge(place, said)).collect();
        let drifts: Vec<_> = said
            .iter()
            .zip(&judged)
            .filter(|(_, it)| **it != Judgement::Served)
            .map(|(said, _)| said)
            .collect();
        let Remembered { gone, new } = self.remember(&key, source, kind, &drifts);
        let stored = |all: &[&(Place, Definition)]| -> Vec<_> {
            all.iter().map(|(place, said)| StoredDefinition::of(place, said)).collect()
        };
        match self.store_of(&key) {
            Some(store) => self.keep(store, source.server, &gone, &stored(&drifts)).await,
            None => stored(&new).iter().for_each(|new| self.tell(source.server, new)),
        }
        judged
    }

    /// Remembers the withheld definitions of one replica and kind.
    fn remember<'a>(
        &self,
        key: &str,
        source: Source<'_>,
        kind: Kind,
        drifts: &[&'a (Place, Definition)],
    ) -> Remembered<'a> {
        let mut inner = self.inner.write();
        let withheld = inner.withheld.entry(key.to_owned()).or_default();
        let is_of = |place: &Place, replica: &str| {
            place.era == source.era && place.kind == kind && replica == source.replica
        };
        let before: BTreeMap<_, _> =
            withheld.extract_if(.., |(place, replica), _| is_of(place, replica)).collect();
        let is_new = |(place, said): &&&(Place, Definition)| {
            !is_withheld(withheld, place, said.hash)
                && before.get(&(place.clone(), source.replica.into())) != Some(&said.hash)
        };
        let new = drifts.iter().filter(is_new).copied().collect();
        withheld.extend(
            drifts.iter().map(|(place, said)| ((place.clone(), source.replica.into()), said.hash)),
        );
        // Definitions that another replica still returns remain.
        let gone =
            before.into_iter().filter(|((place, _), hash)| !is_withheld(withheld, place, *hash));
        let gone = gone.map(|((place, _), hash)| (DefinitionKey::of(&place), hash.to_string()));
        Remembered { gone: gone.collect(), new }
    }

    /// Stores definitions that await a decision, and reports new ones.
    async fn keep(
        &self,
        store: &Store,
        server: &str,
        gone: &[(DefinitionKey, String)],
        drifts: &[StoredDefinition],
    ) {
        let key = server.to_ascii_lowercase();
        if !gone.is_empty()
            && let Err(error) = store.forget_drifts(&key, gone).await
        {
            tracing::warn!(server, %error, "changed definitions that were withdrawn cannot be removed from the review list");
        }
        if drifts.is_empty() {
            return;
        }
        match store.note_drifts(&key, drifts).await {
            Ok(new) => new.iter().for_each(|new| self.tell(server, new)),
            Err(error) => {
                tracing::error!(server, %error, "withheld definitions cannot be stored");
            }
        }
    }
}

impl Approval for Keeper {
    fn withholds(&self) -> bool {
        self.definitions.withholds() || self.checking.is_on()
    }

    fn inspect<'a>(
        &'a self,
        server: &'a str,
        list: &'static str,
        has_pins: bool,
        items: Vec<Item>,
    ) -> BoxFuture<'a, (Vec<Item>, Findings)> {
        Box::pin(self.inspect_list(server, list, has_pins, items))
    }

    fn list<'a>(
        &'a self,
        source: Source<'a>,
        kind: Kind,
        items: Vec<Item>,
        findings: &'a Findings,
    ) -> BoxFuture<'a, Approved> {
        Box::pin(async move {
            let names: Vec<Box<str>> = items.iter().map(|item| item.key.clone()).collect();
            let era = source.era;
            let hashing = tokio::task::spawn_blocking(move || {
                let of = |item: &Item| {
                    (Place::new(era, kind, &item.key), Definition::of(&item.definition))
                };
                let said: Vec<_> = items.iter().map(of).collect();
                (items, said)
            });
            let mut approved = Approved::default();
            let Ok((items, said)) = hashing.await else {
                let why = "it cannot be compared with its pin";
                let withheld = Withheld { why: why.into(), is_changed: true };
                approved.withheld = names.into_iter().map(|it| (it, withheld.clone())).collect();
                return approved;
            };
            let is_held =
                |name: &str| findings.get(name).is_some_and(|finding| finding.hold.is_some());
            let judged = self.judge(source, kind, &said, &is_held).await;
            let book = self.book(&source.server.to_ascii_lowercase()).unwrap_or_default();
            for ((mut item, (place, _)), judged) in items.into_iter().zip(&said).zip(judged) {
                match judged {
                    Judgement::Served => approved.items.push(item),
                    Judgement::WithoutMeta => {
                        item.definition.retain(|name| name != META.as_bytes());
                        approved.items.push(item);
                    }
                    Judgement::Withheld(why) => {
                        let is_changed = book.pinned(place).is_some();
                        let withheld = Withheld { why: why.to_string(), is_changed };
                        approved.withheld.insert(item.key, withheld);
                    }
                }
            }
            approved
        })
    }

    fn about<'a>(
        &'a self,
        server: &'a str,
        pins: Option<Source<'a>>,
        about: &'a About,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for (kind, said) in
                [(Kind::Identity, &about.info), (Kind::Instructions, &about.instructions)]
            {
                if let Some(said) = said {
                    self.check_about(server, kind_of_about(kind), said).await;
                }
                let Some(source) = pins else { continue };
                let is_held =
                    said.as_ref().is_some_and(|said| self.is_held_about(server, kind, said));
                let said: Vec<_> = said
                    .iter()
                    .map(|said| (Place::new(source.era, kind, ""), Definition::said(said)))
                    .collect();
                self.judge(source, kind, &said, &|_| is_held).await;
            }
        })
    }
}
