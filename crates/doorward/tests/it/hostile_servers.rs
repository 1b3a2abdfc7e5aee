//! Servers that lie, hang, disconnect, flood, and respond to unknown requests: each causes one clear error, the
//! others continue undisturbed, and nothing leaks (experiment 3, attacks T18 and T19).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::support::client::{Handshake, Modern};
use crate::support::hostile::{
    self, Asked, Era, answer, begin_stream, event, result_text, said, until_closed,
};
use crate::support::{Gateway, PROMPT, wait_for};
use serde_json::json;

const LIMITS: &str =
    "limits: {message: 256KiB, json_depth: 32}\ntimeouts: {call: 2s, call_with_progress: 6s}\n";

type Bad = fn(&Asked, &mut TcpStream);

/// What a server does, and the kind of the resulting error; empty for a valid response.
const CASES: &[(&str, Bad, &str)] = &[
    ("HTTP 500", |_, out| answer(out, 500, "text/html", b"<h1>oops</h1>"), "http_status"),
    ("HTTP 503", |_, out| answer(out, 503, "application/json", b"{}"), "http_status"),
    ("HTTP 401", |_, out| answer(out, 401, "text/plain", b"who are you"), "unauthorized"),
    (
        "a page instead of JSON",
        |_, out| answer(out, 200, "text/html", b"<html>"),
        "invalid_message",
    ),
    (
        "broken JSON",
        |_, out| answer(out, 200, "application/json", b"{\"jsonrpc\":"),
        "invalid_json",
    ),
    (
        "no UTF-8",
        |_, out| answer(out, 200, "application/json", b"{\"a\":\"\xff\xfe\"}"),
        "invalid_message",
    ),
    (
        "no JSON-RPC",
        |_, out| answer(out, 200, "application/json", b"{\"hello\":1}"),
        "invalid_message",
    ),
    (
        "neither result nor error",
        |asked, out| {
            answer(
                out,
                200,
                "application/json",
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{}}}", asked.id()).as_bytes(),
            );
        },
        "invalid_message",
    ),
    (
        "another's id",
        |_, out| {
            answer(
                out,
                200,
                "application/json",
                b"{\"jsonrpc\":\"2.0\",\"id\":424242,\"result\":{\"content\":[]}}",
            );
        },
        "wrong_id",
    ),
    (
        "an id that is nearly its own",
        |asked, out| {
            let text = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":\"0{}\",\"result\":{{\"content\":[]}}}}",
                asked.id()
            );
            answer(out, 200, "application/json", text.as_bytes());
        },
        "wrong_id",
    ),
    ("an empty body", |_, out| answer(out, 200, "application/json", b""), "invalid_json"),
    ("nothing at all", |_, _| {}, "stream_ended"),
    (
        "a reset",
        |_, out| {
            let _ = out.shutdown(Shutdown::Both);
        },
        "stream_ended",
    ),
    (
        "half a body",
        |_, out| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"");
        },
        "stream_ended",
    ),
    (
        "a stream without an answer",
        |_, out| {
            begin_stream(out);
            event(out, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/vendor/x\"}");
        },
        "stream_ended",
    ),
    (
        "rubbish on the stream",
        |_, out| {
            begin_stream(out);
            event(out, "not json");
        },
        "invalid_json",
    ),
    (
        "a stream of binary",
        |_, out| {
            begin_stream(out);
            let _ = out.write_all(b"data: \xff\xfe\x00\x01\n\n");
        },
        "invalid_json",
    ),
    ("silence", |_, out| until_closed(out), "timeout"),
    (
        "a stream that only drips comments",
        |_, out| {
            begin_stream(out);
            while out.write_all(b": drip\n\n").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        },
        "timeout",
    ),
    (
        "a body that drips",
        |_, out| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n");
            while out.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        },
        "timeout",
    ),
    (
        "a gigabyte announced",
        |_, out| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n");
            until_closed(out);
        },
        "too_large",
    ),
    (
        "an event without end",
        |_, out| {
            begin_stream(out);
            let chunk = [b'x'; 64 << 10];
            let _ = out.write_all(b"data: ");
            while out.write_all(&chunk).is_ok() {}
        },
        "too_large",
    ),
    (
        "a chunked body without end",
        |_, out| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
            let chunk = vec![b' '; 0x8000];
            while out.write_all(b"8000\r\n").is_ok()
                && out.write_all(&chunk).is_ok()
                && out.write_all(b"\r\n").is_ok()
            {}
        },
        "too_large",
    ),
    (
        "100,000 levels",
        |asked, out| {
            let text = result_text(asked, &json!("@"))
                .replace("\"@\"", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
            answer(out, 200, "application/json", text.as_bytes());
        },
        "invalid_message",
    ),
    (
        "compressed, unasked",
        |_, out| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00");
        },
        "invalid_message",
    ),
    (
        "a redirect elsewhere",
        |_, out| {
            let _ = out.write_all(
                b"HTTP/1.1 307 X\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            );
        },
        "http_status",
    ),
    (
        "headers without end",
        |_, out| {
            let _ = out.write_all(b"HTTP/1.1 200 OK\r\n");
            while out.write_all(b"x-long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").is_ok() {}
        },
        "stream_ended",
    ),
    (
        "answered twice",
        |asked, out| {
            begin_stream(out);
            event(out, &result_text(asked, &said("first")));
            event(out, &result_text(asked, &said("second")));
        },
        "",
    ),
];

