//! External registries: which gateway polls one and when, and what is stored of its entries, on SQLite and on
//! PostgreSQL.
#![allow(clippy::unwrap_used)]

use doorward_store::{EntryState, Error, MOST_ENTRIES, RegistryEntry, RegistryRead, Store, now};
use sqlx::{AnyConnection, Connection};

use crate::support::World;

async fn claim(store: &Store) -> Option<RegistryRead> {
    store.claim_registry("public", now() + 3_600, now() + 900).await.unwrap()
}

fn entry(name: &str, state: EntryState) -> RegistryEntry {
    RegistryEntry {
        registry: "public".into(),
        entry: name.into(),
        version: "1.0.0".into(),
        state,
        reason: "a reason".into(),
        server: "server".into(),
        proposed: "0.9.0".into(),
        spec: "{}".into(),
        digest: "digest".into(),
        updated: 0,
    }
}

#[tokio::test]
async fn one_gateway_at_a_time_reads_a_registry_and_only_when_it_is_due() {
    for world in World::all() {
        let store = world.open().await;
        let other = world.open().await;
        let claims = tokio::join!(claim(&store), claim(&other), claim(&store), claim(&other));
        let claims = [claims.0, claims.1, claims.2, claims.3];
        let claims: Vec<_> = claims.into_iter().flatten().collect();
        let [first] = &claims[..] else { panic!("{claims:?}") };
        assert!(first.due > now() && first.busy > now() && first.done.is_none());
        // A request during a poll causes one more poll afterwards.
        other.request_registry("public").await.unwrap();
        assert!(claim(&other).await.is_none());
        let ended = RegistryRead {
            settings: "chosen".into(),
            since: "2026-01-02T03:04:05Z".into(),
            whole: 5,
            done: Some(6),
            problem: "a problem".into(),
            counts: "{}".into(),
            ..first.clone()
        };
        store.end_registry(&ended).await.unwrap();
        let again = claim(&other).await.unwrap();
        let RegistryRead { due, busy, .. } = again;
        assert_eq!(again, RegistryRead { due, busy, ..ended.clone() });
        // A late result of the previous poll does not end this one.
        let late = RegistryRead { busy: busy - 1, problem: "late".into(), ..ended };
        store.end_registry(&late).await.unwrap();
        let read = store.registry_reads().await.unwrap().remove(0);
        assert_eq!((read.problem.as_str(), read.busy), ("a problem", busy));
        other.end_registry(&again).await.unwrap();
        // The registry is not due, for any gateway.
        assert!(claim(&store).await.is_none() && claim(&other).await.is_none());
        // A poll that never reported back is repeated once its time is over.
        store.request_registry("public").await.unwrap();
        let gone = store.claim_registry("public", now(), now()).await.unwrap();
        assert!(gone.is_some() && claim(&other).await.is_some());
    }
}

#[tokio::test]
async fn entries_are_stored_counted_and_bounded() {
    for world in World::all() {
        let store = world.open().await;
        let all = [EntryState::Waiting, EntryState::Proposed, EntryState::Skipped];
        for (n, state) in all.into_iter().enumerate() {
            store.put_registry_entry(&entry(&format!("a/{n}"), state)).await.unwrap();
        }
        store.put_registry_entry(&entry("a/0", EntryState::Deleted)).await.unwrap();
        let other = RegistryEntry { registry: "other".into(), ..entry("b/0", EntryState::Skipped) };
        store.put_registry_entry(&other).await.unwrap();
        let found = store.registry_entry("public", "a/0").await.unwrap().unwrap();
        assert!((now() - found.updated).abs() < 60);
        assert_eq!(RegistryEntry { updated: 0, ..found }, entry("a/0", EntryState::Deleted));
        assert_eq!(store.registry_entry("other", "a/0").await.unwrap(), None);
        let page = store.registry_entries("public", "a/0", 1).await.unwrap();
        assert_eq!(page.iter().map(|it| it.entry.as_str()).collect::<Vec<_>>(), ["a/1"]);
        let mut counts = store.count_registry_entries("public").await.unwrap();
        counts.sort_unstable();
        let expected = [EntryState::Proposed, EntryState::Skipped, EntryState::Deleted];
        assert_eq!(counts, expected.map(|state| (state, 1)));
    }
}

#[tokio::test]
async fn a_registry_has_so_many_entries_at_most() {
    for world in World::all() {
        let store = world.open().await;
        let mut connection = AnyConnection::connect(&world.url()).await.unwrap();
        sqlx::query(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) \
             INSERT INTO registry_entries (registry, entry, version, state, reason, server, proposed, \
             spec, digest, updated) \
             SELECT 'public', 'a/' || n, '1', 'waiting', '', '', '', '', '', 0 FROM numbers",
        )
        .bind(MOST_ENTRIES)
        .execute(&mut connection)
        .await
        .unwrap();
        let more = store.put_registry_entry(&entry("a/more", EntryState::Waiting)).await;
        assert!(matches!(more, Err(Error::Refused(_))), "{more:?}");
        store.put_registry_entry(&entry("a/7", EntryState::Deleted)).await.unwrap();
        let other = RegistryEntry { registry: "other".into(), ..entry("a/1", EntryState::Waiting) };
        store.put_registry_entry(&other).await.unwrap();
    }
}
