//! Every limit is exceeded once, and the refusal is clear (row A8).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::client::{Handshake, JSON, Modern, connect, open, read_head, send};
use crate::support::{Gateway, PROMPT, wait_for};
use doorward_bench::backend::{self, Backend, Era};
use serde_json::json;

fn with(limits: &str) -> Gateway {
    Gateway::start(&format!("{limits}\nservers: {{sample: {{sample: true}}}}"))
}

fn backend(runtime: &tokio::runtime::Runtime, era: Era, tools: usize) -> Backend {
    runtime.block_on(backend::start(era, tools)).unwrap()
}

#[test]
fn a_body_too_large_is_413_however_it_is_sent() {
    let gateway = with("limits: {body: 64KiB}");
    let client = Modern::new(&gateway, "/mcp");
    let fits = client.call("sample__echo", json!({ "text": "x".repeat(60 << 10) }));
    assert_eq!(fits.status, 200);
    let large = client.call("sample__echo", json!({ "text": "x".repeat(64 << 10) }));
    assert_eq!(large.status, 413, "{}", large.body);
    assert!(large.body.contains("65536"), "the limit is told: {}", large.body);
    let mut stream = connect(&gateway.address);
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\ntransfer-encoding: chunked\r\n\r\n",
        gateway.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    for _ in 0..3 {
        let _ = stream.write_all(chunk.as_bytes());
    }
    assert_eq!(read_head(stream).unwrap().status, 413);
}

#[test]
fn headers_too_large_are_431() {
    let gateway = with("limits: {headers: 16KiB}");
    let long = "x".repeat(20 << 10);
    let mut headers = JSON.to_vec();
    headers.push(("x-long", &long));
    assert_eq!(send(&gateway.address, "POST", "/mcp", &headers, b"{}").unwrap().status, 431);
    assert_eq!(
        Modern::new(&gateway, "/mcp").call("sample__add", json!({ "a": 1, "b": 1 })).text(),
        "2"
    );
}

#[test]
fn json_too_deep_is_refused() {
    let gateway = with("limits: {json_depth: 16}");
    let client = Modern::new(&gateway, "/mcp");
    let nested = |depth: usize| {
        serde_json::from_str::<serde_json::Value>(&format!(
            "{}{}",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
        .unwrap()
    };
    assert_eq!(client.call("sample__echo", json!({ "text": "x", "more": nested(8) })).status, 200);
    let deep = client.call("sample__echo", json!({ "text": "x", "more": nested(16) }));
    assert_eq!((deep.status, deep.code()), (400, -32600), "{}", deep.body);
}

#[test]
fn sessions_are_bounded_and_room_is_made_by_ending_one() {
    let gateway = with("limits: {sessions: 2}");
    let first = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let second = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    // The session that was idle longest is evicted.
    let third = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    assert_eq!(first.ask(1, "ping", json!({})).status, 404);
    assert_eq!(second.ask(1, "ping", json!({})).status, 200);
    // A session in use is not evicted.
    let _streams = [second.listen(None), third.listen(None)];
    let refused = Handshake::initialize(&gateway, "/mcp", "2025-11-25", json!({}));
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"), "{}", refused.body);
    let stream =
        open(&gateway.address, "GET", "/sse", &[("accept", "text/event-stream")], b"").unwrap();
    assert_eq!(stream.status, 503);
    third.end();
    Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
}

#[test]
fn a_session_that_nothing_uses_is_forgotten() {
    let gateway = with("timeouts: {session: 1s}");
    let client = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    wait_for("the session is forgotten", || gateway.metric("doorward_client_sessions") == 0.0);
    assert_eq!(client.ask(1, "ping", json!({})).status, 404);
}

#[test]
fn streams_are_bounded_per_principal_with_429() {
    let gateway = with("limits: {streams_per_principal: 3}");
    let client = Modern::new(&gateway, "/mcp");
    let mut open: Vec<_> =
        (0..3).map(|_| client.listen(json!({ "toolsListChanged": true }))).collect();
    let refused = client.ask("subscriptions/listen", json!({ "notifications": {} }));
    assert_eq!((refused.status, refused.kind().as_str()), (429, "overloaded"), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    open.pop();
    wait_for("room is made", || gateway.metric("doorward_listeners") == 2.0);
    client.listen(json!({ "toolsListChanged": true }));
}

#[test]
fn subscriptions_of_one_listener_are_bounded() {
    let gateway = with("limits: {subscriptions: 2}");
    let uris = ["sample+sample://a", "sample+sample://b", "sample+sample://c"];
    let answer = Modern::new(&gateway, "/mcp")
        .ask("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": uris } }));
    assert_eq!(answer.code(), -32602, "{}", answer.body);
}

