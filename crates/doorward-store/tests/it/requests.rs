//! Requests for access, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

use crate::support::World;
use doorward_store::{
    AccessRequest, Entry, Error, Granted, Kind, MOST_REQUESTS_OF_REQUESTER, NewRequest, Outcome,
    RequestKind, RequestState, Store,
};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 60 * 60;

fn wanted<'a>(who: &'a str, name: &'a str) -> NewRequest<'a> {
    NewRequest {
        kind: RequestKind::Tool,
        name,
        url: None,
        why: "To work. My key is AKIAIOSFODNN7EXAMPLE",
        requester: (Kind::User, who),
        tenant: Some("acme"),
    }
}

async fn opened(store: &Store, who: &str, name: &str) -> AccessRequest {
    store.open_request(&wanted(who, name), NOW).await.unwrap()
}

async fn states(store: &Store, state: Option<RequestState>, at: i64) -> Vec<String> {
    let all = store.requests(Some((Kind::User, "alice")), state, at, 100).await.unwrap();
    all.into_iter().map(|one| format!("{} {}", one.name, one.state.as_str())).collect()
}

#[tokio::test]
async fn a_request_is_decided_once_and_with_what_grants_it() {
    for world in World::all() {
        let store = world.open().await;
        let one = opened(&store, "alice", "a/b").await;
        assert!(!one.why.contains("AKIAIOSFODNN7EXAMPLE"), "{}", one.why);
        let entry = Entry { roles: ["reader".into()].into(), ..Entry::new(Kind::User, "alice") };
        let granted = Outcome::Granted(Granted::Role("reader".into()));
        // Rolled back with what was done for it.
        let batch = store.rehearsing().batch();
        batch.put_principal(&entry).await.unwrap();
        batch.end_request(&one.id, &granted, NOW).await.unwrap();
        batch.commit_batch().await.unwrap();
        assert!(store.principals().await.unwrap().is_empty());
        assert_eq!(store.waiting_requests(NOW).await.unwrap(), 1);

        let batch = store.batch();
        batch.put_principal(&entry).await.unwrap();
        let done = batch.end_request(&one.id, &granted, NOW).await.unwrap();
        batch.commit_batch().await.unwrap();
        assert_eq!(done.state, RequestState::Granted);
        assert_eq!(store.request(&one.id, NOW).await.unwrap(), Some(done));
        assert_eq!(store.principals().await.unwrap(), std::slice::from_ref(&entry));

        // What has been decided, or has expired, grants nothing any more.
        let two = opened(&store, "alice", "a/c").await;
        for (id, at) in [(&one.id, NOW), (&two.id, NOW + 31 * DAY)] {
            let more = Entry { roles: ["owner".into()].into(), ..entry.clone() };
            let batch = store.batch();
            batch.put_principal(&more).await.unwrap();
            let ended = batch.end_request(id, &granted, at).await;
            assert!(matches!(ended, Err(Error::Refused(_))), "{ended:?}");
            assert!(batch.commit_batch().await.is_err());
        }
        assert_eq!(store.principals().await.unwrap(), [entry]);
        let mut all = states(&store, None, NOW).await;
        all.sort();
        assert_eq!(all, ["a/b granted", "a/c open"]);
        assert_eq!(
            states(&store, Some(RequestState::Expired), NOW + 31 * DAY).await,
            ["a/c expired"]
        );
        let absent = store.end_request("absent", &Outcome::Withdrawn, NOW).await;
        assert!(matches!(absent, Err(Error::Absent { .. })));
    }
}

#[tokio::test]
async fn requests_are_bounded_by_requester_at_once_and_in_a_day() {
    for world in World::all() {
        let store = world.open().await;
        // Many at the same time are counted one after the other.
        let names: Vec<String> = (0..20).map(|n| format!("a/t{n}")).collect();
        let all: Vec<_> = names
            .into_iter()
            .map(|name| {
                let store = store.clone();
                tokio::spawn(async move {
                    store.open_request(&wanted("alice", &name), NOW).await.is_ok()
                })
            })
            .collect();
        let mut made = 0;
        for one in all {
            made += usize::from(one.await.unwrap());
        }
        assert_eq!(made, usize::try_from(MOST_REQUESTS_OF_REQUESTER).unwrap());
        opened(&store, "bob", "a/t0").await;
        // Withdrawing makes room, up to so many in a day.
        let mut again = 0;
        loop {
            let open = store
                .requests(Some((Kind::User, "alice")), Some(RequestState::Open), NOW, 1)
                .await
                .unwrap();
            store.end_request(&open[0].id, &Outcome::Withdrawn, NOW).await.unwrap();
            let name = format!("a/more{again}");
            if store.open_request(&wanted("alice", &name), NOW).await.is_err() {
                break;
            }
            again += 1;
        }
        assert_eq!(again, 20, "30 in a day");
        assert!(store.open_request(&wanted("alice", "a/later"), NOW + DAY + 1).await.is_ok());
        for (name, why) in [("x".repeat(401), "x".to_owned()), ("a/b".into(), "x".repeat(2_001))] {
            let long = NewRequest { name: &name, why: &why, ..wanted("bob", "") };
            assert!(matches!(store.open_request(&long, NOW).await, Err(Error::Refused(_))));
        }
        // What is long over is removed.
        opened(&store, "bob", "a/old").await;
        let at = NOW + 200 * DAY;
        store.open_request(&wanted("carol", "a/b"), at).await.unwrap();
        assert_eq!(store.requests(None, None, at, 1_000).await.unwrap().len(), 1);
    }
}
