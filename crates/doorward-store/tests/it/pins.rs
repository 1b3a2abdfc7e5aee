//! Pins, drifts and decisions, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

use crate::support::World;
use doorward_store::{DefinitionKey, Error, Store, StoredDefinition};

fn said(name: &str, text: &str) -> StoredDefinition {
    StoredDefinition {
        key: DefinitionKey { era: "modern".into(), kind: "tool".into(), name: name.into() },
        hash: format!("hash of {text}"),
        core: format!("core of {text}"),
        definition: format!("{{\"d\":\"{text}\"}}"),
    }
}

fn seen(said: &StoredDefinition) -> (DefinitionKey, String) {
    (said.key.clone(), said.hash.clone())
}

async fn waiting(store: &Store) -> Vec<String> {
    let all = store.drifts("s").await.unwrap();
    let waiting = all.into_iter().filter(|drift| drift.refused.is_none());
    waiting.map(|drift| drift.said.hash).collect()
}

#[tokio::test]
async fn what_is_accepted_is_pinned_by_the_hash_that_was_seen() {
    for world in World::all() {
        let store = world.open().await;
        let (one, two, nul) = (said("get", "one"), said("get", "two"), said("n\0l", "nul"));
        let new = store.note_drifts("s", &[one.clone(), nul.clone()]).await.unwrap();
        assert_eq!(new, [one.clone(), nul.clone()]);
        assert_eq!(store.note_drifts("s", std::slice::from_ref(&one)).await.unwrap(), []);
        assert_eq!(store.drift_counts().await.unwrap()["s"], 2);
        // The server changes its definition meanwhile: the whole request is refused, including the unchanged
        // definition.
        assert_eq!(
            store.note_drifts("s", std::slice::from_ref(&two)).await.unwrap(),
            std::slice::from_ref(&two)
        );
        let revision = store.revision().await.unwrap();
        let stale = store.accept_drifts("s", &[seen(&nul), seen(&one)]).await;
        assert!(matches!(stale, Err(Error::Refused(_))), "{stale:?}");
        assert_eq!(store.pins("s").await.unwrap(), []);
        assert_eq!(store.revision().await.unwrap(), revision);
        assert_eq!(waiting(&store).await, ["hash of two", "hash of nul"]);

        store.accept_drifts("s", &[seen(&nul), seen(&two)]).await.unwrap();
        assert_eq!(store.pin_books().await.unwrap()["s"], 1);
        assert!(store.revision().await.unwrap() > revision);
        store.close().await;
        let store = world.open().await;
        let pins = store.pins("s").await.unwrap();
        assert_eq!(pins.iter().map(|pin| &pin.said).collect::<Vec<_>>(), [&two, &nul]);
        assert!(pins[0].accepted > 0 && !pins[0].accepted_by.is_empty());
        assert_eq!(waiting(&store).await, Vec::<String>::new());
        let book = store.pin_book("s").await.unwrap();
        assert_eq!((book.pins.len(), &*book.kinds), (2, &["tool".to_owned()][..]));
        assert!(book.pins.iter().all(|pin| pin.definition.is_empty()));
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_refused_stays_refused_until_it_is_accepted() {
    for world in World::all() {
        let store = world.open().await;
        let (one, two) = (said("get", "one"), said("get", "two"));
        store.note_drifts("s", std::slice::from_ref(&one)).await.unwrap();
        store.refuse_drifts("s", &[seen(&one)]).await.unwrap();
        assert!(store.refuse_drifts("s", &[seen(&two)]).await.is_err());
        assert_eq!(store.pin_book("s").await.unwrap().refused, [seen(&one)]);
        // A known drift is not reported again. It stays when another appears and when the server no longer sends it.
        assert_eq!(store.note_drifts("s", std::slice::from_ref(&one)).await.unwrap(), []);
        store.note_drifts("s", std::slice::from_ref(&two)).await.unwrap();
        store.forget_drifts("s", &[seen(&one), seen(&two)]).await.unwrap();
        assert_eq!(waiting(&store).await, Vec::<String>::new());
        assert_eq!(store.pin_book("s").await.unwrap().refused, [seen(&one)]);
        store.accept_drifts("s", &[seen(&one)]).await.unwrap();
        let book = store.pin_book("s").await.unwrap();
        assert_eq!((book.pins.len(), book.refused.len()), (1, 0));
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_pinned_at_sight_takes_no_pins_place() {
    for world in World::all() {
        let store = world.open().await;
        let (one, two) = (said("get", "one"), said("get", "two"));
        store
            .pin_new("definition.pin", "s", std::slice::from_ref(&one), &["tool", "prompt"])
            .await
            .unwrap();
        store.pin_new("definition.pin", "s", std::slice::from_ref(&two), &[]).await.unwrap();
        let pins = store.pins("s").await.unwrap();
        assert_eq!(pins.iter().map(|pin| &pin.said).collect::<Vec<_>>(), [&one]);
        let mut kinds = store.pin_book("s").await.unwrap().kinds;
        kinds.sort();
        assert_eq!(kinds, ["prompt", "tool"]);
        store.unpin("s").await.unwrap();
        assert_eq!(store.pin_book("s").await.unwrap(), Default::default());
        assert_eq!(store.pin_books().await.unwrap()["s"], 3);
        store.close().await;
    }
}

#[tokio::test]
async fn waiting_definitions_are_bounded() {
    for world in World::all() {
        let store = world.open().await;
        let all: Vec<_> = (0..20_010).map(|n| said(&format!("t{n}"), "x")).collect();
        for some in all.chunks(5_000) {
            store.note_drifts("s", some).await.unwrap();
        }
        assert_eq!(store.drift_counts().await.unwrap()["s"], 20_000);
        // A name that already has a drift can get another one.
        let changed = said("t7", "y");
        assert_eq!(
            store.note_drifts("s", std::slice::from_ref(&changed)).await.unwrap(),
            [changed]
        );
        store.close().await;
    }
}