/// Calls the bad tool. The response must arrive in time and match the case.
fn check(
    case: &str,
    answer: &crate::support::client::Answer,
    kind: &str,
    server: &str,
    began: Instant,
) {
    assert!(began.elapsed() < 3 * PROMPT, "{case} took {:?}", began.elapsed());
    if kind.is_empty() {
        assert_eq!(answer.text(), "first", "{case}");
        return;
    }
    let message = answer.json();
    let error = &message["error"];
    assert_eq!(error["data"]["kind"], kind, "{case}: {message}");
    assert_eq!(error["data"]["server"], server, "{case}");
    assert!(error["data"]["retryable"].is_boolean(), "{case}");
    assert_eq!(error["data"]["call"].as_str().map(str::len), Some(16), "{case}");
    let code = error["code"].as_i64().unwrap();
    assert!((-31999..-31000).contains(&code), "{case}: {code}");
    let text = message.to_string();
    assert!(
        !text.contains("127.0.0.1") && !text.contains("oops"),
        "{case} tells internals: {text}"
    );
}

fn suffers_one_clear_error(era: Era) {
    let servers: Vec<_> = CASES.iter().map(|(_, bad, _)| hostile::start(era, *bad)).collect();
    let good = hostile::start(era, |_, _| {});
    let mut config = format!("{LIMITS}servers:\n  good: {{url: \"{}\"}}\n", good.url());
    for (at, server) in servers.iter().enumerate() {
        config.push_str(&format!("  s{at}: {{url: \"{}\"}}\n", server.url()));
    }
    let mut gateway = Gateway::start(&config);
    let modern = Modern::new(&gateway, "/mcp");
    let old = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    // Call every server once before counting.
    for at in 0..CASES.len() {
        assert_eq!(modern.call(&format!("s{at}__echo"), json!({ "text": "x" })).text(), "x");
    }
    let mut warm = (0, 0);
    for round in 1..=2 {
        for (at, (case, _, kind)) in CASES.iter().enumerate() {
            let (tool, server) = (format!("s{at}__bad"), format!("s{at}"));
            let began = Instant::now();
            check(case, &modern.call(&tool, json!({})), kind, &server, began);
            let began = Instant::now();
            let id = i64::try_from(at).unwrap();
            check(case, &old.call(id, &tool, json!({})), kind, &server, began);
            let others = modern.call("good__echo", json!({ "text": "still here" }));
            assert_eq!(others.text(), "still here", "after {case}");
            assert_eq!(servers[at].calls(), 2 * round, "{case}: a call is never sent twice");
        }
        // Connection pools and the allocator fill in the first round, which is not a leak.
        if round == 1 {
            warm = gateway.usage();
        }
    }
    assert!(gateway.is_alive());
    assert_eq!(old.end(), 204);
    // Each calling thread may leave one idle connection per server for reuse.
    let files = warm.0 + servers.len();
    wait_for("nothing is left behind", || gateway.is_idle() && gateway.usage().0 <= files);
    wait_for("the second round has cost no memory", || gateway.usage().1 < warm.1 + (32 << 10));
}

