//! What a portal leaves out of definitions and results, and the parameters that it sets.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::{Arc, Mutex};

use crate::support::client::{Answer, Handshake, Modern};
use crate::support::hostile::{Era, Hostile, said, scripted};
use crate::support::{Gateway, doorward, folder, wait_for};
use serde_json::{Value, json};

const LONG: &str =
    "Finds tickets. It looks at titles, texts and comments of everything that there is.";

/// A server with one tool, and the arguments it received.
fn tickets(
    result: impl Fn(&Value) -> Value + Send + Sync + 'static,
) -> (Hostile, Arc<Mutex<Vec<Value>>>) {
    let reached = Arc::new(Mutex::new(Vec::new()));
    let seen = reached.clone();
    let server = scripted(Era::Modern, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => {
            let find = json!({
                "name": "find", "title": "Find", "description": LONG,
                "inputSchema": {
                    "type": "object", "title": "Find", "required": ["project", "words"],
                    "properties": {
                        "project": { "type": "string", "title": "Project" },
                        "words": { "type": "string", "description": LONG, "examples": ["x"] },
                        "limit": { "type": "integer", "default": 10 },
                        "filter": { "type": "object", "properties": {
                            "owner": { "type": "string" }, "state": { "enum": ["open", "closed"] } } },
                    },
                },
            });
            let whole = json!({ "name": "whole", "inputSchema": { "type": "object" },
                "outputSchema": { "type": "object" } });
            Some(json!({ "tools": [find, whole], "ttlMs": 600_000, "cacheScope": "public" }))
        }
        "tools/call" => {
            let params = &asked.message["params"];
            seen.lock().unwrap().push(params["arguments"].clone());
            Some(result(params))
        }
        _ => None,
    });
    (server, reached)
}

fn tool(answer: &Answer, name: &str) -> Value {
    let tools = answer.result()["tools"].as_array().unwrap().clone();
    tools.into_iter().find(|tool| tool["name"] == name).unwrap_or(Value::Null)
}

