//! Arguments and results, validated against the schemas that servers announce.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use crate::support::client::{Handshake, Modern};
use crate::support::hostile::{Asked, Era, Hostile, said, scripted};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// A server with some tools, and the requests that it received.
fn server(era: Era) -> (Hostile, Arc<Mutex<Vec<Value>>>) {
    let sent = Arc::<Mutex<Vec<Value>>>::default();
    let seen = sent.clone();
    let server = scripted(era, move |asked: &Asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "tools": tools(), "ttlMs": 60_000, "cacheScope": "private" })),
        "tools/call" => {
            seen.lock().unwrap().push(asked.message["params"]["arguments"].clone());
            Some(match asked.message["params"]["name"].as_str()? {
                "fits" => json!({ "content": [], "structuredContent": { "n": 1 } }),
                "lies" => json!({ "content": [], "structuredContent": { "n": "one" } }),
                "forgets" => json!({ "content": [] }),
                _ => said("done"),
            })
        }
        _ => None,
    });
    (server, sent)
}

fn tools() -> Value {
    let issue = json!({
        "type": "object",
        "properties": {
            "title": { "type": "string", "maxLength": 10 },
            "labels": { "type": "array", "items": { "enum": ["bug", "idea"] } },
            "number": { "type": "integer" },
        },
        "required": ["title"],
        "additionalProperties": false,
    });
    let output = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let any = json!({ "type": "object" });
    let deep = (0..14).fold(json!({}), |inner, _| json!({ "allOf": [inner, inner] }));
    json!([
        { "name": "issue", "inputSchema": issue },
        { "name": "open", "inputSchema": any },
        { "name": "fits", "inputSchema": any, "outputSchema": output },
        { "name": "lies", "inputSchema": any, "outputSchema": output },
        { "name": "forgets", "inputSchema": any, "outputSchema": output },
        { "name": "broken", "inputSchema": { "type": "object", "minProperties": "one" } },
        { "name": "foreign", "inputSchema": { "type": "object", "$ref": "http://127.0.0.1:1/secret.json" } },
        { "name": "dialect", "inputSchema": { "type": "object", "$schema": "https://example.com/mine" } },
        { "name": "loop", "inputSchema": { "type": "object", "allOf": [{ "$ref": "#" }] } },
        { "name": "wide", "inputSchema": deep },
    ])
}

fn config(server: &Hostile, more: &str) -> String {
    format!("servers: {{s: {{url: \"{}\"{more}}}}}\n", server.url())
}

