use super::*;
use doorward_mcp::Value;

use doorward_core::share::{Bounds, Shares};

fn wish(portal: Portal, filter: Filter) -> Wish {
    Wish {
        portal,
        servers: None,
        era: Era::Modern,
        caller: Principal::local(),
        filter,
        tasks: HashMap::new(),
        queue: 2,
        limit: 2,
        held: (Vec::new(), Shares::new(Bounds::new(1, 1)).take("", 0).unwrap()),
    }
}

fn updated(uri: &str) -> Object {
    let mut params = Object::new();
    params.set("uri", uri);
    params
}

#[tokio::test]
async fn a_change_reaches_those_who_asked_under_their_own_names() {
    let board = Arc::new(Switchboard::default());
    let uris = |uri: &str| Filter { uris: [uri.to_owned()].into(), ..Filter::default() };
    let mut merged = board.listen(wish(Portal::Merged, uris("fs+a:b"))).unwrap();
    let mut single = board.listen(wish(Portal::Server("fs".into()), uris("a:b"))).unwrap();
    board.publish("fs", None, method::RESOURCE_UPDATED, &updated("a:b"));
    board.publish("other", None, method::RESOURCE_UPDATED, &updated("a:b"));
    board.publish("fs", None, method::TOOLS_CHANGED, &Object::new());
    assert_eq!(merged.next().await.unwrap().params.string("uri").unwrap(), "fs+a:b");
    assert_eq!(single.next().await.unwrap().params.string("uri").unwrap(), "a:b");
    assert!(merged.inbox.try_recv().is_err() && single.inbox.try_recv().is_err());
}

#[tokio::test]
async fn a_listener_that_lags_is_cut_off() {
    let board = Arc::new(Switchboard::default());
    let uris = (0..5).map(|number| format!("fs+a:{number}")).collect();
    let filter = Filter { uris, ..Filter::default() };
    let mut listener = board.listen(wish(Portal::Merged, filter)).unwrap();
    for number in 0..5 {
        let updated = updated(&format!("a:{number}"));
        board.publish("fs", None, method::RESOURCE_UPDATED, &updated);
    }
    assert!(listener.next().await.is_some());
    assert!(listener.next().await.is_some());
    assert!(listener.next().await.is_none());
    assert_eq!(board.listeners(), 0);
}

#[tokio::test]
async fn what_a_server_repeats_waits_once() {
    let board = Arc::new(Switchboard::default());
    let mut listener = board.listen(wish(Portal::Merged, Filter::lists())).unwrap();
    for _ in 0..100_000 {
        board.publish("fs", None, method::TOOLS_CHANGED, &Object::new());
    }
    assert!(listener.next().await.is_some());
    assert!(listener.inbox.try_recv().is_err());
    // After it was taken the same is news.
    board.publish("fs", None, method::TOOLS_CHANGED, &Object::new());
    assert!(listener.next().await.is_some());
    assert_eq!(board.listeners(), 1);
}

#[tokio::test]
async fn of_one_resource_the_latest_notice_waits_alone() {
    let board = Arc::new(Switchboard::default());
    let filter = Filter { uris: ["s+a:1".into(), "s+a:2".into()].into(), ..Filter::default() };
    let mut listener = board.listen(wish(Portal::Merged, filter)).unwrap();
    for number in 0..3_000 {
        let mut params = updated("a:1");
        params.set("_meta", Value::from_serde(&serde_json::json!({ "n": number })));
        board.publish("s", None, method::RESOURCE_UPDATED, &params);
    }
    board.publish("s", None, method::RESOURCE_UPDATED, &updated("a:2"));
    let first = listener.next().await.unwrap();
    assert_eq!(first.params.to_bytes(), r#"{"uri":"s+a:1","_meta":{"n":2999}}"#);
    assert_eq!(listener.next().await.unwrap().params.string("uri").unwrap(), "s+a:2");
    assert!(listener.inbox.try_recv().is_err());
    assert_eq!((listener.waiting.lock().bytes, board.listeners()), (0, 1));
}

#[tokio::test]
async fn what_waits_for_a_listener_is_bounded_in_bytes() {
    let board = Arc::new(Switchboard::default());
    let tasks = ["t1", "t2", "t3"].map(|task| (task.to_owned(), task.to_owned())).into();
    let wish = Wish { tasks, queue: 64, ..wish(Portal::Server("s".into()), Filter::lists()) };
    let mut listener = board.listen(wish).unwrap();
    let mut large = updated("a:1");
    large.set("x", "x".repeat(WAITING_BYTES).as_str());
    for task in ["t1", "t1", "t2"] {
        assert_eq!(board.listeners(), 1, "one that is large waits alone, and is replaced");
        large.set("taskId", task);
        board.publish("s", None, method::TASK_CHANGED, &large);
    }
    assert_eq!(board.listeners(), 0);
    assert!(listener.next().await.is_some() && listener.next().await.is_none());
}

#[tokio::test]
async fn of_a_large_notice_of_a_resource_its_name_is_told() {
    let board = Arc::new(Switchboard::default());
    let filter = Filter { uris: ["a:/".into()].into(), ..Filter::default() };
    let mut listener = board.listen(wish(Portal::Server("s".into()), filter)).unwrap();
    let mut large = updated("a:/1");
    large.set("x", "x".repeat(UPDATE_BYTES).as_str());
    board.publish("s", None, method::RESOURCE_UPDATED, &large);
    let endless = updated(&format!("a:/{}", "x".repeat(UPDATE_BYTES)));
    board.publish("s", None, method::RESOURCE_UPDATED, &endless);
    assert_eq!(listener.next().await.unwrap().params.to_bytes(), r#"{"uri":"a:/1"}"#);
    assert!(listener.inbox.try_recv().is_err());
}

#[tokio::test]
async fn streams_are_counted_per_principal() {
    let board = Arc::new(Switchboard::default());
    let first = board.listen(wish(Portal::Merged, Filter::lists())).unwrap();
    let _second = board.listen(wish(Portal::Merged, Filter::lists())).unwrap();
    assert!(board.listen(wish(Portal::Merged, Filter::lists())).is_err());
    drop(first);
    assert!(board.listen(wish(Portal::Merged, Filter::lists())).is_ok());
}
