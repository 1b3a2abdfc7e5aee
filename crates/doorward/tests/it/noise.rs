//! Servers that fail on unknown methods, and servers that print lines that are not messages.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Gateway;
use crate::support::client::Modern;
use crate::support::hostile::{
    Asked, Era, answer, begin_stream, event, result_text, said, with_habit,
};
use serde_json::json;

fn in_front_of(url: &str) -> Gateway {
    Gateway::start(&format!("timeouts: {{probe: 1s, call: 5s}}\nservers:\n  s: {{url: \"{url}\"}}"))
}

fn is(asked: &Asked, method: &str) -> bool {
    asked.message["method"] == method
}

/// How a server reacts to an unknown request.
#[test]
fn a_server_that_trips_over_an_unknown_request_is_reached_by_the_handshake() {
    type Trips = fn(&mut TcpStream);
    let ways: [(&str, Trips); 8] = [
        ("500", |out| answer(out, 500, "text/plain", b"oops")),
        ("502", |out| answer(out, 502, "text/html", b"<html>")),
        ("503", |out| answer(out, 503, "text/plain", b"busy")),
        ("429", |out| answer(out, 429, "text/plain", b"slowly")),
        ("401", |out| answer(out, 401, "text/plain", b"a session is needed")),
        ("403", |out| answer(out, 403, "text/plain", b"no")),
        ("closed", |out| _ = out.shutdown(Shutdown::Both)),
        ("no event", |out| {
            begin_stream(out);
            let _ = out.shutdown(Shutdown::Both);
        }),
    ];
    for (what, trips) in ways {
        let server = with_habit(Era::Handshake, move |asked, out| {
            is(asked, "server/discover") && {
                trips(out);
                true
            }
        });
        let gateway = in_front_of(&server.url());
        let answered = Modern::new(&gateway, "/mcp/s").call("echo", json!({ "text": "x" }));
        assert_eq!(answered.text(), "x", "{what}: {}", answered.body);
    }
    // For a server that never answers, the first failure is reported.
    let server = with_habit(Era::Handshake, |_, out| {
        answer(out, 503, "text/plain", b"busy");
        true
    });
    let gateway = in_front_of(&server.url());
    let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
    assert_eq!(failed.kind(), "http_status", "{}", failed.body);
}

const PROGRAM: &str = r#"
import json, os, sys
habit, asked = sys.argv[1], False
def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
for line in sys.stdin:
    m = json.loads(line)
    method, id = m.get("method"), m.get("id")
    if method == "server/discover":
        asked = True
        if habit in ("refuses", "ends"):
            say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "unknown"}}))
        continue
    if asked and habit == "ends":
        sys.exit(1)
    if asked and habit == "refuses":
        say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32600, "message": "expected initialize"}}))
        continue
    if asked and habit == "silent":
        continue
    if id is None:
        if habit == "noisy":
            say('{"jsonrpc":"2.0","result":{}}')
        continue
    if method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "n", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        text = m["params"]["arguments"]["text"]
        result = {"content": [{"type": "text", "text": str(os.getpid())}]}
        if text == "broken":
            say('{"jsonrpc":"2.0","id":%d,"result":[]}' % id)
            continue
        if habit == "noisy":
            for noise in ['{ port: 3000 }', '{"level":30,"msg":"started"}', "{'a': 1}",
                          '{"jsonrpc":"2.0","id":null,"result":{}}', '{"jsonrpc":"2.0","method":"n","params":[]}',
                          '{"jsonrpc":"2.0","id":5.5,"method":"ping"}', '{"jsonrpc":"2.0","id":%d,"method":"ping","params":[]}' % id]:
                say(noise)
    else:
        result = {}
    say(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}))
"#;

fn program(habit: &str) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.py");
    std::fs::write(&file, PROGRAM).unwrap();
    let gateway = Gateway::start(&format!(
        "timeouts: {{probe: 1s, call: 20s}}\nservers:\n  s: {{command: {}, args: [\"{}\", {habit}]}}",
        crate::support::python(),
        file.display()
    ));
    (gateway, folder)
}

#[test]
fn a_program_that_takes_nothing_after_an_unknown_request_is_started_afresh() {
    for habit in ["refuses", "ends", "silent"] {
        let (gateway, _folder) = program(habit);
        let answered = Modern::new(&gateway, "/mcp/s").call("echo", json!({ "text": "x" }));
        assert!(answered.text().parse::<u32>().is_ok(), "{habit}: {}", answered.body);
    }
}

/// Programs print log lines on standard output. A line that replaces a response fails only that call.
#[test]
fn lines_that_are_no_messages_end_no_program() {
    let (gateway, _folder) = program("noisy");
    let client = Modern::new(&gateway, "/mcp/s");
    let first = client.call("echo", json!({ "text": "x" }));
    assert!(first.text().parse::<u32>().is_ok(), "{}", first.body);
    let failed = client.call("echo", json!({ "text": "broken" }));
    assert_eq!(failed.kind(), "invalid_message", "{}", failed.body);
    let next = client.call("echo", json!({ "text": "x" }));
    assert_eq!(next.text(), first.text(), "it is the same program");
    assert!(
        gateway.metric("doorward_server_deviations_total{server=\"s\",deviation=\"noise\"}")
            >= 15.0
    );
}

