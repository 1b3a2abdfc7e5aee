//! The protocols of each era: what clients must send, and the responses to bad input.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::support::Gateway;
use crate::support::client::{Handshake, JSON, Modern, moment, send};
use serde_json::{Value, json};

const SAMPLE: &str = "servers: {sample: {sample: true}}";

fn post(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> crate::support::client::Answer {
    let mut all = JSON.to_vec();
    all.extend(headers);
    send(&gateway.address, "POST", path, &all, body.as_bytes()).unwrap()
}

#[test]
fn a_person_gets_a_page_and_a_program_gets_what_it_asks_for() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}\nidentity: {{issuers: {{a: {{issuer: 'https://a.example'}}}}}}"
    ));
    let get =
        |path, accept| send(&gateway.address, "GET", path, &[("accept", accept)], b"").unwrap();
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    let page = get("/", browser);
    assert_eq!((page.status, page.header("location")), (303, Some("/portal/")));
    let page = get("/mcp", browser);
    assert_eq!(page.status, 401);
    assert!(page.header("www-authenticate").is_some());
    assert!(page.body.contains("/mcp") && !page.body.contains("sample"));
    let answer = get("/mcp", "application/json, text/event-stream");
    assert_eq!((answer.status, answer.json()["jsonrpc"].as_str()), (401, Some("2.0")));
}

#[test]
fn modern_headers_must_agree_with_the_body() {
    let gateway = Gateway::start(SAMPLE);
    let client = Modern::new(&gateway, "/mcp");
    let body = client
        .body("tools/call", json!({ "name": "sample__add", "arguments": { "a": 1, "b": 2 } }));
    let text = body.to_string();
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "sample__add");
    for (case, headers, status, code) in [
        ("all agree", vec![version, method, name], 200, 0),
        ("encoded", vec![version, method, ("mcp-name", "=?base64?c2FtcGxlX19hZGQ=?=")], 200, 0),
        ("no version", vec![method, name], 400, -32020),
        ("no method", vec![version, name], 400, -32020),
        ("no name", vec![version, method], 400, -32020),
        (
            "another version",
            vec![("mcp-protocol-version", "2025-06-18"), method, name],
            400,
            -32020,
        ),
        ("another method", vec![version, ("mcp-method", "tools/list"), name], 400, -32020),
        ("another case", vec![version, ("mcp-method", "Tools/Call"), name], 400, -32020),
        ("another name", vec![version, method, ("mcp-name", "sample__echo")], 400, -32020),
        ("bad base64", vec![version, method, ("mcp-name", "=?base64?%%%?=")], 400, -32020),
        (
            "another name encoded",
            vec![version, method, ("mcp-name", "=?base64?c2FtcGxlX19lY2hv?=")],
            400,
            -32020,
        ),
        ("twice", vec![version, method, name, ("mcp-name", "sample__echo")], 400, -32020),
        ("twice alike", vec![version, method, method, name], 400, -32020),
    ] {
        let answer = post(&gateway, "/mcp", &headers, &text);
        assert_eq!((answer.status, answer.code()), (status, code), "{case}: {}", answer.body);
    }
}

