//! Lists of tools for model APIs, and calls that models make.

use super::{Rest, SAMPLE};
use crate::support::Gateway;
use crate::support::client::Modern;
use crate::support::hostile::{Era, said, scripted};
use serde_json::{Value, json};

fn names(tools: &Value) -> Vec<String> {
    let tools = match &tools[0]["functionDeclarations"] {
        Value::Array(declared) => declared.clone(),
        _ => tools.as_array().unwrap().clone(),
    };
    let name = |tool: &Value| {
        let of = if tool["function"].is_object() { &tool["function"] } else { tool };
        of["name"].as_str().unwrap().to_owned()
    };
    tools.iter().map(name).collect()
}

#[test]
fn all_formats_list_the_same_tools_as_mcp() {
    let gateway = Gateway::start(SAMPLE);
    let rest = Rest::new(&gateway);
    let mcp = Modern::new(&gateway, "/mcp").ask("tools/list", json!({})).result();
    let expected = names(&mcp["tools"]);
    assert_eq!(expected.len(), 5);
    for format in ["mcp", "openai", "openai-responses", "anthropic", "gemini"] {
        for rest in [&rest, &Rest::at(&gateway, "sample")] {
            let answer = rest.get(&format!("/tools?format={format}"));
            assert_eq!(names(&answer.json()["tools"]), expected, "{format}: {}", answer.body);
            assert!(answer.header("cache-control").unwrap().contains("private"));
            let tag = answer.header("etag").unwrap();
            let path = format!("/tools?format={format}");
            let again = rest.send("GET", &path, &[("if-none-match", tag)], "");
            assert_eq!((again.status, &*again.body), (304, ""), "{format}");
        }
    }
    // Pages, and words.
    let first = rest.get("/tools?limit=2").json();
    let mut all = names(&first["tools"]);
    let mut next = first["next_cursor"].clone();
    while let Some(cursor) = next.as_str() {
        let page = rest.get(&format!("/tools?limit=2&cursor={cursor}")).json();
        all.extend(names(&page["tools"]));
        next = page["next_cursor"].clone();
    }
    assert_eq!(all, expected);
    // A question, in words that the tool has, and in others' language; the best comes first.
    for question in ["add%20two%20numbers", "Zwei%20Zahlen%20addieren"] {
        let found = names(&rest.get(&format!("/tools?q={question}")).json()["tools"]);
        assert_eq!(found[0], "sample__add", "{question}: {found:?}");
        assert!(found.len() < expected.len(), "{question}: {found:?}");
    }
    assert_eq!(rest.get("/tools?q=zzyqx").json()["tools"], json!([]));
    assert_eq!(rest.get("/tools?q=zzyqx&format=gemini").json()["tools"], json!([]));
    let listed = rest.get("/tools?q=two%20numbers&limit=1").json();
    assert_eq!(listed["tools"][0]["_meta"]["doorward/tool"], "sample/add");
}

#[test]
fn strict_lists_name_what_has_no_strict_form() {
    let gateway = Gateway::start(SAMPLE);
    let listed = Rest::new(&gateway).get("/tools?format=openai&strict=true").json();
    let strict = |name: &str| {
        let all = listed["tools"].as_array().unwrap();
        let found = all.iter().find(|it| it["function"]["name"] == name).unwrap();
        found["function"].clone()
    };
    let slow = strict("sample__slow");
    assert_eq!(slow["strict"], true, "{slow}");
    assert_eq!(slow["parameters"]["required"], json!(["steps", "pause_ms"]), "{slow}");
    assert_eq!(slow["parameters"]["properties"]["steps"]["type"], json!(["integer", "null"]));
}

