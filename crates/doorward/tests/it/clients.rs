//! Real-world clients: what several SDKs, scripts and load balancers do and need works as it does without the
//! gateway.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::client::{self, Answer, Handshake, JSON, Modern};
use crate::support::hostile::{self, Era, Hostile, begin_stream, event, result_text, said};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// A server that stores the calls that it receives.
fn keeping(era: Era) -> (Hostile, Arc<Mutex<Vec<Value>>>) {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let keep = seen.clone();
    let server = hostile::scripted(era, move |asked| {
        if asked.message["method"] == "tools/call" {
            keep.lock().unwrap().push(asked.message["params"].clone());
            return Some(said("done"));
        }
        None
    });
    (server, seen)
}

fn before(server: &Hostile, more: &str) -> Gateway {
    let gateway = Gateway::start(&format!("{more}servers:\n  a: {{url: \"{}\"}}\n", server.url()));
    wait_for("the server is up", || gateway.states()[0]["state"] == "up");
    gateway
}

fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    client::send(&gateway.address, "POST", path, headers, body.to_string().as_bytes()).unwrap()
}

const BOTH: [Era; 2] = [Era::Modern, Era::Handshake];

#[test]
fn what_is_null_is_absent() {
    for era in BOTH {
        let (server, seen) = keeping(era);
        let gateway = before(&server, "");
        for path in ["/mcp", "/mcp/a"] {
            let tool = if path == "/mcp" { "a__echo" } else { "echo" };
            let params = json!({ "name": tool, "arguments": null });
            let modern = Modern::new(&gateway, path);
            assert_eq!(modern.ask("tools/call", params.clone()).text(), "done", "{era:?} {path}");
            let old = Handshake::open(&gateway, path, "2025-06-18", json!({}));
            assert_eq!(old.ask(1, "tools/call", params).text(), "done", "{era:?} {path}");
            let tools = old.ask(2, "tools/list", Value::Null).result();
            assert_eq!(tools["tools"].as_array().unwrap().len(), 2);
            assert_eq!(old.ask(3, "ping", Value::Null).result(), json!({}));
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 4);
        assert!(seen.iter().all(|params| params["arguments"] == json!({})), "{seen:?}");
    }
}

/// The headers of a client that accepts these content types.
fn accepting(accept: &'static str) -> [(&'static str, &'static str); 2] {
    [("content-type", "application/json"), ("accept", accept)]
}

/// A server whose tool `bad` reports progress twice before it responds.
fn telling(era: Era) -> Hostile {
    hostile::start(era, |asked, out| {
        begin_stream(out);
        let token = asked.message["params"]["_meta"]["progressToken"].clone();
        for progress in 0..2 {
            let told = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": token, "progress": progress } });
            event(out, &told.to_string());
        }
        event(out, &result_text(asked, &said("told")));
    })
}

#[test]
fn a_client_that_takes_one_form_alone_gets_it() {
    for era in BOTH {
        let server = telling(era);
        let gateway = before(&server, "");
        let modern = Modern::new(&gateway, "/mcp/a");
        let body = modern.body(
            "tools/call",
            json!({ "name": "bad", "arguments": {},
            "_meta": { "progressToken": 7 } }),
        );
        let of_body = Modern::headers(&body);
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "t", "version": "1" } } });
        for (accept, kind, told) in [
            ("application/json", "application/json", 0),
            ("text/event-stream", "text/event-stream", 2),
        ] {
            let mut headers = accepting(accept).to_vec();
            headers.extend(of_body.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let answer = post(&gateway, "/mcp/a", &headers, &body);
            assert_eq!(answer.header("content-type"), Some(kind), "{era:?}");
            assert_eq!((answer.messages().len(), answer.text()), (told + 1, "told".into()));

            let opened = post(&gateway, "/mcp/a", &accepting(accept), &initialize);
            assert_eq!(opened.header("content-type"), Some(kind), "{era:?}");
            assert_eq!(opened.result()["protocolVersion"], "2025-06-18");
            let session = opened.header("mcp-session-id").unwrap();
            let mut headers = accepting(accept).to_vec();
            headers.push(("mcp-session-id", session));
            let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                "name": "bad", "_meta": { "progressToken": 7 } } });
            let answer = post(&gateway, "/mcp/a", &headers, &call);
            assert_eq!(answer.header("content-type"), Some(kind), "{era:?}");
            assert_eq!(answer.text(), "told");
        }
        // A method that needs a stream is refused, and the error says what to accept.
        let body = modern.body("subscriptions/listen", json!({ "notifications": {} }));
        let of_body = Modern::headers(&body);
        let mut headers = accepting("application/json").to_vec();
        headers.extend(of_body.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let answer = post(&gateway, "/mcp/a", &headers, &body);
        assert_eq!(answer.status, 406);
        assert!(answer.body.contains("add text/event-stream"), "{}", answer.body);
        let answer = post(&gateway, "/mcp/a", &accepting("text/html"), &body);
        assert_eq!(answer.status, 406);
    }
}