#[test]
fn events_that_answer_nothing_are_skipped() {
    for era in [Era::Modern, Era::Handshake] {
        for noise in [
            "hello",
            "{}",
            r#"{"level":"info"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":99999,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        ] {
            let server = with_habit(era, move |asked, out| {
                is(asked, "tools/call") && {
                    begin_stream(out);
                    event(out, noise);
                    if asked.message["params"]["arguments"]["text"] == "x" {
                        event(out, &result_text(asked, &said("there")));
                    }
                    let _ = out.shutdown(Shutdown::Both);
                    true
                }
            });
            let gateway = in_front_of(&server.url());
            let client = Modern::new(&gateway, "/mcp/s");
            let answered = client.call("echo", json!({ "text": "x" }));
            assert_eq!(answered.text(), "there", "{era:?} {noise}: {}", answered.body);
            let failed = client.call("echo", json!({ "text": "none" }));
            assert!(failed.json().get("error").is_some(), "{era:?} {noise}: {}", failed.body);
        }
    }
}

/// An invalid response may mean a lost session: the next call uses a new session, and no call is sent twice.
#[test]
fn after_an_answer_that_is_none_the_next_call_is_made_in_another_session() {
    let json = "application/json";
    for (status, kind, body) in [
        (400, "text/html", "<html>"),
        (400, "application/problem+json", r#"{"title":"bad"}"#),
        (401, "text/plain", ""),
        (409, "text/plain", ""),
        (440, "text/plain", ""),
        (200, "text/plain", "what?"),
        (200, json, ""),
        (
            200,
            json,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"Server not initialized"}}"#,
        ),
        (
            200,
            json,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"Received request before initialization was complete"}}"#,
        ),
    ] {
        let (opened, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, refused) = (opened.clone(), lost.clone());
        let server = with_habit(Era::Handshake, move |asked, out| {
            if is(asked, "initialize") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            is(asked, "tools/call") && asked.message["params"]["arguments"]["text"] == "lost" && {
                refused.fetch_add(1, Ordering::SeqCst);
                answer(out, status, kind, body.replace("ID", &asked.id()).as_bytes());
                true
            }
        });
        let gateway = in_front_of(&server.url());
        let client = Modern::new(&gateway, "/mcp/s");
        assert_eq!(client.call("echo", json!({ "text": "a" })).text(), "a");
        let before = opened.load(Ordering::SeqCst);
        let failed = client.call("echo", json!({ "text": "lost" }));
        let what = format!("{status} {kind} {body}: {}", failed.body);
        assert!(failed.json().get("error").is_some(), "{what}");
        assert_eq!(client.call("echo", json!({ "text": "c" })).text(), "c", "{what}");
        assert_eq!(lost.load(Ordering::SeqCst), 1, "{what}");
        assert!(opened.load(Ordering::SeqCst) > before, "{what}");
    }
}

/// The session id may come late, and each response may change it.
#[test]
fn the_latest_id_of_a_session_is_sent() {
    let named = Arc::new(AtomicUsize::new(0));
    let server = with_habit(Era::Handshake, move |asked, out| {
        if asked.method != "POST" || is(asked, "server/discover") {
            return false;
        }
        let result = match asked.message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({ "protocolVersion": "2025-11-25",
                "capabilities": { "tools": {} }, "serverInfo": { "name": "s", "version": "1" } }),
            "tools/list" => json!({ "tools": [{ "name": "echo", "inputSchema": {} }] }),
            _ => said("there"),
        };
        let first = is(asked, "initialize");
        let now = named.load(Ordering::SeqCst).to_string();
        if !first && now != "0" && asked.header("mcp-session-id") != Some(now.as_str()) {
            answer(out, 400, "text/plain", b"another session");
            return true;
        }
        let next = if first { 0 } else { named.fetch_add(1, Ordering::SeqCst) + 1 };
        named.store(next, Ordering::SeqCst);
        let name = if first { String::new() } else { format!("mcp-session-id: {next}\r\n") };
        let (status, text) = match asked.message["id"].is_null() {
            true => (202, String::new()),
            false => (200, result_text(asked, &result)),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{name}content-length: {}\r\n\r\n{text}",
            text.len()
        );
        let _ = out.write_all(head.as_bytes());
        true
    });
    let gateway = in_front_of(&server.url());
    let client = Modern::new(&gateway, "/mcp/s");
    for _ in 0..3 {
        let answered = client.call("echo", json!({}));
        assert_eq!(answered.text(), "there", "{}", answered.body);
    }
}

/// Such a server accepts requests, so the first request decides.
#[test]
fn a_server_that_refuses_notifications_is_used() {
    for status in [400, 405, 500] {
        let server = with_habit(Era::Handshake, move |asked, out| {
            if is(asked, "notifications/initialized") {
                answer(out, status, "text/plain", b"");
                return true;
            }
            is(asked, "tools/call") && {
                let kind = ["application/json-rpc", "application/json, application/json"];
                let kind = kind[usize::from(status == 400)];
                answer(out, 200, kind, result_text(asked, &said("there")).as_bytes());
                true
            }
        });
        let gateway = in_front_of(&server.url());
        let answered = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
        assert_eq!(answered.text(), "there", "{status}: {}", answered.body);
    }
}
