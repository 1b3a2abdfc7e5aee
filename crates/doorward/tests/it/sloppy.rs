//! Servers and clients that send empty optional members or values of the wrong type: each affects only itself.
#![allow(clippy::unwrap_used)]

use crate::support::Gateway;
use crate::support::client::{Answer, Handshake, JSON, Modern, send};
use crate::support::hostile::{Asked, Era, Hostile, answer, result_text, with_habit};
use serde_json::{Value, json};

const ERAS: [Era; 2] = [Era::Modern, Era::Handshake];

/// A server with the given lists, which announces all of them.
fn listing(era: Era, lists: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static) -> Hostile {
    with_habit(era, move |asked, out| {
        let about = json!({ "tools": {}, "prompts": {}, "resources": {}, "logging": null });
        let method = asked.message["method"].as_str().unwrap_or_default();
        let mut result = match (era, method) {
            (Era::Handshake, "initialize") => json!({ "protocolVersion": "2025-11-25",
                "capabilities": about, "serverInfo": { "name": "s", "version": "1" } }),
            (Era::Modern, "server/discover") => {
                json!({ "supportedVersions": ["2026-07-28"], "capabilities": about })
            }
            _ => match lists(asked) {
                Some(result) => result,
                None => return false,
            },
        };
        match result.get("httpStatus").and_then(Value::as_u64) {
            Some(0) => {}
            Some(status) => answer(out, u16::try_from(status).unwrap(), "text/plain", b"no"),
            None if result.get("error").is_some() => {
                let text = json!({ "jsonrpc": "2.0", "id": asked.message["id"], "error": result["error"] });
                answer(out, 200, "application/json", text.to_string().as_bytes());
            }
            None => {
                if era == Era::Modern {
                    result["resultType"] = "complete".into();
                    result["ttlMs"] = 60_000.into();
                    result["cacheScope"] = "public".into();
                }
                answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
            }
        }
        true
    })
}

fn in_front_of(servers: &[Hostile]) -> Gateway {
    let servers: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(at, server)| format!("  s{at}: {{url: \"{}\"}}\n", server.url()))
        .collect();
    Gateway::start(&format!("timeouts: {{call: 60s}}\nservers:\n{}", servers.concat()))
}

