//! Global limits: no caller uses more than their share, in number and in bytes.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::client::{Handshake, Modern, send};
use crate::support::hostile::{Era, begin_stream, event, result_text, said, with_habit};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

const MIB: f64 = 1_048_576.0;

fn resident(gateway: &Gateway) -> f64 {
    gateway.usage().1 as f64 * 1024.0
}

/// The response of the admin API to an operator.
fn told(gateway: &Gateway, path: &str) -> String {
    let bearer = format!("Bearer {}", gateway.key(&["--user", "root", "--admin"]));
    let shown = [("authorization", bearer.as_str())];
    send(&gateway.admin, "GET", path, &shown, b"").unwrap().body
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = told(gateway, "/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{text}")).split(' ').nth(1).unwrap().parse().unwrap()
}

fn key(gateway: &Gateway, user: &str) -> String {
    let key = gateway.key(&["--user", user]);
    wait_for("the key is known", || {
        Modern::new(gateway, "/mcp").bearing(&key).ask("tools/list", json!({})).status == 200
    });
    key
}

#[test]
fn one_caller_opens_no_more_than_their_share_of_sessions() {
    let gateway = Gateway::start("limits: {sessions: 16}\nservers: {sample: {sample: true}}");
    let (alice, mallory) = (key(&gateway, "alice"), key(&gateway, "mallory"));
    let open =
        |key: &str| Handshake::open_bearing(&gateway, "/mcp", "2025-11-25", json!({}), Some(key));
    let hers = open(&alice);
    let all: Vec<_> = (0..40).map(|_| open(&mallory)).collect();
    assert!(metric(&gateway, "doorward_client_sessions") <= 3.0);
    assert_eq!(hers.ask(1, "ping", json!({})).status, 200, "nobody else gives way");
    assert_eq!(all[0].ask(1, "ping", json!({})).status, 404, "the oldest of their own does");
    assert_eq!(all[39].ask(1, "ping", json!({})).status, 200);
    let _in_use = [all[38].listen(None), all[39].listen(None)];
    let refused =
        Handshake::initialize_bearing(&gateway, "/mcp", "2025-11-25", json!({}), Some(&mallory));
    assert_eq!(refused.status, 429, "{}", refused.body);
    open(&alice);
}

#[test]
fn who_may_see_nothing_opens_nothing() {
    let gateway = Gateway::start("servers: {sample: {sample: true}, other: {sample: true}}");
    let nothing = gateway.key(&["--user", "mallory", "--server", "none"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&nothing);
    wait_for("the key is known", || client.ask("tools/list", json!({})).status == 200);
    for _ in 0..20 {
        let refused = Handshake::initialize_bearing(
            &gateway,
            "/mcp",
            "2025-11-25",
            json!({}),
            Some(&nothing),
        );
        assert_eq!(refused.status, 403, "{}", refused.body);
    }
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    assert!(client.ask("subscriptions/listen", listen).json().get("error").is_some());
    assert_eq!(metric(&gateway, "doorward_client_sessions"), 0.0);
    assert_eq!(metric(&gateway, "doorward_listeners"), 0.0);
    assert!(!gateway.told(&["audit", "search", "--json"]).contains("session.open"));
}

#[test]
fn one_caller_has_no_more_than_their_share_of_streams() {
    let gateway = Gateway::start(
        "limits: {connections: 64, connections_per_address: 64}\nservers: {sample: {sample: true}}",
    );
    let (alice, mallory) = (key(&gateway, "alice"), key(&gateway, "mallory"));
    let at = |key: &str| Modern::new(&gateway, "/mcp").bearing(key);
    let filter = json!({ "toolsListChanged": true });
    let _open: Vec<_> = (0..8).map(|_| at(&mallory).listen(filter.clone())).collect();
    let refused =
        at(&mallory).ask("subscriptions/listen", json!({ "notifications": filter.clone() }));
    assert_eq!(refused.status, 429, "{}", refused.body);
    at(&alice).listen(filter);
}

/// Invented capabilities, each of which needs a separate session with a server of the handshake era.
#[test]
fn one_caller_opens_no_more_than_their_share_of_sessions_with_a_server() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = opened.clone();
    let server = with_habit(Era::Handshake, move |asked, _| {
        if asked.message["method"] == "initialize" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        false
    });
    let gateway = Gateway::start(&format!(
        "limits: {{server_sessions: 16}}\nservers: {{s: {{url: \"{}\"}}}}",
        server.url()
    ));
    let (alice, mallory) = (key(&gateway, "alice"), key(&gateway, "mallory"));
    let at = |key: &str, capabilities: Value| {
        Modern::new(&gateway, "/mcp/s").bearing(key).with(capabilities)
    };
    let echo = |client: Modern| client.call("echo", json!({ "text": "x" })).status;
    for number in 0..40 {
        let made_up = json!({ "experimental": { format!("x{number}"): {} } });
        assert_eq!(echo(at(&mallory, made_up)), 200, "{number}");
    }
    let states: Value = serde_json::from_str(&told(&gateway, "/admin/v1/servers/status")).unwrap();
    assert!(states["items"][0]["sessions"].as_u64().unwrap() <= 4, "{states}");
    assert_eq!(echo(at(&alice, json!({ "experimental": { "own": {} } }))), 200);
    assert!(opened.load(Ordering::SeqCst) > 10);
}