#[test]
fn parked_calls_are_bounded_in_number_and_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let old = backend(&runtime, Era::Handshake, 0);
    let gateway = Gateway::start(&format!(
        "limits: {{parked: 1}}\ntimeouts: {{interaction: 1s}}\nservers: {{s: {{url: \"{}\"}}}}",
        old.url()
    ));
    let client = Modern::new(&gateway, "/mcp/s").with(json!({ "elicitation": { "form": {} } }));
    let first = client.call("ask", json!({})).result();
    assert_eq!(first["resultType"], "input_required");
    // The oldest parked call is evicted and can no longer be continued.
    let second = client.call("ask", json!({})).result();
    assert_eq!(second["resultType"], "input_required");
    let late = client.ask(
        "tools/call",
        json!({ "name": "ask", "arguments": {}, "requestState": first["requestState"],
            "inputResponses": {} }),
    );
    assert_eq!(late.code(), -32602, "{}", late.body);
    wait_for("nobody came back, and the place is free", || {
        gateway.metric("doorward_parked_calls") == 0.0
    });
    wait_for("the server was told", || {
        old.seen.open.load(std::sync::atomic::Ordering::SeqCst) == 0
    });
    let key = first["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let late = client.ask(
        "tools/call",
        json!({ "name": "ask", "arguments": {}, "requestState": first["requestState"],
        "inputResponses": { key: { "action": "accept", "content": { "name": "x" } } } }),
    );
    assert_eq!(late.code(), -32602, "{}", late.body);
}