#[test]
fn modern_requests_get_the_status_and_code_that_the_specification_says() {
    let gateway = Gateway::start(SAMPLE);
    let client = Modern::new(&gateway, "/mcp");
    let meta = |version: &str| {
        json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {} })
    };
    let ask = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let discover = |version: &str| ask("server/discover", json!({ "_meta": meta(version) }));
    for (case, body, version, status, code) in [
        ("a version of the future", discover("2099-01-01"), "2099-01-01", 400, -32022),
        (
            "a version of the past, without a session",
            discover("2025-06-18"),
            "2025-06-18",
            400,
            -32022,
        ),
        (
            "no capabilities",
            ask(
                "tools/list",
                json!({ "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28" } }),
            ),
            "2026-07-28",
            400,
            -32602,
        ),
        (
            "an unknown method",
            ask("vendor/unknown", json!({ "_meta": meta("2026-07-28") })),
            "2026-07-28",
            404,
            -32601,
        ),
        (
            "a method of the past",
            ask("ping", json!({ "_meta": meta("2026-07-28") })),
            "2026-07-28",
            404,
            -32601,
        ),
        (
            "an unknown tool",
            ask("tools/call", json!({ "name": "nowhere__x", "_meta": meta("2026-07-28") })),
            "2026-07-28",
            200,
            -32602,
        ),
        (
            "an unknown resource",
            ask("resources/read", json!({ "uri": "nowhere+x:y", "_meta": meta("2026-07-28") })),
            "2026-07-28",
            200,
            -32602,
        ),
        (
            "a bad cursor",
            ask("tools/list", json!({ "cursor": "%", "_meta": meta("2026-07-28") })),
            "2026-07-28",
            200,
            -32602,
        ),
    ] {
        let mut headers = Modern::headers(&body);
        headers[0].1 = version.into();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = post(&gateway, "/mcp", &headers, &body.to_string());
        assert_eq!((answer.status, answer.code()), (status, code), "{case}: {}", answer.body);
        assert_eq!(answer.json()["id"], 7, "{case}");
    }
    let missing = client.call("sample__introduce", json!({}));
    assert_eq!((missing.status, missing.code()), (400, -32021), "{}", missing.body);
    for method in ["GET", "DELETE", "PUT"] {
        let answer = send(&gateway.address, method, "/mcp", &JSON, b"").unwrap();
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").is_some());
    }
    assert_eq!(send(&gateway.address, "POST", "/elsewhere", &JSON, b"{}").unwrap().status, 404);
    assert_eq!(send(&gateway.address, "POST", "/mcp/unknown", &JSON, b"{}").unwrap().status, 404);
}