fn names(answer: &Answer, member: &str) -> Vec<String> {
    let result = answer.result();
    let items = result[member].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_list_that_fails_takes_no_other_with_it() {
    let forms = [
        json!({ "error": { "code": -32603, "message": "no such" } }),
        json!({ "error": { "code": -32000, "message": "Method not found: it" } }),
        json!({ "httpStatus": 500 }),
        json!({ "httpStatus": 501 }),
        // No response at all, and an empty result.
        json!({ "httpStatus": 0 }),
        json!({}),
        json!({ "prompts": null, "resourceTemplates": null }),
    ];
    for era in ERAS {
        for failing in ["prompts/list", "resources/templates/list"] {
            let servers = forms.clone().map(|form| {
                listing(era, move |asked| {
                    let method = asked.message["method"].as_str()?;
                    if method == failing {
                        return Some(form.clone());
                    }
                    Some(match method {
                        "prompts/list" => json!({ "prompts": [{ "name": "hello" }] }),
                        "resources/list" => json!({ "resources": [{ "uri": "a:b", "name": "b" }] }),
                        "resources/templates/list" => json!({ "resourceTemplates": [] }),
                        _ => return None,
                    })
                })
            });
            let gateway = in_front_of(&servers);
            let listed = Modern::new(&gateway, "/mcp").ask("tools/list", json!({}));
            let names_of_all = names(&listed, "tools");
            for (at, form) in forms.iter().enumerate() {
                let what = format!("{era:?} {failing} {form}");
                assert!(names_of_all.contains(&format!("s{at}__echo")), "{what}: {}", listed.body);
                let path = format!("/mcp/s{at}");
                let session = Handshake::open(&gateway, &path, "2025-11-25", json!({}));
                let client = Modern::new(&gateway, &path);
                assert_eq!(client.call("echo", json!({ "text": "x" })).text(), "x", "{what}");
                assert_eq!(session.call(1, "echo", json!({ "text": "y" })).text(), "y", "{what}");
                assert_eq!(names(&client.ask("tools/list", json!({})), "tools"), ["echo", "bad"]);
                let resources = client.ask("resources/list", json!({}));
                assert_eq!(names(&resources, "resources"), ["b"], "{what}");
                // At the endpoint of a single server, its list returns the reason.
                let prompts = client.ask("prompts/list", json!({}));
                if failing == "prompts/list" && at < 5 {
                    assert!(prompts.json()["error"].is_object(), "{what}: {}", prompts.body);
                } else {
                    let prompts = names(&prompts, "prompts");
                    assert_eq!(prompts.is_empty(), failing == "prompts/list", "{what}");
                }
                let failed = gateway.states()[at]["failed_lists"].clone();
                match at < 5 {
                    true => assert_eq!(failed[0]["list"], failing, "{what}: {failed}"),
                    false => assert!(failed.is_null(), "{what}: {failed}"),
                }
            }
        }
    }
}

/// A call needs only the list of tools, and reports why it is missing.
#[test]
fn a_call_fails_with_the_error_of_its_own_list() {
    for era in ERAS {
        let server = listing(era, |asked| match asked.message["method"].as_str()? {
            "tools/list" => Some(json!({ "error": { "code": -32050, "message": "later" } })),
            "prompts/list" => Some(json!({ "prompts": [{ "name": "hello" }] })),
            _ => Some(json!({})),
        });
        let gateway = in_front_of(&[server]);
        let client = Modern::new(&gateway, "/mcp/s0");
        assert_eq!(names(&client.ask("prompts/list", json!({})), "prompts"), ["hello"], "{era:?}");
        assert_eq!(client.call("echo", json!({})).code(), -32050, "{era:?}");
    }
}

#[test]
fn one_sloppy_item_makes_no_list_unreadable() {
    let sloppy = json!({ "name": "echo", "title": null, "description": null, "annotations": null,
        "icons": [{ "src": null }, { "src": "https://a.example/i.png", "sizes": null }],
        "_meta": null, "execution": null });
    for era in ERAS {
        for (schema, expected) in [
            (json!({}), json!({ "type": "object" })),
            (json!({ "type": "string" }), json!({ "type": "object" })),
            (json!({ "type": ["object", "null"] }), json!({ "type": "object" })),
            (json!({ "type": "object", "properties": [] }), json!({ "type": "object" })),
            (
                json!({ "properties": { "a": "string" }, "required": "text" }),
                json!({ "properties": { "a": { "type": "string" } }, "type": "object" }),
            ),
            (json!({ "type": "object", "required": {} }), json!({ "type": "object" })),
            (
                json!({ "type": "object", "properties": { "text": { "enum": [] }, "b": { "type": "string", "nullable": true } } }),
                json!({ "type": "object", "properties": { "text": {}, "b": { "type": ["string", "null"] } } }),
            ),
        ] {
            let mut tool = sloppy.clone();
            tool["inputSchema"] = schema;
            let server = listing(era, move |asked| {
                Some(match asked.message["method"].as_str()? {
                    "tools/list" => json!({ "tools": [tool] }),
                    "prompts/list" => json!({ "prompts": [{ "name": "p", "arguments": null },
                        { "name": "q", "arguments": [{ "name": "a", "required": null }] }] }),
                    "resources/list" => json!({ "resources": [{ "uri": "a:b", "size": null }] }),
                    "resources/templates/list" => {
                        json!({ "resourceTemplates": [{ "uriTemplate": "a:{b}" }] })
                    }
                    _ => return None,
                })
            });
            let gateway = in_front_of(&[server]);
            let client = Modern::new(&gateway, "/mcp/s0");
            for (list, member, items) in [
                (
                    "tools/list",
                    "tools",
                    json!([{ "name": "echo", "icons": [{ "src": "https://a.example/i.png" }],
                        "inputSchema": expected }]),
                ),
                (
                    "prompts/list",
                    "prompts",
                    json!([{ "name": "p" }, { "name": "q", "arguments": [{ "name": "a" }] }]),
                ),
                ("resources/list", "resources", json!([{ "uri": "a:b", "name": "a:b" }])),
                (
                    "resources/templates/list",
                    "resourceTemplates",
                    json!([{ "uriTemplate": "a:{b}", "name": "a:{b}" }]),
                ),
            ] {
                let listed = client.ask(list, json!({}));
                assert_eq!(listed.result()[member], items, "{era:?}: {}", listed.body);
            }
            let called = client.call("echo", json!({ "text": "x", "b": null }));
            assert_eq!(called.text(), "x", "{era:?} {expected}: {}", called.body);
        }
    }
}

/// The pattern is written as a literal with slashes, which would never match what the author meant.
#[test]
fn a_pattern_with_slashes_and_flags_is_not_checked() {
    let server = listing(Era::Modern, |asked| {
        let text = json!({ "type": "string", "pattern": "/^x$/i" });
        let schema = json!({ "type": "object", "properties": { "text": text } });
        let tools = json!([{ "name": "echo", "inputSchema": schema }]);
        (asked.message["method"] == "tools/list").then(|| json!({ "tools": tools }))
    });
    let gateway = in_front_of(&[server]);
    let client = Modern::new(&gateway, "/mcp/s0");
    assert_eq!(client.call("echo", json!({ "text": "X" })).text(), "X");
    let why = gateway.states()[0]["unchecked"][0]["why"].to_string();
    assert!(why.contains("a JavaScript literal"), "{why}");
}

/// Only the modern era mirrors arguments in headers.
#[test]
fn a_tool_of_the_handshake_era_is_not_lost_for_its_annotations_of_headers() {
    let server = listing(Era::Handshake, |asked| {
        let text = json!({ "type": "array", "x-mcp-header": "not a header" });
        let schema = json!({ "type": "object", "properties": { "list": text } });
        let named = json!({ "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" } } });
        let tools = json!([{ "name": "echo", "inputSchema": schema },
            { "name": "well", "inputSchema": named }]);
        (asked.message["method"] == "tools/list").then(|| json!({ "tools": tools }))
    });
    let gateway = in_front_of(&[server]);
    let client = Modern::new(&gateway, "/mcp/s0");
    let listed = client.ask("tools/list", json!({}));
    assert_eq!(names(&listed, "tools"), ["echo", "well"]);
    let tools = &listed.result()["tools"];
    assert!(!tools[0].to_string().contains("x-mcp-header"), "{}", listed.body);
    assert_eq!(tools[1]["inputSchema"]["properties"]["region"]["x-mcp-header"], "Region");
    assert_eq!(client.call("echo", json!({ "text": "x" })).text(), "x");
}