#[test]
fn finished_calls_are_kept_within_bounds_of_bytes() {
    let server = with_habit(Era::Modern, |asked, out| {
        asked.message["method"] == "tools/call" && {
            begin_stream(out);
            event(out, r#"{"jsonrpc":"2.0","method":"notifications/vendor/x"}"#);
            event(out, &result_text(asked, &said(&"x".repeat(3 << 20))));
            let _ = out.shutdown(std::net::Shutdown::Both);
            true
        }
    });
    let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let sessions: Vec<_> =
        (0..4).map(|_| Handshake::open(&gateway, "/mcp/s", "2025-11-25", json!({}))).collect();
    sessions[0].call(1, "echo", json!({}));
    let before = resident(&gateway);
    for round in 0..16 {
        for session in &sessions {
            assert_eq!(session.call(round + 2, "echo", json!({})).text().len(), 3 << 20);
        }
    }
    let grown = (resident(&gateway) - before) / MIB;
    assert!(grown < 96.0, "{grown} MiB for 192 MiB of answers");
}

#[test]
fn a_client_that_does_not_read_holds_little() {
    let server = with_habit(Era::Modern, |asked, out| {
        asked.message["method"] == "tools/call"
            && {
                begin_stream(out);
                let large = "x".repeat(4 << 20);
                for _ in 0..100 {
                    let told = format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/vendor/x","params":{{"x":"{large}"}}}}"#
                    );
                    if out.write_all(format!("data: {told}\n\n").as_bytes()).is_err() {
                        break;
                    }
                }
                true
            }
    });
    let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let client = Modern::new(&gateway, "/mcp/s");
    let session = Handshake::open(&gateway, "/mcp/s", "2025-11-25", json!({}));
    let before = resident(&gateway);
    let body = client.body("tools/call", json!({ "name": "echo", "arguments": {} }));
    let _silent = [client.begin(&body), client.begin(&body)];
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "echo", "arguments": {} } });
    let _too = session.begin(&body);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let grown = (resident(&gateway) - before) / MIB;
    assert!(grown < 160.0, "{grown} MiB for three that read nothing");
}

