//! Many concurrent clients: no response, notification or input request of one ever reaches another (R8, T18).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::support::Gateway;
use crate::support::client::{Handshake, Modern};
use doorward_bench::backend::{self, Backend, Era};
use doorward_bench::load::{Connection, Target};
use serde_json::json;

fn backends(runtime: &tokio::runtime::Runtime) -> (Backend, Backend) {
    runtime.block_on(async {
        (
            backend::start(Era::Modern, 0).await.unwrap(),
            backend::start(Era::Handshake, 0).await.unwrap(),
        )
    })
}

/// A gateway whose callers share sessions with the handshake-era server.
fn gateway(modern: &Backend, old: &Backend) -> Gateway {
    Gateway::start(&format!(
        "servers: {{modern: {{url: \"{}\"}}, old: {{url: \"{}\", affinity: shared}}}}",
        modern.url(),
        old.url()
    ))
}

#[test]
fn a_thousand_calls_with_one_id_each_get_their_own_answer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (modern, old) = backends(&runtime);
    let gateway = gateway(&modern, &old);
    runtime.block_on(async {
        let mut clients = Vec::new();
        for number in 0..40 {
            let era = if number % 2 == 0 { Era::Modern } else { Era::Handshake };
            let server = if number % 4 < 2 { "modern" } else { "old" };
            let target = Target {
                address: gateway.address.clone(),
                path: format!("/mcp/{server}"),
                era,
                token: None,
            };
            clients.push(tokio::spawn(async move {
                let mut connection = Connection::open(&target).await.unwrap();
                for round in 0..25 {
                    let secret = format!("secret-{number}-{round}");
                    let params = json!({ "name": "echo", "arguments": { "text": secret } });
                    let request = connection.written("tools/call", &params);
                    let answer = connection.exchange_text(&request).await.unwrap();
                    assert!(answer.contains(&secret), "{secret}: {answer}");
                    assert_eq!(answer.matches("secret-").count(), 1);
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
    });
    assert_eq!(modern.seen.open.load(std::sync::atomic::Ordering::SeqCst), 0);
}

/// On a shared session, elicitation requests reach the client whose call they belong to.
#[test]
fn questions_of_concurrent_calls_find_their_own_clients() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (modern, old) = backends(&runtime);
    let gateway = gateway(&modern, &old);
    let gateway = &gateway;
    std::thread::scope(|scope| {
        for number in 0..12 {
            scope.spawn(move || {
                let server = if number % 2 == 0 { "modern" } else { "old" };
                let path = format!("/mcp/{server}");
                let name = format!("client-{number}");
                let content = json!({ "action": "accept", "content": { "name": name } });
                for round in 0..5 {
                    let text = if number % 3 == 0 {
                        let client = Modern::new(gateway, &path).with(json!({ "elicitation": { "form": {} } }));
                        let asked = client.call("ask", json!({})).result();
                        let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
                        let mut retry = json!({ "name": "ask", "arguments": {}, "inputResponses": { key: content } });
                        if asked.get("requestState").is_some() {
                            retry["requestState"] = asked["requestState"].clone();
                        }
                        client.ask("tools/call", retry).text()
                    } else {
                        let client = Handshake::open(gateway, &path, "2025-11-25", json!({ "elicitation": {} }));
                        let call = json!({ "jsonrpc": "2.0", "id": round, "method": "tools/call", "params": { "name": "ask", "arguments": {} } });
                        let mut stream = client.open_stream(&call);
                        let question = stream.message().unwrap();
                        client.tell(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": content }));
                        let answer = stream.message().unwrap();
                        client.end();
                        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
                    };
                    assert_eq!(text, format!("hello {name}"));
                }
            });
        }
    });
    crate::support::wait_for("nothing is parked", || {
        gateway.metric("doorward_parked_calls") == 0.0
    });
}

/// A client's log level, subscription or capabilities do not affect another client.
#[test]
fn what_one_session_sets_is_its_own() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let one = Handshake::open(&gateway, "/mcp/sample", "2025-06-18", json!({ "elicitation": {} }));
    let two = Handshake::open(&gateway, "/mcp/sample", "2025-06-18", json!({}));
    let refused = two.call(1, "introduce", json!({})).result();
    assert_eq!(refused["isError"], true, "{refused}");
    one.ask(1, "resources/subscribe", json!({ "uri": "sample://clock" })).result();
    let mut listening = two.listen(None);
    listening.socket().set_read_timeout(Some(std::time::Duration::from_millis(2500))).unwrap();
    assert!(listening.message().is_none(), "another's subscription is heard");
}