#[test]
fn what_a_client_leaves_null_is_absent() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let client = Modern::new(&gateway, "/mcp/sample");
    let session = Handshake::open(&gateway, "/mcp/sample", "2025-11-25", json!({}));
    for (at, cursor) in [json!(null), json!("")].into_iter().enumerate() {
        for listed in [
            client.ask("tools/list", json!({ "cursor": cursor })),
            session.ask(at as i64 + 1, "tools/list", json!({ "cursor": cursor })),
        ] {
            assert!(names(&listed, "tools").contains(&"echo".to_owned()), "{}", listed.body);
        }
    }
    assert_eq!(client.ask("tools/list", json!({ "cursor": 5 })).code(), -32602);
    let mut body = client.body(
        "tools/call",
        json!({ "name": "echo", "arguments": { "text": "x" },
            "inputResponses": null, "requestState": null }),
    );
    body["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = Value::Null;
    body["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] = Value::Null;
    let called = client.send(&body, &[]);
    assert_eq!(called.text(), "x", "{}", called.body);

    let post = |body: &Value, more: &[(&str, &str)]| {
        let headers = [JSON.to_vec(), more.to_vec()].concat();
        let text = body.to_string();
        send(&gateway.address, "POST", "/mcp/sample", &headers, text.as_bytes()).unwrap()
    };
    for (capabilities, info, status) in [
        (json!(null), json!({ "name": "c", "version": "1" }), 200),
        (json!({}), json!(null), 200),
        (json!([]), json!({ "name": "c", "version": "1" }), 400),
        (json!({}), json!("c"), 400),
    ] {
        let opening = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info } });
        let opened = post(&opening, &[("mcp-session-id", "")]);
        assert_eq!(opened.status, status, "{opening}: {}", opened.body);
    }
    let single = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(post(&single, &[("mcp-session-id", "")]).status, 200);
}