#[test]
fn a_modern_server_that_misbehaves_is_one_clear_error() {
    suffers_one_clear_error(Era::Modern);
}

#[test]
fn a_handshake_server_that_misbehaves_is_one_clear_error() {
    suffers_one_clear_error(Era::Handshake);
}

#[test]
fn a_modern_server_may_not_ask_on_its_stream() {
    let server = hostile::start(Era::Modern, |_, out| {
        begin_stream(out);
        event(out, r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#);
        until_closed(out);
    });
    let gateway = Gateway::start(&format!("{LIMITS}servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let client = Modern::new(&gateway, "/mcp/s").with(json!({ "sampling": {} }));
    assert_eq!(client.call("bad", json!({})).kind(), "invalid_message");
}

/// A flood uses constant memory, and calls to another server are answered meanwhile.
#[test]
fn a_flood_of_notifications_is_held_back() {
    let server = hostile::start(Era::Modern, |asked, out| {
        begin_stream(out);
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/vendor/flood","params":{{"t":"{}"}}}}"#,
            "f".repeat(1000)
        );
        for _ in 0..200_000 {
            if !event(out, &text) {
                return;
            }
        }
        event(out, &result_text(asked, &said("done")));
    });
    let good = hostile::start(Era::Modern, |_, _| {});
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{url: \"{}\"}}, good: {{url: \"{}\"}}}}",
        server.url(),
        good.url()
    ));
    let client = Modern::new(&gateway, "/mcp");
    let body = client.body("tools/call", json!({ "name": "s__bad", "arguments": {} }));
    let (_, before) = gateway.usage();
    // The client reads nothing, so the server's output stays with the server.
    let stream = client.open(&body);
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(client.call("good__echo", json!({ "text": "x" })).text(), "x");
        assert!(began.elapsed() < PROMPT);
        std::thread::sleep(Duration::from_millis(20));
    }
    let grown = gateway.usage().1.saturating_sub(before);
    assert!(grown < 32 << 10, "grew by {grown} KiB");
    drop(stream);
}

/// A server that goes down and comes back as another era is probed again.
#[test]
fn a_server_that_is_down_at_the_start_appears_when_it_is_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::start(&format!(
        "servers: {{late: {{url: \"http://{address}/mcp\"}}, sample: {{sample: true}}}}"
    ));
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).text(), "2");
    let answer = client.call("late__echo", json!({ "text": "x" }));
    assert_eq!(answer.kind(), "unreachable", "{}", answer.body);
    assert_eq!(gateway.states()[0]["state"], "down");
    let mut listening = client.listen(json!({ "toolsListChanged": true }));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
    let _guard = runtime.enter();
    doorward_bench::backend::serve(listener, doorward_bench::backend::Era::Modern, 0).unwrap();
    assert_eq!(listening.message().unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(client.call("late__echo", json!({ "text": "here" })).text(), "here");
}

/// Every log line of a call carries its id, which the client receives as well.
#[test]
fn every_line_of_a_call_carries_its_id() {
    let server = hostile::start(Era::Modern, |_, out| answer(out, 500, "text/plain", b"no"));
    let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let failed = Modern::new(&gateway, "/mcp/s").call("bad", json!({}));
    let id = failed.json()["error"]["data"]["call"].as_str().unwrap().to_owned();
    wait_for("its failure is logged", || {
        gateway.log().iter().any(|line| line.contains("the call failed") && line.contains(&id))
    });
    let lines = gateway.log();
    let deep = |line: &&String| line.contains("hyper_util") && line.contains(&id);
    assert!(lines.iter().any(|line| deep(&line)), "{lines:#?}");
}
