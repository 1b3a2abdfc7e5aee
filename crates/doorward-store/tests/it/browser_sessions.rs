//! Browser sessions, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

use crate::support::World;
use doorward_store::{Act, BrowserSession, EndOf, Error, now};

fn session(id: &str, principal: &str) -> BrowserSession {
    BrowserSession {
        id: id.into(),
        face: "console".into(),
        parent: None,
        principal: principal.into(),
        kind: "user".into(),
        name: principal.into(),
        tenant: Some("acme".into()),
        method: "openid".into(),
        key: None,
        provider: Some("corp".into()),
        subject: Some(format!("subject of {principal}")),
        sid: Some(format!("session of {id}")),
        address: None,
        sealed: "sealed".into(),
        created: now(),
        used: now(),
        idle: 60,
        expires: now() + 3_600,
    }
}

fn token(id: &str, of: &BrowserSession) -> BrowserSession {
    BrowserSession {
        face: "token".into(),
        parent: Some(of.id.clone()),
        ..session(id, &of.principal)
    }
}

#[tokio::test]
async fn sessions_of_a_principal_are_bounded_and_end_with_their_tokens() {
    for world in World::all() {
        let store = world.open().await;
        for at in 0..4 {
            let one = session(&format!("s{at}"), "alice");
            let one = BrowserSession { created: now() + at, ..one };
            store.put_browser_session(&one, 3).await.unwrap();
            store.put_browser_session(&token(&format!("t{at}"), &one), 3).await.unwrap();
        }
        store.put_browser_session(&session("bob", "bob"), 3).await.unwrap();
        let mut ids: Vec<_> =
            store.browser_sessions().await.unwrap().into_iter().map(|one| one.id).collect();
        ids.sort();
        assert_eq!(ids, ["bob", "s1", "s2", "s3"], "the oldest is gone, of alice alone");
        assert!(store.browser_session("t0").await.unwrap().is_none(), "its token");
        assert!(store.browser_session("t1").await.unwrap().is_some());
        assert_eq!(
            store.browser_session("s3").await.unwrap().unwrap().tenant.as_deref(),
            Some("acme")
        );

        let which = EndOf::ProviderSession { provider: "corp", sid: "session of s1" };
        assert_eq!(store.end_browser_sessions(which, None).await.unwrap(), 1);
        assert!(store.browser_session("t1").await.unwrap().is_none());
        let which = EndOf::ProviderSession { provider: "other", sid: "session of s2" };
        assert_eq!(store.end_browser_sessions(which, None).await.unwrap(), 0);
        let which = EndOf::ProviderSubject { provider: "corp", subject: "subject of alice" };
        let act = Act::new("login.end_by_administrator", "alice");
        assert_eq!(store.end_browser_sessions(which, Some(act)).await.unwrap(), 2);
        assert_eq!(store.end_browser_sessions_of("bob").await.unwrap(), 1);
        assert!(store.browser_sessions().await.unwrap().is_empty());
        assert!(matches!(store.end_browser_session("bob").await, Err(Error::Absent { .. })));
        store.close().await;
    }
}

#[tokio::test]
async fn a_session_is_over_when_it_is_idle_or_expired() {
    for world in World::all() {
        let store = world.open().await;
        let idle = BrowserSession { used: now() - 61, ..session("idle", "a") };
        let over = BrowserSession { expires: now() - 1, ..session("over", "b") };
        let used = BrowserSession { used: now() - 30, ..session("used", "c") };
        for one in [&idle, &over, &used] {
            store.put_browser_session(one, 3).await.unwrap();
        }
        let left = store.browser_sessions().await.unwrap();
        assert_eq!(left.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["used"]);
        let before = now();
        store.use_browser_session("used").await.unwrap();
        assert!(store.browser_session("used").await.unwrap().unwrap().used >= before);
        assert!(store.browser_session("idle").await.unwrap().is_some());
        store.prune_browser_sessions().await.unwrap();
        assert!(store.browser_session("idle").await.unwrap().is_none());
        assert!(store.browser_session("over").await.unwrap().is_none());
        assert!(store.browser_session("used").await.unwrap().is_some());
        store.close().await;
    }
}