#[test]
fn arguments_that_do_not_fit_are_never_sent_and_say_what_to_mend() {
    for era in [Era::Modern, Era::Handshake] {
        let (server, sent) = server(era);
        let gateway = Gateway::start(&config(&server, ""));
        let client = Modern::new(&gateway, "/mcp/s");
        let bad = json!({ "titel": "x", "labels": ["bug", "nonsense"], "number": "7" });
        let result = client.call("issue", bad.clone()).result();
        assert_eq!(result["isError"], true, "{result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        for wanted in [
            "/title: is missing",
            "/titel: is not a known property",
            "/labels/1: must be one of \"bug\", \"idea\"",
            "/number: must be an integer, not a string",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
        let failures = result["_meta"]["doorward/error"]["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 4);
        assert_eq!(failures[0]["path"], "/labels/1");
        // Since 2025-11-25 this is an error of the tool; older revisions expect a JSON-RPC error.
        let newer = Handshake::open(&gateway, "/mcp/s", "2025-11-25", json!({}));
        assert_eq!(newer.call(1, "issue", bad.clone()).result()["isError"], true);
        let older = Handshake::open(&gateway, "/mcp/s", "2025-06-18", json!({}));
        let refused = older.call(1, "issue", bad);
        assert_eq!((refused.code(), refused.kind().as_str()), (-32602, "invalid_arguments"));
        assert!(refused.body.contains("/labels/1"), "{}", refused.body);
        for other in [json!([1]), json!("text")] {
            let answer = client.call("issue", other);
            assert!(answer.body.contains("must be an object"), "{}", answer.body);
        }
        assert!(sent.lock().unwrap().is_empty());
        assert_eq!(client.call("issue", json!({ "title": "fine" })).text(), "done");
        assert_eq!(sent.lock().unwrap().len(), 1);
        assert_eq!(gateway.metric("doorward_invalid_arguments_total{server=\"s\"}"), 5.0);
        let records = gateway.told(&["audit", "search", "--json"]);
        assert!(records.contains("invalid_arguments") && records.contains("/labels/1"));
        assert!(!records.contains("nonsense"), "values are no part of a record");
    }
}

#[test]
fn a_tool_whose_schema_cannot_be_used_is_hidden_alone_where_wanted_and_says_why() {
    let (server, sent) = server(Era::Modern);
    let gateway = Gateway::start(&config(&server, ", arguments: {unusable_schema: hide}"));
    let client = Modern::new(&gateway, "/mcp/s");
    let listed = client.ask("tools/list", json!({})).result();
    let names: Vec<_> =
        listed["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["issue", "open", "fits", "lies", "forgets"]);
    for name in ["broken", "foreign", "dialect", "loop", "wide"] {
        assert_eq!(client.call(name, json!({})).code(), -32602, "{name}");
    }
    assert!(sent.lock().unwrap().is_empty());
    let told = gateway.told(&["servers", "--admin-url", &format!("http://{}", gateway.admin)]);
    for why in [
        "tool 'broken' is not listed: its inputSchema is not a JSON Schema at /minProperties",
        "tool 'foreign' is not listed: its inputSchema has a $ref to \
            'http://127.0.0.1:1/secret.json', which is not part of the schema; external references are not fetched",
        "tool 'dialect' is not listed: its inputSchema uses the dialect \
            \"https://example.com/mine\", which is not supported",
        "tool 'loop' is not listed: its inputSchema refers to itself",
        "tool 'wide' is not listed: its inputSchema has too many paths",
    ] {
        assert!(told.contains(why), "{why}\n{told}");
    }
    // An operator who trusts such a tool can turn off the check.
    let unchecked =
        ", arguments: {unusable_schema: hide}, tools: {broken: {arguments: {check: off}}}";
    let gateway = Gateway::start(&config(&server, unchecked));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("broken", json!({})).text(), "done");
}

/// A server that works without the gateway must work with it: obvious mistakes in its schemas are corrected, and what
/// cannot be used is not checked.
#[test]
fn a_tool_whose_schema_cannot_be_used_is_served_unchecked_and_says_so() {
    let (server, sent) = server(Era::Modern);
    let gateway = Gateway::start(&config(&server, ""));
    let client = Modern::new(&gateway, "/mcp/s");
    let listed = client.ask("tools/list", json!({})).result();
    assert_eq!(listed["tools"].as_array().unwrap().len(), 10);
    for name in ["broken", "foreign", "dialect", "loop", "wide"] {
        assert_eq!(client.call(name, json!({ "any": [1, "x"] })).text(), "done", "{name}");
    }
    assert_eq!(sent.lock().unwrap().len(), 5);
    let told = gateway.told(&["servers", "--admin-url", &format!("http://{}", gateway.admin)]);
    for why in [
        "tool 'broken': it is not validated: its inputSchema is not a JSON Schema at /minProperties",
        "tool 'foreign': it is not validated: its inputSchema has a $ref to",
        "tool 'loop': it is not validated: its inputSchema refers to itself",
    ] {
        assert!(told.contains(why), "{why}\n{told}");
    }
}

#[test]
fn schemas_whose_meaning_is_plain_are_put_right_and_checked() {
    let tools = json!([
        { "name": "none", "inputSchema": null },
        { "name": "absent" },
        { "name": "empty", "inputSchema": { "type": "object", "properties": null, "required": null } },
        { "name": "loud", "inputSchema": { "type": "OBJECT", "properties": { "n": { "type": "INTEGER", "required": true } } } },
        { "name": "python", "inputSchema": { "type": "object", "properties": { "s": { "type": "str" } } }, "outputSchema": null },
        { "name": "pattern", "inputSchema": { "type": "object", "properties": { "s": { "type": "string", "pattern": "[a-" } } } },
        { "name": "nowhere", "inputSchema": { "type": "object", "properties": { "s": { "$ref": "#/$defs/none" } } } },
    ]);
    for era in [Era::Modern, Era::Handshake] {
        let tools = tools.clone();
        let server = scripted(era, move |asked| match asked.message["method"].as_str()? {
            "tools/list" => {
                Some(json!({ "tools": tools, "ttlMs": 60_000, "cacheScope": "public" }))
            }
            "tools/call" => Some(said("done")),
            _ => None,
        });
        let gateway = Gateway::start(&config(&server, ""));
        let client = Modern::new(&gateway, "/mcp/s");
        let listed = client.ask("tools/list", json!({})).result();
        let all = listed["tools"].as_array().unwrap();
        assert_eq!(all.len(), 7, "{listed}");
        for tool in all {
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
            assert!(!tool.to_string().contains("null"), "{tool}");
            let name = tool["name"].as_str().unwrap();
            let arguments = if name == "loud" { json!({ "n": 1 }) } else { json!({}) };
            assert_eq!(client.call(name, arguments).text(), "done", "{name}");
        }
        assert_eq!(all[3]["inputSchema"]["required"], json!(["n"]));
        for (name, bad) in
            [("loud", json!({ "n": "x" })), ("loud", json!({})), ("python", json!({ "s": 1 }))]
        {
            assert_eq!(client.call(name, bad.clone()).result()["isError"], true, "{name} {bad}");
        }
        let told = gateway.told(&["servers", "--admin-url", &format!("http://{}", gateway.admin)]);
        for why in
            ["tool 'none': its inputSchema was corrected", "tool 'pattern': it is not validated"]
        {
            assert!(told.contains(why), "{why}\n{told}");
        }
    }
}

#[test]
fn results_that_do_not_fit_are_reported_or_refused_as_the_operator_wants() {
    let (server, sent) = server(Era::Modern);
    let gateway = Gateway::start(&config(&server, ", tools: {'*': {results: {check: refuse}}}"));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("fits", json!({})).result()["structuredContent"]["n"], 1);
    for name in ["lies", "forgets"] {
        let refused = client.call(name, json!({}));
        assert_eq!(refused.kind(), "invalid_result", "{}", refused.body);
        assert_eq!(refused.json()["error"]["data"]["retryable"], false);
    }
    assert_eq!(sent.lock().unwrap().len(), 3, "what was done is said to be done");
    let gateway = Gateway::start(&config(&server, ""));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("lies", json!({})).result()["structuredContent"]["n"], "one");
    assert_eq!(gateway.metric("doorward_invalid_results_total{server=\"s\"}"), 1.0);
    wait_for("it is recorded", || {
        gateway.told(&["audit", "search", "--json"]).contains("invalid_result")
    });
}