/// R1, T17: a later parser cannot read another meaning into an authorized request.
#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let gateway = Gateway::start(SAMPLE);
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let call = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params},{meta}}}}}"#)
    };
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "sample__echo"),
    ];
    let good = post(
        &gateway,
        "/mcp",
        &headers,
        &call(r#""name":"sample__echo","arguments":{"text":"x"}"#),
    );
    assert_eq!(good.text(), "x");
    for (params, code) in [
        (r#""name":"sample__echo","name":"sample__add""#, -32600),
        (r#""name":"sample__echo","Name":"sample__add""#, -32600),
        (r#""name":"sample__echo","n\u0061me":"sample__add""#, -32600),
        (r#""name":"sample__echo","arguments":{"a":1,"a":2}"#, -32600),
        (r#""name":"sample__echo","arguments":{"a":"\ud800"}"#, -32600),
        (r#""name":"sample__echo","arguments":{"a":NaN}"#, -32700),
        (r#""name":"sample__echo","arguments":{"a":01}"#, -32700),
    ] {
        let answer = post(&gateway, "/mcp", &headers, &call(params));
        assert_eq!(answer.status, 400, "{params}: {}", answer.body);
        assert!([code, -32700, -32600].contains(&answer.code()), "{params}: {}", answer.body);
    }
    for body in [
        "",
        "{",
        "null",
        "7",
        "\"x\"",
        "[1]",
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"x\"}",
        "\u{feff}{}",
    ] {
        assert_eq!(post(&gateway, "/mcp", &[], body).status, 400, "{body}");
    }
    let raw = send(&gateway.address, "POST", "/mcp", &JSON, b"{\"a\":\"\xff\xfe\"}").unwrap();
    assert_eq!(raw.status, 400);
}

/// R7, T10: a page of another site, or a name that was rebound to this address, gets nothing.
#[test]
fn foreign_origins_and_hosts_are_refused_on_every_door() {
    let gateway = Gateway::start(SAMPLE);
    let try_at = |address: &str, method: &str, path: &str, header: (&str, &str)| {
        let mut headers = JSON.to_vec();
        headers.push(header);
        send(address, method, path, &headers, b"{}").unwrap()
    };
    let doors = [
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("DELETE", "/mcp/sample"),
        ("GET", "/sse"),
        ("POST", "/messages"),
        ("OPTIONS", "/mcp"),
        ("GET", "/nowhere"),
    ];
    let operators = [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/admin/v1/servers/status"),
    ];
    for (address, doors) in [(&gateway.address, &doors[..]), (&gateway.admin, &operators[..])] {
        for (method, path) in doors {
            for header in [
                ("origin", "http://evil.example"),
                ("origin", "null"),
                ("host", "evil.example:7300"),
                ("host", "127.0.0.1.evil.example"),
            ] {
                let answer = try_at(address, method, path, header);
                assert_eq!(answer.status, 403, "{method} {path} {header:?}");
                assert!(answer.header("access-control-allow-origin").is_none());
            }
        }
    }
    let allowed = try_at(&gateway.address, "POST", "/mcp", ("origin", "http://localhost:6274"));
    assert_eq!(allowed.header("access-control-allow-origin"), Some("http://localhost:6274"));
    assert_eq!(
        try_at(&gateway.address, "OPTIONS", "/mcp", ("origin", "http://localhost:1")).status,
        204
    );
}

/// R4, T26: no header sent by a client decides who it is or where its call goes.
#[test]
fn headers_that_claim_an_identity_have_no_effect() {
    let gateway = Gateway::start(SAMPLE);
    let client = Modern::new(&gateway, "/mcp");
    let body =
        client.body("tools/call", json!({ "name": "sample__echo", "arguments": { "text": "x" } }));
    for header in [
        "mcp-init-host",
        "router-key",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-mcp-authorized",
        "x-real-ip",
        "forwarded",
    ] {
        let answer = client.send(&body, &[(header, "evil.example")]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "x"), "{header}");
    }
}

#[test]
fn a_session_speaks_the_revision_that_was_negotiated() {
    let gateway = Gateway::start(SAMPLE);
    for (asked, spoken) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("1999-01-01", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ] {
        let answer = Handshake::initialize(&gateway, "/mcp", asked, json!({}));
        assert_eq!(answer.result()["protocolVersion"], spoken, "{asked}");
    }
    let client = Handshake::open(&gateway, "/mcp/sample", "2025-06-18", json!({}));
    assert_eq!(client.ask(1, "ping", json!({})).result(), json!({}));
    let sum = client.call(2, "add", json!({ "a": 2, "b": 3 })).result();
    assert!(sum.get("resultType").is_none() && sum["content"][0]["text"] == "5", "{sum}");
    assert_eq!(client.ask(3, "server/discover", json!({})).code(), -32601);
    assert_eq!(client.end(), 204);
    assert_eq!(client.ask(4, "ping", json!({})).status, 404);
}

/// T9: a session id is not valid at another portal, and an invented one is not valid anywhere.
#[test]
fn a_session_is_good_for_its_own_portal_only() {
    let gateway = Gateway::start(SAMPLE);
    let client = Handshake::open(&gateway, "/mcp/sample", "2025-11-25", json!({}));
    for (path, session) in
        [("/mcp", client.session.as_str()), ("/mcp/sample", "00000000000000000000000000000000")]
    {
        let stolen = Handshake { path: path.into(), session: session.into(), ..client.clone() };
        assert_eq!(stolen.ask(1, "ping", json!({})).status, 404, "{path} {session}");
        assert_eq!(stolen.listen(None).status, 404);
        assert_eq!(stolen.end(), 404);
    }
    assert_eq!(client.ask(2, "ping", json!({})).status, 200);
    assert_eq!(client.session.len(), 32);
}

/// T16: batches exist in one revision only, and their size is limited there.
#[test]
fn batches_are_for_2025_03_26_alone() {
    let gateway = Gateway::start("limits: {batch: 3}\nservers: {sample: {sample: true}}");
    let batch = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "ping" },
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        { "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "sample__add", "arguments": { "a": 1, "b": 1 } } },
    ]);
    let old = Handshake::open(&gateway, "/mcp", "2025-03-26", json!({}));
    let answer = old.send(&batch);
    let answers = answer.json();
    assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers}");
    assert!(answers.as_array().unwrap().iter().any(|answer| answer["id"] == "a"));
    let mut many = batch.as_array().unwrap().clone();
    many.push(json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" }));
    assert_eq!(old.send(&json!(many)).status, 400);
    let new = Handshake::open(&gateway, "/mcp", "2025-06-18", json!({}));
    let refused = new.send(&batch);
    assert_eq!((refused.status, refused.code()), (400, -32600));
    // Without a session, the revision of the header applies, as for a single message.
    for (version, status) in [
        (None, 200),
        (Some("2025-03-26"), 200),
        (Some("2025-06-18"), 400),
        (Some("2026-07-28"), 400),
        (Some("nonsense"), 400),
    ] {
        let header = version.map(|version| ("mcp-protocol-version", version));
        let alone = post(&gateway, "/mcp", header.as_slice(), &batch.to_string());
        assert_eq!(alone.status, status, "{version:?}: {}", alone.body);
        if status == 200 {
            let answers = alone.json();
            assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers}");
            assert_eq!(answers[1]["result"]["content"][0]["text"], "2", "{answers}");
        }
    }
    let heard = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
    assert_eq!(post(&gateway, "/mcp", &[], &heard.to_string()).status, 202);
    for refused in [
        json!([]),
        json!(many),
        json!([batch[0], batch[0]]),
        json!([{ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} }]),
        json!([{ "jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": { "uri": "a:b" } }]),
    ] {
        let status = post(&gateway, "/mcp", &[], &refused.to_string()).status;
        assert_eq!(status, 400, "{refused}");
    }
}

/// An elicitation by a modern server, sent to clients of both eras.
#[test]
fn a_question_reaches_the_client_and_its_answer_the_server() {
    let gateway = Gateway::start(SAMPLE);
    let modern = Modern::new(&gateway, "/mcp").with(json!({ "elicitation": { "form": {} } }));
    let asked = modern.call("sample__introduce", json!({})).result();
    assert_eq!(asked["resultType"], "input_required");
    let answer = json!({ "name": { "action": "accept", "content": { "name": "Ada" } } });
    let retry = json!({ "name": "sample__introduce", "arguments": {}, "inputResponses": answer });
    assert_eq!(modern.ask("tools/call", retry).text(), "Hello, Ada!");

    let old = Handshake::open(&gateway, "/mcp", "2025-06-18", json!({ "elicitation": {} }));
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": { "name": "sample__introduce", "arguments": {} } });
    let mut stream = old.open_stream(&call);
    let question = stream.message().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    old.tell(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": { "name": "Grace" } } }));
    let answer = stream.message().unwrap();
    assert_eq!(
        (&answer["id"], &answer["result"]["content"][0]["text"]),
        (&json!("c"), &json!("Hello, Grace!"))
    );
    assert!(stream.message().is_none());
}

/// A client that loses its connection during a call has not cancelled it: it can resume the stream. A client that
/// cancels gets no response.
#[test]
fn a_call_outlives_its_connection_and_not_its_cancellation() {
    let gateway = Gateway::start(SAMPLE);
    let client = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let call = |id: i64, steps: u32| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "sample__slow", "arguments": { "steps": steps, "pause_ms": 50 }, "_meta": { "progressToken": "p" } } })
    };
    let mut stream = client.open_stream(&call(1, 4));
    let first = stream.message().unwrap();
    assert_eq!(
        (&first["method"], &first["params"]["progressToken"]),
        (&json!("notifications/progress"), &json!("p"))
    );
    let last = stream.last_id.clone().unwrap();
    drop(stream);
    let mut back = client.listen(Some(&last));
    let rest: Vec<Value> = std::iter::from_fn(|| back.message()).collect();
    let numbers: Vec<_> =
        rest.iter().filter_map(|message| message["params"]["progress"].as_f64()).collect();
    assert_eq!(numbers, [2.0, 3.0, 4.0], "{rest:?}");
    assert_eq!(rest.last().unwrap()["id"], 1);

    let mut stream = client.open_stream(&call(2, 100));
    assert!(stream.message().is_some());
    client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 2 } }));
    let rest: Vec<Value> = std::iter::from_fn(|| stream.message()).collect();
    assert!(rest.iter().all(|message| message.get("id").is_none()), "{rest:?}");
}