#[test]
fn a_question_is_not_lost_on_a_client_that_takes_no_stream() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}\n");
    let opened =
        Handshake::initialize(&gateway, "/mcp", "2025-06-18", json!({ "elicitation": {} }));
    let session = opened.header("mcp-session-id").unwrap();
    let mut headers = accepting("application/json").to_vec();
    headers.push(("mcp-session-id", session));
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "sample__introduce", "arguments": {} } });
    let answer = post(&gateway, "/mcp", &headers, &call);
    assert_eq!(answer.kind(), "interaction", "{}", answer.body);
    assert!(answer.body.contains("list text/event-stream"), "{}", answer.body);
}

#[test]
fn a_request_without_a_session_is_a_session_of_one_request() {
    let (server, seen) = keeping(Era::Handshake);
    let gateway = before(&server, "");
    let call = json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {
        "name": "a__echo", "arguments": { "n": 1 } } });
    for revision in [None, Some("2025-03-26"), Some("2025-06-18"), Some("2025-11-25")] {
        let mut headers = JSON.to_vec();
        headers.extend(revision.map(|revision| ("mcp-protocol-version", revision)));
        let answer = post(&gateway, "/mcp", &headers, &call);
        assert_eq!(answer.text(), "done", "{revision:?}: {}", answer.body);
        assert_eq!(answer.header("mcp-session-id"), None);
        // The response follows the client's revision, without the members of 2026-07-28.
        assert!(answer.result().get("resultType").is_none(), "{}", answer.body);
        let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
        let tools = post(&gateway, "/mcp", &headers, &list).result()["tools"].clone();
        assert_eq!(tools[0]["name"], "a__echo", "{revision:?}");
    }
    assert_eq!(seen.lock().unwrap().len(), 4);
    // A request with headers of another revision is refused.
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-protocol-version", "1999-01-01"),
        ("mcp-method", "tools/call"),
    ] {
        let mut headers = JSON.to_vec();
        headers.push((name, value));
        assert_eq!(post(&gateway, "/mcp", &headers, &call).status, 400, "{name}: {value}");
    }
    let subscribe = json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/subscribe",
        "params": { "uri": "a+x:y" } });
    let answer = post(&gateway, "/mcp", &JSON, &subscribe);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("'initialize'"), "{}", answer.body);
    wait_for("nothing is left", || gateway.is_idle());
}

#[test]
fn who_leaves_a_request_without_a_session_has_cancelled_it() {
    let server = hostile::start(Era::Handshake, |_, out| hostile::until_closed(out));
    let gateway = before(&server, "");
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "bad" } });
    let body = call.to_string();
    let left = client::begin(&gateway.address, "POST", "/mcp/a", &JSON, body.as_bytes()).unwrap();
    wait_for("the server is called", || server.calls() == 1);
    wait_for("the call is counted", || gateway.metric("doorward_calls_in_flight") == 1.0);
    drop(left);
    wait_for("the call ends", || gateway.metric("doorward_calls_in_flight") == 0.0);
}

#[test]
fn a_tool_that_works_long_without_a_word_is_not_ended() {
    // The gateway requests progress on every call, which keeps a call alive even if the client wants none.
    let server = hostile::start(Era::Handshake, |asked, out| {
        begin_stream(out);
        let token = asked.message["params"]["_meta"]["progressToken"].clone();
        assert!(token.is_number(), "progress was not asked for");
        for progress in 0..6 {
            std::thread::sleep(Duration::from_millis(500));
            let told = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": token, "progress": progress } });
            event(out, &told.to_string());
        }
        event(out, &result_text(asked, &said("at last")));
    });
    let gateway = before(&server, "timeouts: {call: 2s, stream_after: 300ms, keep_alive: 100ms}\n");
    let modern = Modern::new(&gateway, "/mcp/a");
    let answer = modern.call("bad", json!({}));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!((answer.messages().len(), answer.text()), (1, "at last".into()));
    let old = Handshake::open(&gateway, "/mcp/a", "2025-06-18", json!({}));
    assert_eq!(old.call(1, "bad", json!({})).text(), "at last");
    let alone = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "bad" } });
    assert_eq!(post(&gateway, "/mcp/a", &JSON, &alone).text(), "at last");
}