#[test]
fn calls_of_all_dialects_run_in_order_and_are_answered_in_their_own() {
    let gateway = Gateway::start(&format!("{SAMPLE}\nrest: {{parallel: 3}}\n"));
    let rest = Rest::new(&gateway);
    let calls = json!([
        { "id": "c1", "type": "function", "function": { "name": "sample__add", "arguments": "{\"a\":1,\"b\":2}" } },
        { "type": "function_call", "call_id": "c2", "name": "sample__echo", "arguments": "{\"text\":\"two\"}" },
        { "type": "text", "text": "no call" },
        { "type": "tool_use", "id": "c3", "name": "sample__echo", "input": { "text": "three" } },
        { "functionCall": { "name": "sample__add", "args": { "a": 1, "b": 1 }, "id": "c4" } },
        // What a strict schema has made required.
        { "type": "tool_use", "id": "c5", "name": "sample__slow", "input": { "steps": 1, "pause_ms": null } },
        { "id": "c6", "type": "function", "function": { "name": "sample__echo", "arguments": "{\"text\":" } },
        { "type": "tool_use", "id": "c7", "name": "sample__none", "input": {} },
        { "type": "tool_use", "id": "c8", "name": "sample__add", "input": { "a": "x" } },
    ]);
    let answer = rest.post("/tools/execute", calls);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = answer.json();
    let results = said["results"].as_array().unwrap();
    assert_eq!(results.len(), 8, "{said}");
    assert_eq!(
        results[0],
        json!({ "role": "tool", "tool_call_id": "c1", "content": "3\n\n{\"sum\":3}" })
    );
    assert_eq!(
        results[1],
        json!({ "type": "function_call_output", "call_id": "c2", "output": "two" })
    );
    assert_eq!(results[2]["content"], json!([{ "type": "text", "text": "three" }]));
    assert_eq!(
        results[3],
        json!({ "functionResponse": { "name": "sample__add", "id": "c4", "response": { "output": { "structured": { "sum": 2 }, "text": "2" } } } })
    );
    assert_eq!(results[4]["content"][0]["text"], "done in 1 steps", "{said}");
    for (at, words) in [(5, "not valid JSON"), (6, "Unknown tool: sample__none"), (7, "/a")] {
        assert!(results[at].to_string().contains(words), "{}", results[at]);
    }
    let errors: Vec<bool> =
        said["calls"].as_array().unwrap().iter().map(|it| it["is_error"] == true).collect();
    assert_eq!(errors, [false, false, false, false, false, true, true, true]);
    assert_eq!(said["calls"][0]["usage"]["cost"], "0", "{said}");
    let many: Vec<Value> =
        (0..65).map(|_| json!({ "functionCall": { "name": "sample__add", "args": {} } })).collect();
    assert_eq!(rest.post("/tools/execute", many.into()).status, 400);
}

#[test]
fn names_and_arguments_lead_back_to_what_the_server_has() {
    let tool = json!({ "name": "get things, please", "inputSchema": { "anyOf": [
        { "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] },
        { "type": "string" } ], "type": "object", "x-vendor": true } });
    let server = scripted(Era::Modern, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "tools": [tool], "ttlMs": 600_000, "cacheScope": "public" })),
        "tools/call" => Some(said(&asked.message["params"].to_string())),
        _ => None,
    });
    let gateway = Gateway::start(&format!("servers: {{s.x: {{url: \"{}\"}}}}\n", server.url()));
    for rest in [Rest::new(&gateway), Rest::at(&gateway, "s.x")] {
        let listed = rest.get("/tools?format=anthropic").json();
        let name = listed["tools"][0]["name"].as_str().unwrap().to_owned();
        let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!(name.len() <= 64 && name.chars().all(is_legal), "{name}");
        assert_eq!(listed["warnings"].as_array().unwrap().len(), 1, "{listed}");
        assert!(listed["tools"][0]["input_schema"]["properties"]["value"].is_object(), "{listed}");
        let call = json!({ "type": "tool_use", "id": "1", "name": name, "input": { "value": { "a": "b" } } });
        let said = rest.post("/tools/execute", call).json();
        let text = said["results"][0]["content"][0]["text"].as_str().unwrap();
        let sent: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(
            (&sent["name"], &sent["arguments"]),
            (&json!("get things, please"), &json!({ "a": "b" }))
        );
        let by_id = rest.execute("s.x/get things, please", json!({ "a": "c" }));
        assert!(by_id.body.contains("get things, please"), "{}", by_id.body);
        assert_eq!(by_id.json()["tool"], "s.x/get things, please");
    }
    // The name is the same for a gateway that has not listed anything yet.
    let name =
        Rest::new(&gateway).get("/tools").json()["tools"][0]["name"].as_str().unwrap().to_owned();
    let fresh = Gateway::start(&format!("servers: {{s.x: {{url: \"{}\"}}}}\n", server.url()));
    for rest in [Rest::new(&fresh), Rest::at(&fresh, "s.x")] {
        assert_eq!(rest.execute(&name, json!({ "a": "d" })).status, 200);
    }
}

#[test]
fn the_command_line_lists_what_the_api_does() {
    let gateway = Gateway::start(&format!("{SAMPLE}\npolicy: {{files: [open.cedar]}}\n"));
    let key = gateway.key(&["--user", "ann"]);
    let rest = Rest::new(&gateway).bearing(&key);
    for format in ["openai", "openai-responses", "anthropic", "gemini"] {
        let listed = rest.get(&format!("/tools?format={format}")).json();
        for path in ["/mcp", "/mcp/sample"] {
            let url = gateway.url(path);
            let words = ["tools", "--format", format, "--url", &url, "--key", &key];
            let told: Value = serde_json::from_str(&gateway.told(&words)).unwrap();
            assert_eq!(told, listed["tools"], "{format} {path}");
        }
    }
    let url = gateway.url("/mcp");
    let refused = gateway.run(&["tools", "--format", "openai", "--url", &url]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("DOORWARD_KEY"), "{error}");
    let strict = ["tools", "--format", "openai", "--strict", "--url", &url, "--key", &key];
    assert!(gateway.told(&strict).contains("\"strict\": true"));
}