/// One caller calls a slow server as often as they can; no other caller is refused for it.
#[test]
fn callers_take_turns_at_a_server_that_has_enough_to_do() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let shut = gate.clone();
    let server = with_habit(Era::Modern, move |asked, _| {
        if asked.message["method"] == "tools/call" {
            let (open, opened) = &*shut;
            drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        }
        false
    });
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{url: \"{}\", reliability: {{bulkhead: {{concurrency: 2, queue: 4, wait: 60s}}}}}}}}",
        server.url()
    ));
    let (alice, mallory) = (key(&gateway, "alice"), key(&gateway, "mallory"));
    let at = |key: &str| Modern::new(&gateway, "/mcp/s").bearing(key);
    at(&mallory).ask("tools/list", json!({}));
    let bearer = format!("Bearer {}", gateway.key(&["--user", "root", "--admin"]));
    let shed = |calls: u32| {
        let told = format!("doorward_shed_calls_total{{server=\"s\"}} {calls}\n");
        let shown = [("authorization", bearer.as_str())];
        let read = || send(&gateway.admin, "GET", "/metrics", &shown, b"").unwrap().body;
        wait_for("calls are shed", || read().contains(&told));
    };
    let body =
        at(&mallory).body("tools/call", json!({ "name": "echo", "arguments": { "text": "x" } }));
    let flood = |calls: usize| (0..calls).map(|_| at(&mallory).begin(&body)).collect::<Vec<_>>();
    let _before = flood(10);
    shed(4);
    let mut hers = at(&alice).begin(&body);
    shed(5);
    let _after = flood(8);
    shed(13);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let mut answer = String::new();
    while !answer.contains("\"jsonrpc\"") {
        let mut piece = [0; 4096];
        let read = hers.read(&mut piece).unwrap();
        assert!(read > 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(!answer.contains("overloaded"), "{answer}");
}

/// Many results, each on a separate connection, and none of them is read.
#[test]
fn results_that_nobody_reads_count_to_their_caller() {
    let server = with_habit(Era::Modern, |asked, out| {
        asked.message["method"] == "tools/call"
            && asked.message["params"]["arguments"]["text"] == "large"
            && {
                let text = result_text(asked, &said(&"x".repeat(12 << 20)));
                crate::support::hostile::answer(out, 200, "application/json", text.as_bytes());
                true
            }
    });
    // 32 MiB per caller: two results, and two more that wait for them.
    let gateway = Gateway::start(&format!(
        "limits: {{unread_bytes: 256MiB}}\nservers: {{s: {{url: \"{}\"}}}}",
        server.url()
    ));
    let (alice, mallory) = (key(&gateway, "alice"), key(&gateway, "mallory"));
    let at = |key: &str| Modern::new(&gateway, "/mcp/s").bearing(key);
    let body = at(&mallory)
        .body("tools/call", json!({ "name": "echo", "arguments": { "text": "large" } }));
    at(&mallory).call("echo", json!({ "text": "small" }));
    let unread: Vec<_> = (0..12).map(|_| at(&mallory).begin(&body)).collect();
    let heads = unread.into_iter().map(|socket| crate::support::client::read_head(socket).unwrap());
    let heads: Vec<_> = heads.collect();
    let statuses: Vec<_> = heads.iter().map(|head| head.status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() < 6, "{statuses:?}");
    let refused = at(&mallory).send(&body, &[]);
    assert_eq!((refused.status, refused.kind().as_str()), (429, "overloaded"));
    assert!(refused.body.contains("limits.unread_bytes"), "{}", refused.body);
    // Other callers and small results are not refused.
    assert_eq!(at(&mallory).call("echo", json!({ "text": "small" })).text(), "small");
    assert_eq!(at(&alice).send(&body, &[]).text().len(), 12 << 20);
    // A client that disconnects makes room.
    drop(heads);
    wait_for("there is room", || at(&mallory).send(&body, &[]).status == 200);
}

/// A server's requests to a client may wait for minutes: they have a separate limit, and count towards the caller's
/// share.
#[test]
fn questions_that_wait_are_bounded_in_bytes() {
    let server = with_habit(Era::Handshake, |asked, out| {
        asked.message["method"] == "tools/call" && {
            let length = asked.message["params"]["arguments"]["length"].as_u64().unwrap();
            let message = "q".repeat(usize::try_from(length).unwrap());
            begin_stream(out);
            let question = json!({ "jsonrpc": "2.0", "id": 7, "method": "elicitation/create",
                "params": { "message": message,
                    "requestedSchema": { "type": "object", "properties": {} } } });
            event(out, &question.to_string());
            crate::support::hostile::until_closed(out);
            true
        }
    });
    let gateway = Gateway::start(&format!(
        "limits: {{held_bytes: 8MiB}}\nservers: {{s: {{url: \"{}\"}}}}",
        server.url()
    ));
    let (alice, mallory) = (key(&gateway, "alice"), key(&gateway, "mallory"));
    let ask = |key: &str, length: usize| {
        let client = Modern::new(&gateway, "/mcp/s").bearing(key);
        let client = client.with(json!({ "elicitation": { "form": {} } }));
        client.call("echo", json!({ "length": length }))
    };
    let large = ask(&mallory, 2 << 20);
    assert_eq!(large.kind(), "too_large", "{}", large.body);
    let waits = |key: &str| ask(key, 700 << 10).json()["result"]["resultType"] == "input_required";
    assert!(waits(&mallory));
    let more = ask(&mallory, 700 << 10);
    assert_eq!(more.kind(), "overloaded", "{}", more.body);
    assert!(waits(&alice), "nobody else is held up");
}

#[test]
fn lists_are_kept_once_however_many_capabilities_are_declared() {
    for era in [Era::Modern, Era::Handshake] {
        let server = with_habit(era, move |asked, out| {
            asked.message["method"] == "tools/list" && {
                let tools: Vec<Value> = (0..50)
                    .map(|number| {
                        json!({ "name": format!("t{number}"),
                        "description": "x".repeat(100 << 10), "inputSchema": { "type": "object" } })
                    })
                    .collect();
                let result = json!({ "tools": tools, "resultType": "complete",
                    "ttlMs": 600_000, "cacheScope": "public" });
                let text = result_text(asked, &result);
                crate::support::hostile::answer(out, 200, "application/json", text.as_bytes());
                true
            }
        });
        let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
        let list = |number: usize| {
            let client = Modern::new(&gateway, "/mcp/s")
                .with(json!({ "experimental": { format!("x{number}"): {} } }));
            assert_eq!(client.ask("tools/list", json!({})).status, 200);
        };
        list(0);
        let before = resident(&gateway);
        (1..40).for_each(list);
        let grown = (resident(&gateway) - before) / MIB;
        assert!(grown < 100.0, "{era:?}: {grown} MiB for forty views of 5 MiB");
    }
}

#[test]
fn a_list_is_bounded_in_bytes() {
    let server = with_habit(Era::Modern, |asked, out| {
        asked.message["method"] == "tools/list" && {
            let tools = [json!({ "name": "a", "description": "x".repeat(600 << 10),
                "inputSchema": { "type": "object" } })];
            let page = asked.message["params"]["cursor"].as_str().unwrap_or("0");
            let next = page.parse::<usize>().unwrap() + 1;
            let mut result = json!({ "tools": tools, "nextCursor": next.to_string(),
                "resultType": "complete", "ttlMs": 1, "cacheScope": "public" });
            result["tools"][0]["name"] = format!("a{next}").into();
            let text = result_text(asked, &result);
            crate::support::hostile::answer(out, 200, "application/json", text.as_bytes());
            true
        }
    });
    let gateway = Gateway::start(&format!(
        "limits: {{list_bytes: 2MiB}}\nservers: {{s: {{url: \"{}\"}}}}",
        server.url()
    ));
    let failed = Modern::new(&gateway, "/mcp/s").ask("tools/list", json!({}));
    assert_eq!(failed.kind(), "too_large", "{}", failed.body);
    assert!(failed.body.contains("limits.list_bytes"), "{}", failed.body);
}

/// However often a server announces changes of its lists, a listener is notified a few times per second and keeps its
/// stream.
#[test]
fn what_a_server_repeats_is_told_a_few_times_a_second() {
    let server = with_habit(Era::Handshake, |asked, out| {
        let method = asked.message["method"].as_str().unwrap_or_default();
        if method == "initialize" {
            let result = json!({ "protocolVersion": "2025-11-25",
                "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "s", "version": "1" } });
            let text = result_text(asked, &result);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: s\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            let _ = out.write_all(head.as_bytes());
            return true;
        }
        asked.method == "GET"
            && {
                begin_stream(out);
                for number in 0..100_000 {
                    let told = format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{{"x":{number}}}}}}}"#
                    );
                    if !event(out, &told) {
                        break;
                    }
                }
                std::thread::sleep(std::time::Duration::from_secs(30));
                true
            }
    });
    let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let client = Modern::new(&gateway, "/mcp/s");
    let mut stream = client.listen(json!({ "toolsListChanged": true }));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
    stream.socket().set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let mut heard = 0;
    while std::time::Instant::now() < end {
        match stream.event() {
            Some(_) => heard += 1,
            // Nothing arrives for half a second, and the stream stays open.
            None => break,
        }
    }
    assert!(heard <= 16, "{heard} notices");
    // A debug build on a busy machine takes a while to read, and may fall behind with its audit log.
    wait_for("calls are answered", || {
        client.call("echo", json!({ "text": "x" })).json()["result"].is_object()
    });
    assert_eq!(gateway.metric("doorward_listeners"), 1.0);
}