#[test]
fn lists_of_a_server_are_bounded_and_told_page_by_page() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = backend(&runtime, Era::Modern, 250);
    let start = |limits: &str| {
        Gateway::start(&format!(
            "limits: {{{limits}}}\nservers: {{s: {{url: \"{}\"}}}}",
            backend.url()
        ))
    };
    let gateway = start("page_size: 100");
    let client = Modern::new(&gateway, "/mcp/s");
    let mut names = Vec::new();
    let mut cursor = json!(null);
    let mut pages = 0;
    loop {
        let mut params = json!({});
        if !cursor.is_null() {
            params["cursor"] = cursor.clone();
        }
        let page = client.ask("tools/list", params).result();
        names.extend(
            page["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page.get("nextCursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    assert_eq!((pages, names.len()), (3, 250));
    let gateway = start("list_items: 100");
    let refused = Modern::new(&gateway, "/mcp/s").ask("tools/list", json!({}));
    assert_eq!(refused.kind(), "too_large", "{}", refused.body);
    assert!(refused.body.contains("100 items"));
}

/// Connections that send slowly are closed, and other clients are served meanwhile (experiment 4, T20).
#[test]
fn slow_senders_are_cut_off_and_starve_nobody() {
    let gateway = with("timeouts: {headers: 8s, body: 8s}");
    let client = Modern::new(&gateway, "/mcp");
    let half = |text: &str| {
        let mut stream = connect(&gateway.address);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\ncontent-length: 100\r\n\r\n{{",
        gateway.address
    );
    let before = gateway.usage();
    let slow: Vec<_> = (0..500)
        .map(|number| half(if number % 2 == 0 { "POST /mcp HTTP/1.1\r\nx: " } else { &head }))
        .collect();
    wait_for("they are connected", || gateway.usage().0 > before.0 + 400);
    let grown = gateway.usage().1.saturating_sub(before.1);
    assert!(grown < 64 << 10, "grew by {grown} KiB");
    for _ in 0..50 {
        let began = Instant::now();
        assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
        assert!(began.elapsed() < PROMPT);
    }
    wait_for("they are cut off", || gateway.usage().0 < before.0 + 20);
    let mut last = slow.into_iter().next_back().unwrap();
    let mut text = String::new();
    let _ = std::io::Read::read_to_string(&mut last, &mut text);
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn connections_are_bounded_and_more_wait_their_turn() {
    let gateway = with("limits: {connections: 4, connections_per_address: 8}");
    let slow = Modern::new(&gateway, "/mcp");
    let body = slow.body(
        "tools/call",
        json!({ "name": "sample__slow",
        "arguments": { "steps": 10, "pause_ms": 150 } }),
    );
    // The connections must be busy, since idle ones would be closed to make room.
    let held: Vec<_> = (0..4).map(|_| slow.begin(&body)).collect();
    wait_for("they are busy", || gateway.metric("doorward_calls_in_flight") == 4.0);
    let waiting = std::thread::spawn({
        let client = Modern::new(&gateway, "/mcp");
        move || client.call("sample__add", json!({ "a": 1, "b": 1 })).text()
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!waiting.is_finished());
    drop(held);
    assert_eq!(waiting.join().unwrap(), "2");
}

#[test]
fn processes_and_sessions_with_servers_are_bounded() {
    let program = env!("CARGO_BIN_EXE_doorward");
    let inner = Gateway::start("servers: {sample: {sample: true}}");
    let server =
        format!("{{command: {program}, args: [connect, \"{}\"]}}", inner.url("/mcp/sample"));
    let gateway = Gateway::start(&format!(
        "limits: {{processes: 1}}\nservers: {{one: {server}, two: {server}}}"
    ));
    let states = gateway.states();
    let up = states.as_array().unwrap().iter().filter(|state| state["state"] == "up").count();
    let problem = states.to_string();
    assert!(up == 1 && problem.contains("limit of 1 server processes"), "{problem}");
}

/// R10: garbage, malformed bodies and broken connections, repeatedly.
#[test]
fn rubbish_from_clients_changes_nothing() {
    let mut gateway = with("");
    let client = Modern::new(&gateway, "/mcp");
    let round = || {
        for body in [&b"{"[..], b"\xff\xff", b"{\"jsonrpc\":\"2.0\"}", b"[[[[", b"\0"] {
            assert_eq!(send(&gateway.address, "POST", "/mcp", &JSON, body).unwrap().status, 400);
        }
        for text in [
            "\0\0\0\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "POST /mcp HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let mut stream = connect(&gateway.address);
            let _ = stream.write_all(text.as_bytes());
        }
        let mut stream = connect(&gateway.address);
        let _ = stream.write_all(format!("POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\ncontent-length: 1000\r\n\r\n{{\"a\"", gateway.address).as_bytes());
    };
    (0..50).for_each(|_| round());
    wait_for("all is closed", || gateway.usage().0 < 60);
    let (_, before) = gateway.usage();
    (0..300).for_each(|_| round());
    wait_for("all is closed", || gateway.usage().0 < 60);
    let grown = gateway.usage().1.saturating_sub(before);
    assert!(grown < 24 << 10, "grew by {grown} KiB");
    assert!(gateway.is_alive() && !gateway.logged("panicked"));
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).text(), "2");
}

/// R11: the gateway does not match a URI against a template; only the server does.
#[test]
fn a_long_uri_costs_nothing() {
    let gateway = with("");
    let uri = format!(
        "sample+sample://greeting/{}",
        (0..5000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    let client = Modern::new(&gateway, "/mcp");
    client.ask("resources/read", json!({ "uri": uri }));
    let began = Instant::now();
    let answer = client.ask("resources/read", json!({ "uri": uri }));
    assert!(answer.status == 200 && began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

/// Whether the other side has closed a connection.
fn is_closed(socket: &mut std::net::TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let closed = matches!(std::io::Read::read(socket, &mut [0; 64]), Ok(0));
    socket.set_nonblocking(false).unwrap();
    closed
}

#[test]
fn idle_connections_of_one_address_give_way_to_its_next() {
    let gateway = Gateway::start(
        "limits: {connections: 40, connections_per_address: 8}\ntimeouts: {headers: 60s}\n\
         servers: {sample: {sample: true}}\n",
    );
    let mut idle: Vec<_> = (0..30).map(|_| connect(&gateway.address)).collect();
    // All connections are idle: the next one is served at once, and only the share stays open.
    let answer = Modern::new(&gateway, "/mcp").call("sample__add", json!({ "a": 1, "b": 2 }));
    assert_eq!(answer.text(), "3");
    wait_for("the others are closed", || {
        idle.iter_mut().map(is_closed).filter(|closed| *closed).count() >= 22
    });
    // Busy connections stay open, and their calls are answered.
    let slow = Modern::new(&gateway, "/mcp");
    let arguments = json!({ "steps": 10, "pause_ms": 100 });
    let busy = std::thread::spawn(move || slow.call("sample__slow", arguments).result());
    wait_for("it is busy", || gateway.metric("doorward_calls_in_flight") == 1.0);
    let _more: Vec<_> = (0..30).map(|_| connect(&gateway.address)).collect();
    assert!(busy.join().unwrap()["content"].is_array());
}

#[test]
fn a_request_names_its_host_once_and_its_head_is_bounded_exactly() {
    let gateway = Gateway::start("limits: {headers: 32KiB}\nservers: {sample: {sample: true}}\n");
    let status = |head: &str| {
        let mut socket = connect(&gateway.address);
        std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
        read_head(socket).map_or(0, |answer| answer.status)
    };
    let own = &gateway.address;
    for (head, expected) in [
        ("GET /mcp HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET /mcp HTTP/1.1\r\nhost: {own}\r\n\r\n"), 405),
        ("GET http://localhost/mcp HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET http://evil.example/mcp HTTP/1.1\r\nhost: {own}\r\n\r\n"), 403),
        (format!("GET http://{own}/mcp HTTP/1.1\r\nhost: {own}\r\n\r\n"), 405),
        (format!("GET http://{own}/mcp HTTP/1.1\r\nhost: evil.example\r\n\r\n"), 403),
    ] {
        assert_eq!(status(&head), expected, "{head}");
    }
    for (length, expected) in [(31 << 10, 405), (33 << 10, 431), (40 << 10, 431), (47 << 10, 431)] {
        let head =
            format!("GET /mcp HTTP/1.1\r\nhost: {own}\r\nx-long: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(status(&head), expected, "{length}");
        let many: String =
            (0..length / 100).map(|n| format!("x-{n:04}: {}\r\n", "y".repeat(90))).collect();
        let head = format!("GET /mcp HTTP/1.1\r\nhost: {own}\r\n{many}\r\n");
        if length < 32 << 10 {
            continue;
        }
        assert_eq!(status(&head), 431, "{length} in many");
    }
}

#[test]
fn names_that_are_made_up_are_one_label() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}\n");
    let modern = Modern::new(&gateway, "/mcp/sample");
    for number in 0..50 {
        modern.call(&format!("made-up-{number}"), json!({}));
        modern.ask("prompts/get", json!({ "name": format!("made-up-{number}") }));
        modern.ask(&format!("made/up-{number}"), json!({}));
    }
    assert_eq!(modern.call("add", json!({ "a": 1, "b": 2 })).text(), "3");
    let (_, text) = gateway.get_admin("/metrics");
    assert!(!text.contains("made-up") && !text.contains("made/up"), "{text}");
    assert!(text.contains("tool=\"other\",outcome=\"error\""), "{text}");
    assert!(text.contains("tool=\"add\",outcome=\"ok\""), "{text}");
}