#[test]
fn a_silent_call_shows_signs_of_life() {
    let server = hostile::start(Era::Handshake, |asked, out| {
        std::thread::sleep(Duration::from_millis(1500));
        let text = result_text(asked, &said("done"));
        hostile::answer(out, 200, "application/json", text.as_bytes());
    });
    let gateway = before(&server, "timeouts: {stream_after: 200ms, keep_alive: 100ms}\n");
    let modern = Modern::new(&gateway, "/mcp/a");
    let body = modern.body("tools/call", json!({ "name": "bad", "arguments": {} }));
    let old = Handshake::open(&gateway, "/mcp/a", "2025-11-25", json!({}));
    let alone = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "bad" } });
    let text = alone.to_string();
    for mut socket in [
        modern.begin(&body),
        old.begin(&alone),
        client::begin(&gateway.address, "POST", "/mcp/a", &JSON, text.as_bytes()).unwrap(),
    ] {
        let mut read = String::new();
        socket.write_all(b"").unwrap();
        let mut part = [0; 4096];
        while !read.contains("\"done\"") {
            let length = socket.read(&mut part).unwrap();
            assert!(length > 0, "closed after {read}");
            read.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        let before = read.split("\"done\"").next().unwrap();
        assert!(before.contains("text/event-stream"), "{read}");
        assert!(before.matches("\n:").count() >= 2, "{read}");
    }
    // A client that accepts no stream waits for the response.
    let answer = post(&gateway, "/mcp/a", &accepting("application/json"), &alone);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), "done");
}

#[test]
fn a_timeout_names_the_setting_that_says_so() {
    let server = hostile::start(Era::Handshake, |asked, out| {
        begin_stream(out);
        let token = asked.message["params"]["_meta"]["progressToken"].clone();
        let endless = asked.message["params"]["arguments"]["endless"] == true;
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
            "params": { "progressToken": token, "progress": 1 } });
        while endless && event(out, &told.to_string()) {
            std::thread::sleep(Duration::from_millis(100));
        }
        hostile::until_closed(out);
    });
    for (settings, own, arguments, named) in [
        ("timeouts: {call: 1s}\n", "", json!({}), "'timeouts.call'"),
        ("", ", timeout: 1s", json!({}), "'timeout'"),
        ("", ", tool_timeouts: {bad: 1s}", json!({}), "'tool_timeouts'"),
        (
            "timeouts: {call: 1s, call_with_progress: 2s}\n",
            "",
            json!({ "endless": true }),
            "'timeouts.call_with_progress'",
        ),
        ("reliability: {total: 1s}\n", "", json!({ "endless": true }), "'reliability.total'"),
    ] {
        let gateway = Gateway::start(&format!(
            "{settings}servers:\n  a: {{url: \"{}\"{own}}}\n",
            server.url()
        ));
        let answer = Modern::new(&gateway, "/mcp/a").call("bad", arguments);
        assert_eq!(answer.kind(), "timeout", "{named}: {}", answer.body);
        assert!(answer.body.contains(named), "{named}: {}", answer.body);
    }
}

/// Tool names that model APIs reject, each for another reason.
const AWKWARD: [&str; 8] = [
    "search issues",
    "search.issues",
    "issues/search",
    "größe",
    "read_the_quarterly_report_of_the_finance_department_and_summarise_it_for_me",
    "read_the_quarterly_report_of_the_finance_department_and_summarise_it_for_us",
    "7zip",
    "plain_deadbeef",
];

/// A server whose tools and prompt have such names; it returns the name that was requested.
fn awkward(era: Era) -> Hostile {
    hostile::scripted(era, move |asked| {
        let name = asked.message["params"]["name"].clone();
        let named = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
        let mut tools: Vec<Value> = AWKWARD.iter().map(named).collect();
        tools.push(named(&"echo"));
        Some(match asked.message["method"].as_str()? {
            "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "ttlMs": 60_000,
                "cacheScope": "public", "capabilities": { "tools": {}, "prompts": {}, "completions": {} } }),
            "tools/list" => json!({ "tools": tools, "ttlMs": 60_000, "cacheScope": "public" }),
            "prompts/list" => json!({ "prompts": [{ "name": "say hello" }], "ttlMs": 60_000,
                "cacheScope": "public" }),
            "tools/call" => said(name.as_str()?),
            "prompts/get" => json!({ "messages": [], "description": name }),
            "completion/complete" => json!({ "completion": {
                "values": [asked.message["params"]["ref"]["name"]] } }),
            _ => return None,
        })
    })
}