#[test]
fn bounds_hold_for_all_tools_of_a_server_and_more_closely_for_one() {
    let (server, sent) = server(Era::Modern);
    let more = "arguments: {string: 20B, items: 3}\n";
    let one = ", arguments: {depth: 2}, tools: {open: {arguments: {size: 60B}}}";
    let gateway = Gateway::start(&(config(&server, one) + more));
    let client = Modern::new(&gateway, "/mcp/s");
    for (arguments, told) in [
        (json!({ "a": "x".repeat(21) }), "/a: must be at most 20B long"),
        (json!({ "a": [1, 2, 3, 4] }), "/a: must have at most 3 items"),
        (json!({ "a": { "b": {} } }), "/a/b: is nested too deep"),
        (json!({ "a": "x".repeat(18), "b": "x".repeat(18), "c": "x".repeat(18) }), "60B long"),
    ] {
        let answer = client.call("open", arguments);
        assert!(answer.text().contains(told), "{told}: {}", answer.body);
    }
    // A tool that is not listed cannot be called, whatever its arguments.
    assert_eq!(client.call("unlisted", json!({ "a": "x".repeat(21) })).code(), -32602);
    assert!(sent.lock().unwrap().is_empty());
    assert_eq!(client.call("open", json!({ "a": "fine", "b": [1] })).text(), "done");
}

