//! Streams: messages arrive one by one, in order, unchanged, and in constant memory (proof 3).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::client::{Handshake, Modern, Stream};
use crate::support::{Gateway, PROMPT};
use doorward_bench::backend::{self, Backend, Era};
use serde_json::{Value, json};

fn backend(runtime: &tokio::runtime::Runtime, era: Era) -> Backend {
    runtime.block_on(backend::start(era, 0)).unwrap()
}

fn gateway(modern: &Backend, old: &Backend) -> Gateway {
    Gateway::start(&format!(
        "timeouts: {{call: 30s}}\nservers: {{modern: {{url: \"{}\"}}, handshake: {{url: \"{}\"}}}}",
        modern.url(),
        old.url()
    ))
}

/// Reads `count` numbered notifications, then the response.
fn read_all(mut stream: Stream, count: usize) {
    for number in 0..count {
        let message = stream.message().unwrap_or_else(|| panic!("the stream ended at {number}"));
        let params = &message["params"];
        let told = params["number"].as_u64().or_else(|| params["progress"].as_u64());
        assert_eq!(told, Some(number as u64), "{message}");
        let text = params["text"].as_str().or_else(|| params["message"].as_str()).unwrap();
        assert_eq!(text.len(), 600 * (number % 7) / 6, "notification {number} was changed");
        if number % 3 == 0 {
            assert_eq!(
                (&message["method"], &params["progressToken"]),
                (&json!("notifications/progress"), &json!("token"))
            );
        } else {
            assert_eq!(message["method"], "notifications/vendor/numbered");
        }
    }
    let answer = stream.message().unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "told");
    assert!(stream.message().is_none());
}

#[test]
fn ten_thousand_notifications_arrive_one_by_one_through_both_adapters() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (modern, old) = (backend(&runtime, Era::Modern), backend(&runtime, Era::Handshake));
    let gateway = gateway(&modern, &old);
    const COUNT: usize = 10_000;
    let params = json!({ "name": "notify", "arguments": { "count": COUNT, "bytes": 600 }, "_meta": { "progressToken": "token" } });
    for server in ["modern", "handshake"] {
        let path = format!("/mcp/{server}");
        let client = Modern::new(&gateway, &path);
        read_all(client.open(&client.body("tools/call", params.clone())), COUNT);
        let client = Handshake::open(&gateway, &path, "2025-06-18", json!({}));
        let call = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
        read_all(client.open_stream(&call), COUNT);
    }
}

#[test]
fn a_large_event_arrives_whole() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (modern, old) = (backend(&runtime, Era::Modern), backend(&runtime, Era::Handshake));
    let gateway = gateway(&modern, &old);
    const SIZE: usize = 1 << 20;
    for server in ["modern", "handshake"] {
        let client = Modern::new(&gateway, &format!("/mcp/{server}"));
        let answer = client.call("big", json!({ "bytes": SIZE }));
        assert_eq!(answer.text().len(), SIZE);
        let params = json!({ "name": "notify", "arguments": { "count": 7, "bytes": SIZE },
            "_meta": { "progressToken": 1 } });
        let mut stream = client.open(&client.body("tools/call", params));
        let text =
            |params: &Value| params["text"].as_str().or(params["message"].as_str()).map(str::len);
        let sizes: Vec<usize> = std::iter::from_fn(|| stream.message())
            .filter_map(|message: Value| text(&message["params"]))
            .collect();
        assert_eq!(sizes, (0..7).map(|number| SIZE * number / 6).collect::<Vec<_>>());
    }
}

/// A client that reads one byte at a time delays no other client, and what it does not read stays with the server.
#[test]
fn a_slow_reader_costs_constant_memory_and_holds_up_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (modern, old) = (backend(&runtime, Era::Modern), backend(&runtime, Era::Handshake));
    let gateway = gateway(&modern, &old);
    let (_, before) = gateway.usage();
    // Far more than the gateway may buffer, and little enough to be read to the end.
    let params = json!({ "name": "notify", "arguments": { "count": 20_000, "bytes": 6_000 } });
    let mut slow = Vec::new();
    for server in ["modern", "handshake"] {
        let path = format!("/mcp/{server}");
        let client = Modern::new(&gateway, &path);
        slow.push(client.open(&client.body("tools/call", params.clone())));
        let client = Handshake::open(&gateway, &path, "2025-11-25", json!({}));
        slow.push(client.open_stream(
            &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }),
        ));
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        for stream in &slow {
            let mut byte = [0];
            let _ = stream.socket().read(&mut byte);
        }
        for server in ["modern", "handshake"] {
            let asked = Instant::now();
            let client = Modern::new(&gateway, &format!("/mcp/{server}"));
            assert_eq!(client.call("echo", json!({ "text": "quick" })).text(), "quick");
            assert!(asked.elapsed() < PROMPT, "held up for {:?}", asked.elapsed());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let grown = gateway.usage().1.saturating_sub(before);
    assert!(grown < 48 << 10, "grew by {grown} KiB");
    drop(slow);
    let open = || modern.seen.open.load(std::sync::atomic::Ordering::SeqCst);
    // A call of a handshake-era client continues without it, since the client may come back.
    let end = Instant::now() + 3 * crate::support::PATIENCE;
    while open() > 0 {
        assert!(Instant::now() < end, "the modern server was not told that nobody reads");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// When a client disconnects, the call is cancelled at the server at once.
#[test]
fn who_leaves_cancels_at_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (modern, old) = (backend(&runtime, Era::Modern), backend(&runtime, Era::Handshake));
    let gateway = gateway(&modern, &old);
    for (server, backend) in [("modern", &modern), ("handshake", &old)] {
        let open = || backend.seen.open.load(std::sync::atomic::Ordering::SeqCst);
        let client = Modern::new(&gateway, &format!("/mcp/{server}"));
        let address = client.address.clone();
        let body =
            client.body("tools/call", json!({ "name": "slow", "arguments": { "ms": 20_000 } }));
        let mut socket = crate::support::client::connect(&address);
        let text = body.to_string();
        let head = format!(
            "POST /mcp/{server} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: slow\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
        crate::support::wait_for("the server is asked", || open() == 1);
        drop(socket);
        let left = Instant::now();
        crate::support::wait_for("the server knows", || open() == 0);
        assert!(left.elapsed() < PROMPT, "{server}: {:?}", left.elapsed());
    }
}

/// A server that sends a notification and the response at once: none of it is lost.
#[test]
fn what_is_told_just_before_the_answer_is_not_lost() {
    use crate::support::hostile::{self, begin_stream, result_text, said};
    for era in [hostile::Era::Modern, hostile::Era::Handshake] {
        let server = hostile::start(era, |asked, out| {
            begin_stream(out);
            let told = r#"{"jsonrpc":"2.0","method":"notifications/vendor/told"}"#;
            let text = format!("data: {told}\n\ndata: {}\n\n", result_text(asked, &said("done")));
            let _ = std::io::Write::write_all(out, text.as_bytes());
        });
        let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
        let modern = Modern::new(&gateway, "/mcp/s");
        let old = Handshake::open(&gateway, "/mcp/s", "2025-06-18", json!({}));
        for round in 0..20 {
            for answer in [modern.call("bad", json!({})), old.call(round, "bad", json!({}))] {
                let messages = answer.messages();
                assert_eq!(messages.len(), 2, "{}", answer.body);
                assert_eq!(messages[0]["method"], "notifications/vendor/told");
                assert_eq!(messages[1]["result"]["content"][0]["text"], "done");
            }
        }
    }
}