fn names(listed: &Value) -> Vec<String> {
    let listed = listed.as_array().unwrap().iter();
    listed.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// Whether OpenAI, Anthropic and Gemini accept the name with the prefix that clients add.
fn is_legal(name: &str) -> bool {
    let whole = format!("mcp__my-doorward__{name}");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    whole.len() <= 64 && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn names_are_those_that_models_take_and_lead_back() {
    for era in BOTH {
        let server = awkward(era);
        let config = format!(
            "servers:\n  an.awkward-server: {{url: \"{}\"}}\nportals:\n  p: {{servers: [an.awkward-server], \
             rename: {{an.awkward-server/7zip: unpack}}}}\n",
            server.url()
        );
        let gateway = Gateway::start(&config);
        let mut shown = Vec::new();
        for path in ["/mcp", "/mcp/p"] {
            let modern = Modern::new(&gateway, path);
            let listed = names(&modern.ask("tools/list", json!({})).result()["tools"]);
            assert_eq!(listed.len(), AWKWARD.len() + 1, "{era:?} {path}: {listed:?}");
            let old = Handshake::open(&gateway, path, "2025-06-18", json!({}));
            assert_eq!(names(&old.ask(1, "tools/list", json!({})).result()["tools"]), listed);
            for (name, own) in listed.iter().zip(AWKWARD.iter().chain(&["echo"])) {
                assert!(is_legal(name), "{era:?} {path}: {name}");
                assert_eq!(modern.call(name, json!({})).text(), *own, "{era:?} {path}: {name}");
                assert_eq!(old.call(2, name, json!({})).text(), *own, "{era:?} {path}: {name}");
            }
            assert_eq!(listed.contains(&"unpack".to_owned()), path == "/mcp/p", "{listed:?}");
            shown.push(listed);
        }
        // A tool that the portal renames cannot be called by its other name.
        let renamed = shown[0].iter().find(|name| !shown[1].contains(name)).unwrap();
        assert_eq!(Modern::new(&gateway, "/mcp/p").call(renamed, json!({})).code(), -32602);
        // The gateway accepts only the listed name: not what a legal name would look like, and not a guess.
        let modern = Modern::new(&gateway, "/mcp");
        for name in
            ["an.awkward-server__search issues", "an_awkward-server__search_issues_00000000"]
        {
            assert_eq!(modern.call(name, json!({})).code(), -32602, "{name}");
        }
        if era == Era::Modern {
            let prompts = names(&modern.ask("prompts/list", json!({})).result()["prompts"]);
            assert!(is_legal(&prompts[0]), "{prompts:?}");
            let got = modern.ask("prompts/get", json!({ "name": prompts[0] })).result();
            assert_eq!(got["description"], "say hello");
            let completed = modern.ask(
                "completion/complete",
                json!({
                "ref": { "type": "ref/prompt", "name": prompts[0] },
                "argument": { "name": "x", "value": "" } }),
            );
            assert_eq!(completed.result()["completion"]["values"][0], "say hello");
        }
        // The endpoint of the server itself does not change names.
        let alone = Modern::new(&gateway, "/mcp/an.awkward-server");
        assert_eq!(names(&alone.ask("tools/list", json!({})).result()["tools"])[..8], AWKWARD);
        assert_eq!(alone.call("search issues", json!({})).text(), "search issues");
        // A client can still use a listed name after a restart.
        drop(gateway);
        let gateway = Gateway::start(&config);
        for path in ["/mcp", "/mcp/p"] {
            let answer = Modern::new(&gateway, path).call(&shown[0][0], json!({}));
            assert_eq!(answer.text(), "search issues", "{era:?} {path}");
        }
    }
}

#[test]
fn names_at_a_servers_own_endpoint_are_rewritten_where_that_is_wanted() {
    let server = awkward(Era::Modern);
    let gateway = Gateway::start(&format!(
        "names: {{servers: legal, allowance: 40}}\nservers:\n  a: {{url: \"{}\"}}\n",
        server.url()
    ));
    let modern = Modern::new(&gateway, "/mcp/a");
    let old = Handshake::open(&gateway, "/mcp/a", "2025-06-18", json!({}));
    let listed = names(&modern.ask("tools/list", json!({})).result()["tools"]);
    for (name, own) in listed.iter().zip(AWKWARD) {
        assert!(is_legal(name) && name.len() <= 24, "{name}");
        assert_eq!(modern.call(name, json!({})).text(), own);
        assert_eq!(old.call(1, name, json!({})).text(), own);
    }
    assert_eq!(modern.call("echo", json!({})).text(), "echo");
    assert_ne!(modern.call("search_issues_00000000", json!({})).code(), 0);
}