#[test]
fn one_tool_becomes_several_by_parameters() {
    let (server, reached) = tickets(|_| said("done"));
    let files = folder();
    let policies = files.path().join("some.cedar");
    std::fs::write(
        &policies,
        r#"permit (principal, action in Action::"use", resource);
           @arguments("project?: String")
           forbid (principal, action == Action::"call", resource == Tool::"s/find")
               when { context.arguments has project && context.arguments.project == "secret" };"#,
    )
    .unwrap();
    let config = format!(
        "policy: {{files: [some.cedar]}}
servers: {{s: {{url: \"{}\"}}}}
portals:
  support:
    tools: ['s/find']
    parameters:
      s/find:
        project: {{fix: support}}
        limit: {{default: 5, describe: How many}}
        filter.owner: {{hide: true}}
  secret: {{tools: ['s/find'], parameters: {{s/find: {{project: {{fix: secret}}}}}}}}
  broken: {{tools: ['s/find'], parameters: {{s/find: {{nothing.there: {{fix: 1}}}}}}}}
audit: {{payloads: {{'s/*': {{arguments: true}}}}, reads: before}}
",
        server.url()
    );
    let gateway = Gateway::start_with(&config, &[("some.cedar", &policies)]);
    let key = gateway.key(&["--user", "ann"]);
    let support = Modern::new(&gateway, "/mcp/support").bearing(&key);
    let listed = tool(&support.ask("tools/list", json!({})), "s__find");
    let schema = &listed["inputSchema"];
    assert!(
        !schema.to_string().contains("project") && !schema.to_string().contains("owner"),
        "{schema}"
    );
    assert_eq!(schema["required"], json!(["words"]));
    assert_eq!(schema["properties"]["limit"]["default"], 5);
    assert_eq!(schema["properties"]["limit"]["description"], "How many");
    assert_eq!(support.call("s__find", json!({ "words": "x" })).text(), "done");
    let last = || reached.lock().unwrap().last().cloned().unwrap_or_default();
    assert_eq!(last(), json!({ "words": "x", "project": "support", "limit": 5 }));
    let given = json!({ "words": "x", "limit": 7, "filter": { "state": "open" } });
    assert_eq!(support.call("s__find", given).text(), "done");
    assert_eq!(last()["limit"], 7);
    assert_eq!(last()["project"], "support");
    // In every form in which some server may read the name.
    let before = reached.lock().unwrap().len();
    for arguments in [
        json!({ "words": "x", "project": "other" }),
        json!({ "words": "x", "project": "support" }),
        json!({ "words": "x", "Project": "other" }),
        json!({ "words": "x", "filter": { "owner": "me" } }),
        json!({ "words": "x", "filter": { "OWNER": "me" } }),
    ] {
        let answer = support.call("s__find", arguments.clone());
        // Policies that read an argument refuse its other spellings before.
        let is_refused = answer.json()["result"]["isError"] == true || answer.kind() == "denied";
        assert!(is_refused, "{arguments}: {}", answer.body);
    }
    let session =
        Handshake::open_bearing(&gateway, "/mcp/support", "2025-11-25", json!({}), Some(&key));
    let answer = session.call(1, "s__find", json!({ "words": "x", "project": "other" }));
    assert_eq!(answer.result()["isError"], true, "{}", answer.body);
    let through = json!({ "name": "s__find", "arguments": { "words": "x", "project": "other" } });
    let searching = Modern::new(&gateway, "/mcp/support?discovery=search").bearing(&key);
    assert_eq!(searching.call("call_tool", through).result()["isError"], true);
    assert_eq!(reached.lock().unwrap().len(), before);
    // Policies decide about what is sent.
    let secret = Modern::new(&gateway, "/mcp/secret").bearing(&key);
    assert_eq!(secret.call("s__find", json!({ "words": "x" })).kind(), "denied");
    assert_eq!(reached.lock().unwrap().len(), before);
    // A portal whose rules do not fit has no such tool.
    let broken = Modern::new(&gateway, "/mcp/broken").bearing(&key);
    assert_eq!(tool(&broken.ask("tools/list", json!({})), "s__find"), Value::Null);
    let answer = broken.call("s__find", json!({ "words": "x", "project": "y" }));
    assert_eq!(answer.json()["error"]["message"], "Unknown tool: s__find");
    assert!(gateway.logged("do not fit the tool"));
    // Elsewhere, nothing is changed.
    let direct = Modern::new(&gateway, "/mcp").bearing(&key);
    assert_eq!(direct.call("s__find", json!({ "words": "x", "project": "y" })).text(), "done");
    assert_eq!(last(), json!({ "words": "x", "project": "y" }));
    wait_for("what was sent is recorded", || {
        let told = gateway.told(&["audit", "search", "--json", "--limit", "100"]);
        told.lines().any(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["portal"] == "support" && line.contains("\"project\":\"support\"")
        })
    });
}

#[test]
fn definitions_are_as_short_as_the_portal_wants_them() {
    let (server, _) = tickets(|_| said("done"));
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{url: \"{}\"}}}}
portals:
  short: {{servers: [s], compact: {{descriptions: 20, drop: [examples, defaults, titles, repetitions]}}}}
",
        server.url()
    ));
    let listed =
        |path: &str| tool(&Modern::new(&gateway, path).ask("tools/list", json!({})), "s__find");
    let (short, whole) = (listed("/mcp/short"), listed("/mcp"));
    assert_eq!(short["description"], "Finds tickets. …");
    let schema = &short["inputSchema"];
    assert_eq!(schema["properties"]["words"]["description"], "Finds tickets. …");
    assert!(
        schema.get("title").is_none() && schema["properties"]["project"].get("title").is_none()
    );
    assert!(schema["properties"]["words"].get("examples").is_none());
    assert!(schema["properties"]["limit"].get("default").is_none());
    assert_eq!(schema["required"], whole["inputSchema"]["required"]);
    assert_eq!(whole["description"], LONG);
    assert_eq!(whole["inputSchema"]["properties"]["limit"]["default"], 10);
}

#[test]
fn what_is_cut_is_marked_and_can_be_read_on() {
    let items: Vec<Value> =
        (0..40).map(|id| json!({ "id": id, "name": format!("n{id}") })).collect();
    let text = serde_json::to_string(&items).unwrap();
    let whole = text.clone();
    let (server, _) = tickets(move |params| match params["name"].as_str().unwrap() {
        "whole" => json!({ "content": [{ "type": "text", "text": text }],
            "structuredContent": { "all": items }, "resultType": "complete" }),
        _ => said(&text),
    });
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{url: \"{}\"}}}}
portals:
  cut: {{servers: [s], compact: {{results: {{items: 15}}}}}}
  found: {{servers: [s], discovery: search, compact: {{results: {{items: 15}}}}}}
audit: {{reads: before}}
",
        server.url()
    ));
    let find = json!({ "project": "p", "words": "x" });
    let texts = |answer: &Answer| {
        let content = answer.result()["content"].as_array().unwrap().clone();
        content.iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let cursor = |mark: &str| mark.split('"').nth(1).unwrap().to_owned();
    let client = Modern::new(&gateway, "/mcp/cut");
    let listed = client.ask("tools/list", json!({}));
    assert_eq!(tool(&listed, "read_more")["inputSchema"]["required"], json!(["cursor"]));
    let mut answer = client.call("s__find", find.clone());
    let mut read: Vec<Value> = Vec::new();
    for piece in 0.. {
        let told = texts(&answer);
        let items: Vec<Value> = serde_json::from_str(&told[0]).unwrap();
        assert!(items.len() <= 15, "{told:?}");
        read.extend(items);
        let Some(mark) = told.get(1) else { break };
        assert!(mark.contains("of 40 are shown") && piece < 5, "{mark}");
        answer = client.call("read_more", json!({ "cursor": cursor(mark) }));
    }
    assert_eq!(serde_json::to_string(&read).unwrap(), whole);
    // Nobody else's, and not elsewhere.
    let mark = texts(&client.call("s__find", find.clone())).pop().unwrap();
    let elsewhere = Modern::new(&gateway, "/mcp/found");
    let refused = elsewhere.call("read_more", json!({ "cursor": cursor(&mark) }));
    assert_eq!(refused.result()["isError"], true, "{}", refused.body);
    for wrong in ["", "x", "x.1", &format!("{}x", cursor(&mark))] {
        let refused = client.call("read_more", json!({ "cursor": wrong }));
        assert_eq!(refused.result()["isError"], true, "{wrong}: {}", refused.body);
    }
    assert_eq!(
        Modern::new(&gateway, "/mcp").call("read_more", json!({ "cursor": "x" })).code(),
        -32602
    );
    // Structured content stays whole, and so does everything where nothing is asked for.
    let structured = client.call("s__whole", json!({})).result();
    assert_eq!(structured["structuredContent"]["all"].as_array().unwrap().len(), 40);
    assert_eq!(Modern::new(&gateway, "/mcp").call("s__find", find.clone()).text(), whole);
    // The same where clients search, and in a session.
    let listed = elsewhere.ask("tools/list", json!({}));
    assert_eq!(listed.result()["tools"].as_array().unwrap().len(), 4);
    let through = json!({ "name": "s__find", "arguments": find });
    let told = texts(&elsewhere.call("call_tool", through));
    assert!(told[1].contains("of 40 are shown"), "{told:?}");
    let session = Handshake::open(&gateway, "/mcp/cut", "2025-06-18", json!({}));
    let told = texts(&session.call(1, "s__find", find));
    let more = session.call(2, "read_more", json!({ "cursor": cursor(&told[1]) }));
    assert!(texts(&more)[0].contains("\"id\":15"), "{}", more.body);
    wait_for("what was cut is recorded", || {
        let told = gateway.told(&["audit", "search", "--json", "--limit", "100"]);
        told.lines().any(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["portal"] == "cut" && record["cut"].as_i64().is_some_and(|bytes| bytes > 100)
        })
    });
}

#[test]
fn wrong_settings_are_told() {
    let folder = folder();
    let file = folder.path().join("doorward.yaml");
    for (settings, said) in [
        ("parameters: {add: {a: {fix: 1}}}", "'add': expected server/name"),
        ("parameters: {sample/add: {a: {}}}", "set 'fix', 'hide', 'default' or 'describe'"),
        ("parameters: {sample/add: {a: {fix: 1, hide: true}}}", "exclude one another"),
        ("parameters: {sample/add: {a: {hide: true, describe: x}}}", "cannot be described"),
        ("parameters: {sample/add: {'a..b': {fix: 1}}}", "'a..b'"),
        ("compact: {descriptions: 0}", "'descriptions' must be at least 1"),
        ("compact: {results: {bytes: '3B'}}", "'results.bytes' must be at least 256"),
        ("compact: {results: {items: 0}}", "'results.items' must be at least 1"),
        ("compact: {results: {fields: ['a..b']}}", "'results.fields' 'a..b'"),
        ("compact: {drop: [all]}", "all"),
    ] {
        let text = format!(
            "servers: {{sample: {{sample: true}}}}\nportals: {{p: {{servers: [sample], {settings}}}}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let checked = doorward().arg("check").arg(&file).output().unwrap();
        let error = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.code() == Some(3) && error.contains(said), "{settings}: {error}");
    }
}
