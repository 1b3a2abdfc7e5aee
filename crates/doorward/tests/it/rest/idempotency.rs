//! Idempotency keys: nothing is done twice, whoever asks at once, and whatever breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Rest, code};
use crate::support::client::{Answer, begin};
use crate::support::hostile::{Era, Hostile, said, scripted};
use crate::support::services::postgres;
use crate::support::{Gateway, folder, store_in, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A server whose calls are counted and take a while.
fn counting(pause: Duration) -> (Hostile, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = scripted(Era::Modern, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => {
            let tool = json!({ "name": "pay", "inputSchema": { "type": "object" } });
            Some(json!({ "tools": [tool], "ttlMs": 600_000, "cacheScope": "public" }))
        }
        "tools/call" => {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            std::thread::sleep(pause);
            Some(said(&format!("paid {number}")))
        }
        _ => None,
    });
    (server, count)
}

fn config(store: &str, server: &Hostile) -> String {
    format!(
        "store: {store}\nstate_key: 0123456789abcdef0123456789abcdef\nservers: {{bank: {{url: \"{}\"}}}}\n",
        server.url()
    )
}

fn pay(rest: &Rest, key: &str, amount: i64) -> Answer {
    let body = json!({ "tool": "bank/pay", "input": { "amount": amount } }).to_string();
    rest.send("POST", "/execute", &[("idempotency-key", key)], &body)
}

#[test]
fn of_all_requests_with_a_key_one_is_carried_out() {
    let (server, count) = counting(Duration::from_millis(300));
    let files = folder();
    let gateway = Gateway::start(&config(&store_in(files.path()), &server));
    let rest = Rest::new(&gateway);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let rest = rest.clone();
            std::thread::spawn(move || pay(&rest, "one", 1))
        })
        .collect();
    let answers: Vec<Answer> = threads.into_iter().map(|it| it.join().unwrap()).collect();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let replayed = answers.iter().filter(|it| it.header("idempotency-replayed").is_some()).count();
    assert_eq!(replayed, 7);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("doorward-request-id"), Some(&*id));
    }
    // The same words in another order are the same request; others are not.
    let body = r#"{ "input": {"amount": 1}, "tool": "bank/pay" }"#;
    let same = rest.send("POST", "/execute", &[("idempotency-key", "one")], body);
    assert_eq!(same.body, answers[0].body);
    let other = pay(&rest, "one", 2);
    assert_eq!((other.status, &*code(&other)), (409, "idempotency_conflict"));
    assert_eq!(pay(&rest, "two", 1).json()["data"], "paid 2");
    let in_body = json!({ "tool": "bank/pay", "input": {}, "idempotency_key": "three" });
    let first = rest.post("/execute", in_body.clone());
    assert_eq!(rest.post("/execute", in_body).body, first.body);
    // What was not sent can be sent.
    let unknown = json!({ "tool": "bank/none", "input": {} }).to_string();
    for _ in 0..2 {
        let answer = rest.send("POST", "/execute", &[("idempotency-key", "four")], &unknown);
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (404, None));
    }
    assert_eq!(pay(&rest, "four", 1).json()["data"], "paid 4");
    // Calls of models, in the same way.
    let calls =
        json!([{ "type": "tool_use", "id": "1", "name": "bank__pay", "input": {} }]).to_string();
    let model = || rest.send("POST", "/tools/execute", &[("idempotency-key", "five")], &calls);
    let first = model();
    assert_eq!(first.json()["results"][0]["content"][0]["text"], "paid 5", "{}", first.body);
    assert_eq!(model().body, first.body);
    assert_eq!(count.load(Ordering::SeqCst), 5);
    for key in ["", &"x".repeat(256)] {
        assert_eq!(pay(&rest, key, 1).status, 400);
    }
}

#[test]
fn a_call_with_a_key_runs_to_its_end_without_its_client() {
    let (server, count) = counting(Duration::from_millis(500));
    let files = folder();
    let gateway = Gateway::start(&config(&store_in(files.path()), &server));
    let rest = Rest::new(&gateway);
    let body = json!({ "tool": "bank/pay", "input": { "amount": 1 } }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
    let connection =
        begin(&rest.address, "POST", "/api/v1/execute", &headers, body.as_bytes()).unwrap();
    wait_for("the server was called", || count.load(Ordering::SeqCst) == 1);
    drop(connection);
    let answer = pay(&rest, "one", 1);
    assert_eq!((&answer.json()["data"], count.load(Ordering::SeqCst)), (&json!("paid 1"), 1));
    // As a stream, the result is all there is to tell.
    let headers = [("idempotency-key", "one"), ("accept", "text/event-stream")];
    let streamed = rest.send("POST", "/execute", &headers, &body);
    assert_eq!(streamed.messages().last().unwrap()["data"], "paid 1", "{}", streamed.body);
}

#[test]
fn what_a_killed_gateway_has_begun_is_never_done_again() {
    let (server, count) = counting(Duration::from_secs(2));
    let files = folder();
    let config = config(&store_in(files.path()), &server);
    let mut gateway = Gateway::start(&config);
    let rest = Rest::new(&gateway);
    let running = std::thread::spawn(move || {
        let body = json!({ "tool": "bank/pay", "input": { "amount": 1 } }).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
        // The connection breaks.
        let _ = crate::support::client::send(
            &rest.address,
            "POST",
            "/api/v1/execute",
            &headers,
            body.as_bytes(),
        );
    });
    wait_for("the server was called", || count.load(Ordering::SeqCst) == 1);
    gateway.signal(Signal::SIGKILL);
    gateway.wait();
    running.join().unwrap();
    let gateway = Gateway::start(&config);
    let rest = Rest::new(&gateway);
    for _ in 0..3 {
        let answer = pay(&rest, "one", 1);
        assert_eq!((answer.status, &*code(&answer)), (409, "outcome_unknown"), "{}", answer.body);
        assert_eq!(answer.json()["error"]["retryable"], false);
    }
    assert_eq!(pay(&rest, "one", 2).status, 409);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(pay(&rest, "two", 1).status, 200);
}

#[test]
fn replicas_carry_a_request_out_once() {
    let files = folder();
    let (_database, store) = postgres(files.path());
    let (server, count) = counting(Duration::from_millis(100));
    let config = config(&store, &server);
    let gateways = [Gateway::start(&config), Gateway::start(&config)];
    let keys = 12;
    let threads: Vec<_> = (0..6)
        .map(|number| {
            let rest = Rest::new(&gateways[number % 2]);
            std::thread::spawn(move || {
                let answers = (0..keys).map(|key| pay(&rest, &format!("key {key}"), key));
                answers.map(|answer| (answer.status, answer.json()["data"].clone())).collect()
            })
        })
        .collect();
    let told: Vec<Vec<(u16, Value)>> = threads.into_iter().map(|it| it.join().unwrap()).collect();
    assert_eq!(count.load(Ordering::SeqCst), usize::try_from(keys).unwrap());
    for of in &told {
        assert_eq!(of, &told[0]);
        assert!(of.iter().all(|(status, _)| *status == 200), "{of:?}");
    }
}