#[test]
fn what_is_meant_is_put_into_form_before_policies_look_if_the_operator_wants_it() {
    let (server, sent) = server(Era::Modern);
    let gateway = Gateway::start(&config(&server, ", arguments: {coerce: true}"));
    let client = Modern::new(&gateway, "/mcp/s");
    let given = json!({ "title": "t", "number": "7", "labels": "[\"bug\"]" });
    assert_eq!(client.call("issue", given).text(), "done");
    let first = sent.lock().unwrap().remove(0);
    assert_eq!(first, json!({ "title": "t", "number": 7, "labels": ["bug"] }));
    let hopeless = json!({ "title": "t", "number": "seven" });
    assert_eq!(client.call("issue", hopeless).result()["isError"], true);
    // A policy that forbids a number also forbids the string that is coerced to it.
    let policy = "permit (principal, action in Action::\"use\", resource);
        @arguments(\"number: Long\")
        forbid (principal, action == Action::\"call\", resource)
        when { context.arguments has number && context.arguments.number > 5 };";
    let files = crate::support::folder();
    let file = files.path().join("p.cedar");
    std::fs::write(&file, policy).unwrap();
    let more = format!("policy: {{files: ['{}']}}\n", file.display());
    let gateway = Gateway::start(&(config(&server, ", arguments: {coerce: true}") + &more));
    let key = gateway.key(&["--user", "alice"]);
    let client = Modern::new(&gateway, "/mcp/s").bearing(&key);
    assert_eq!(client.call("issue", json!({ "title": "t", "number": "4" })).text(), "done");
    let denied = client.call("issue", json!({ "title": "t", "number": "7" }));
    assert!(denied.json().get("error").is_some(), "{}", denied.body);
    assert_eq!(sent.lock().unwrap().len(), 1);
}

/// A pattern that takes a backtracking engine quadratic time or more.
const STUBBORN: &str = "(?=(a+)+$)(a|aa)+$";

#[test]
fn a_servers_pattern_keeps_nobody_waiting() {
    let text = || "a".repeat(150_000) + "b";
    let server = scripted(Era::Modern, move |asked: &Asked| {
        match asked.message["method"].as_str()? {
            "tools/list" => {
                let any = json!({ "type": "object" });
                let pattern = |pattern: &str| json!({ "type": "object", "properties": { "t": { "type": "string", "pattern": pattern } } });
                // The worst case for the linear engine: many active states per byte.
                let wide = pattern("^([ab]{0,60}a[ab]{60}){3}c$");
                let names = json!({ "type": "object", "patternProperties": { STUBBORN: true }, "propertyNames": { "pattern": STUBBORN } });
                let tools = json!([
                    { "name": "quick", "inputSchema": any },
                    { "name": "asks", "inputSchema": pattern(STUBBORN) },
                    { "name": "names", "inputSchema": names },
                    { "name": "asks_wide", "inputSchema": wide },
                    { "name": "answers", "inputSchema": any, "outputSchema": pattern(STUBBORN) },
                    { "name": "answers_wide", "inputSchema": any, "outputSchema": wide },
                ]);
                Some(json!({ "tools": tools, "ttlMs": 60_000, "cacheScope": "private" }))
            }
            "tools/call" => Some(match asked.message["params"]["name"].as_str()? {
                "answers" | "answers_wide" => {
                    json!({ "content": [], "structuredContent": { "t": text() } })
                }
                _ => said("done"),
            }),
            _ => None,
        }
    });
    let coerces = ", tools: {'*': {arguments: {coerce: true}}}";
    let gateway = Gateway::start(&config(&server, coerces));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("quick", json!({})).text(), "done");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let probing = scope.spawn(|| {
            let client = Modern::new(&gateway, "/mcp/s");
            let mut slowest = std::time::Duration::ZERO;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let began = std::time::Instant::now();
                assert_eq!(client.call("quick", json!({})).text(), "done");
                assert_eq!(gateway.get_admin("/healthz").0, 200);
                slowest = slowest.max(began.elapsed());
            }
            slowest
        });
        let calls: Vec<_> = (0..3)
            .flat_map(|_| ["asks", "names", "asks_wide", "answers", "answers_wide"])
            .map(|tool| {
                let gateway = &gateway;
                scope.spawn(move || {
                    let client = Modern::new(gateway, "/mcp/s");
                    let arguments = match tool {
                        "names" => json!({ text(): 1 }),
                        "answers" | "answers_wide" => json!({}),
                        _ => json!({ "t": text() }),
                    };
                    client.call(tool, arguments).result();
                })
            })
            .collect();
        calls.into_iter().for_each(|call| call.join().unwrap());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        probing.join().unwrap()
    });
    assert!(slowest.as_secs() < 5, "others waited for {slowest:?}");
    let told = gateway.told(&["servers", "--admin-url", &format!("http://{}", gateway.admin)]);
    let note =
        format!("tool 'asks': of its inputSchema, the pattern '{STUBBORN}' is not validated");
    assert!(told.contains(&note), "{told}");
}