#[test]
fn changes_reach_who_listens_in_either_era() {
    let gateway = Gateway::start(SAMPLE);
    let old = Handshake::open(&gateway, "/mcp/sample", "2025-06-18", json!({}));
    let mut session = old.listen(None);
    old.ask(1, "resources/subscribe", json!({ "uri": "sample://clock" })).result();
    let mut modern = Modern::new(&gateway, "/mcp")
        .listen(json!({ "resourceSubscriptions": ["sample+sample://clock"] }));
    let update = modern.message().unwrap();
    assert_eq!(
        (&update["method"], &update["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("sample+sample://clock"))
    );
    assert!(update["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 1);
    let update = session.message().unwrap();
    assert_eq!(
        (&update["method"], &update["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("sample://clock"))
    );
    old.ask(2, "resources/unsubscribe", json!({ "uri": "sample://clock" })).result();
}

/// T23: the request state that a client holds is valid only for its own call.
#[test]
fn a_request_state_opens_nothing_but_its_own_call() {
    let gateway =
        Gateway::start(&format!("servers: {{ask: {{url: \"{}\"}}}}", handshake_backend()));
    let client = Modern::new(&gateway, "/mcp").with(json!({ "elicitation": { "form": {} } }));
    let asked = client.call("ask__ask", json!({})).result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let state = asked["requestState"].as_str().unwrap();
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let responses = json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
    let retry = |tool: &str, arguments: Value, state: &str| {
        client.ask("tools/call", json!({ "name": tool, "arguments": arguments, "inputResponses": responses, "requestState": state }))
    };
    let mut changed = state.to_owned();
    changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
    for (case, tool, arguments, state) in [
        ("changed", "ask__ask", json!({}), changed.as_str()),
        ("another tool", "ask__echo", json!({}), state),
        ("other arguments", "ask__ask", json!({ "text": "x" }), state),
        ("made up", "ask__ask", json!({}), "AAAA"),
    ] {
        let answer = retry(tool, arguments, state);
        assert_eq!(answer.code(), -32602, "{case}: {}", answer.body);
    }
    assert_eq!(retry("ask__ask", json!({}), state).text(), "hello Ada");
    assert_eq!(retry("ask__ask", json!({}), state).code(), -32602, "a place is taken once");
}

/// A backend on a separate runtime, for as long as the test runs.
fn handshake_backend() -> String {
    let runtime = Box::leak(Box::new(tokio::runtime::Runtime::new().unwrap()));
    runtime
        .block_on(doorward_bench::backend::start(doorward_bench::backend::Era::Handshake, 0))
        .unwrap()
        .url()
}

#[test]
fn http_sse_carries_answers_on_its_one_stream() {
    let gateway = Gateway::start(SAMPLE);
    let mut stream = crate::support::client::open(
        &gateway.address,
        "GET",
        "/sse/sample",
        &[("accept", "text/event-stream")],
        b"",
    )
    .unwrap();
    assert_eq!(stream.status, 200);
    let endpoint = stream.event().unwrap();
    assert!(endpoint.starts_with("/messages?session_id="), "{endpoint}");
    let tell = |body: Value| {
        let answer = send(
            &gateway.address,
            "POST",
            &endpoint,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
        .unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
    };
    tell(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } }));
    assert_eq!(stream.message().unwrap()["result"]["protocolVersion"], "2024-11-05");
    tell(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    tell(
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "add", "arguments": { "a": 2, "b": 2 } } }),
    );
    assert_eq!(stream.message().unwrap()["result"]["content"][0]["text"], "4");
    drop(stream);
    crate::support::wait_for("the session has ended with its stream", || {
        gateway.metric("doorward_client_sessions") == 0.0
    });
    moment();
    assert_eq!(
        send(
            &gateway.address,
            "POST",
            &endpoint,
            &JSON,
            b"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}"
        )
        .unwrap()
        .status,
        404
    );
}
