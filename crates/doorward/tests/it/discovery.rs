//! Tools that are searched for instead of listed: three tools lead to all others, under the rules of direct calls.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rest::Rest;
use crate::support::client::{Answer, Handshake, Modern};
use crate::support::hostile::{Era, said, scripted};
use crate::support::{Gateway, doorward, folder, wait_for};
use serde_json::{Value, json};

const OWN: [&str; 3] = ["search_tools", "get_tool_details", "call_tool"];

const CONFIG: &str = "
servers: { sample: { sample: true } }
portals:
  found:
    servers: [sample]
    rename: { sample/add: sum }
    describe: { sample/add: Adds two numbers }
    discovery: search
    favorites: [sample/add]
";

fn names(answer: &Answer) -> Vec<String> {
    let tools = answer.result()["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// What a search or a request for details has found.
fn told(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text()).unwrap_or_else(|_| panic!("{}", answer.body))
}

fn found(answer: &Answer) -> Vec<String> {
    let told = told(answer);
    let tools = told["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn three_tools_and_the_favorites_are_listed_and_all_are_callable() {
    let gateway = Gateway::start(CONFIG);
    let client = Modern::new(&gateway, "/mcp/found");
    let listed = client.ask("tools/list", json!({}));
    assert_eq!(names(&listed), [&["sum"], &OWN[..]].concat());
    let result = listed.result();
    assert!(result.get("nextCursor").is_none() && result["cacheScope"] == "private", "{result}");
    assert_eq!(client.ask("tools/list", json!({ "cursor": "eA" })).code(), -32602);
    let searched = client.call("search_tools", json!({ "query": "adds numbers" }));
    let first = told(&searched)["tools"][0].clone();
    assert_eq!(
        (&first["name"], &first["description"]),
        (&json!("sum"), &json!("Adds two numbers"))
    );
    assert_eq!(first["arguments"], "a, b");
    let full = client.call("search_tools", json!({ "query": "adds numbers", "detail": "full" }));
    assert_eq!(told(&full)["tools"][0]["inputSchema"]["type"], "object");
    let names = json!({ "names": ["sum", "sample__add", "none"] });
    let details = told(&client.call("get_tool_details", names));
    assert_eq!(details["tools"].as_array().unwrap().len(), 1);
    assert_eq!(details["tools"][0]["name"], "sum");
    assert_eq!(details["unknown"], json!(["sample__add", "none"]));
    // Through the tool that calls, and by name as well.
    let arguments = json!({ "a": 1, "b": 2 });
    let through = json!({ "name": "sum", "arguments": arguments });
    assert_eq!(client.call("call_tool", through).text(), "3");
    assert_eq!(client.call("sum", arguments).text(), "3");
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = Handshake::open(&gateway, "/mcp/found", revision, json!({}));
        assert_eq!(self::names(&session.ask(1, "tools/list", json!({}))).len(), 4, "{revision}");
        let searched = session.call(2, "search_tools", json!({ "query": "adds numbers" }));
        assert_eq!(found(&searched)[0], "sum", "{revision}");
        let through = json!({ "name": "sum", "arguments": { "a": 1, "b": 2 } });
        assert_eq!(session.call(3, "call_tool", through).text(), "3", "{revision}");
    }
}

#[test]
fn models_that_call_functions_search_as_well() {
    let gateway = Gateway::start(CONFIG);
    let rest = Rest::at(&gateway, "found");
    let listed = rest.get("/tools?format=anthropic").json();
    let tools = listed["tools"].as_array().unwrap().iter();
    let names: Vec<&str> = tools.map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&["sum"], &OWN[..]].concat());
    let call = |name: &str, input: Value| {
        let call = json!({ "type": "tool_use", "id": "1", "name": name, "input": input });
        let answer = rest.post("/tools/execute", call).json();
        answer["results"][0]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let found = call("search_tools", json!({ "query": "adds numbers" }));
    assert!(found.contains("\"name\":\"sum\""), "{found}");
    let through = json!({ "name": "sum", "arguments": { "a": 1, "b": 2 } });
    assert_eq!(call("call_tool", through), "3");
    // A program gets all.
    assert!(rest.get("/tools").json()["tools"].as_array().unwrap().len() > 4);
}

#[test]
fn a_url_chooses_as_well() {
    let gateway = Gateway::start(CONFIG);
    let listed = |path: &str| names(&Modern::new(&gateway, path).ask("tools/list", json!({})));
    assert!(listed("/mcp").len() > 3);
    assert_eq!(listed("/mcp?discovery=search"), OWN);
    assert_eq!(listed("/mcp/sample?a=b&discovery=search"), OWN);
    assert!(listed("/mcp/found?discovery=full").len() > 4);
    let wrong = Modern::new(&gateway, "/mcp?discovery=some").ask("tools/list", json!({}));
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("'full' or 'search'"), "{}", wrong.body);
    // A session has what its URL said when it was opened.
    let session = Handshake::open(&gateway, "/mcp?discovery=search", "2025-11-25", json!({}));
    assert_eq!(names(&session.ask(1, "tools/list", json!({}))), OWN);
    // At a server's own portal, tools have their own names.
    let single = Modern::new(&gateway, "/mcp/sample?discovery=search");
    assert_eq!(found(&single.call("search_tools", json!({ "query": "adds numbers" })))[0], "add");
    // Elsewhere, the three tools are not there.
    for tool in OWN {
        let answer = Modern::new(&gateway, "/mcp").call(tool, json!({ "query": "x" }));
        assert_eq!(answer.code(), -32602, "{tool}: {}", answer.body);
    }
}

#[test]
fn what_is_wrong_with_the_arguments_is_said_to_the_model() {
    let gateway = Gateway::start(CONFIG);
    let client = Modern::new(&gateway, "/mcp/found");
    for (tool, arguments, said) in [
        ("search_tools", json!({}), "/query: is missing"),
        ("search_tools", json!({ "query": "x", "limit": 1000 }), "/limit: must be from 1 to 20"),
        ("get_tool_details", json!({ "names": "sum" }), "/names: must be an array"),
        ("call_tool", json!({ "arguments": {} }), "/name: is missing"),
        ("call_tool", json!({ "name": "sum", "arguments": 3 }), "/arguments: must be an object"),
        // Of the tool that is called.
        ("call_tool", json!({ "name": "sum", "arguments": { "a": 1 } }), "/b: is missing"),
    ] {
        let answer = client.call(tool, arguments);
        assert_eq!(answer.result()["isError"], true, "{tool}: {}", answer.body);
        assert!(answer.text().contains(said), "{tool}: {}", answer.body);
        let session = Handshake::open(&gateway, "/mcp/found", "2025-06-18", json!({}));
        let older = session.call(2, "search_tools", json!({}));
        assert_eq!(older.code(), -32602, "{}", older.body);
    }
    let none = client.call("search_tools", json!({ "query": "zzqqxx" }));
    assert_eq!(told(&none)["tools"], json!([]));
    assert!(told(&none)["hint"].is_string());
    for name in ["search_tools", "get_tool_details", "call_tool", "other__x"] {
        let answer = client.call("call_tool", json!({ "name": name, "arguments": {} }));
        assert_eq!(answer.code(), -32602, "{name}: {}", answer.body);
        assert_eq!(answer.json()["error"]["message"], format!("Unknown tool: {name}"));
    }
}

/// A server asks its question through the tool that calls as it does otherwise.
#[test]
fn questions_of_a_tool_pass() {
    let gateway = Gateway::start(CONFIG);
    let client = Modern::new(&gateway, "/mcp/found").with(json!({ "elicitation": {} }));
    let through = json!({ "name": "sample__introduce", "arguments": {} });
    let asked = client.call("call_tool", through.clone()).result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answers = json!({ (key): { "action": "accept", "content": { "name": "Ada" } } });
    let again = json!({ "name": "call_tool", "arguments": through, "inputResponses": answers,
        "requestState": asked["requestState"] });
    let done = client.ask("tools/call", again);
    assert!(done.text().contains("Ada"), "{}", done.body);
}

#[test]
fn every_rule_is_that_of_a_direct_call() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let server = scripted(Era::Modern, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => {
            let tool = |name: &str, reads: bool| {
                json!({ "name": name, "description": "Ships a parcel to a place",
                    "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": reads } })
            };
            let tools = [tool("open", false), tool("secret", false), tool("look", true)];
            Some(json!({ "tools": tools, "ttlMs": 600_000, "cacheScope": "public" }))
        }
        "tools/call" => {
            seen.fetch_add(1, Ordering::SeqCst);
            Some(said("done"))
        }
        _ => None,
    });
    let files = folder();
    let policies = files.path().join("some.cedar");
    std::fs::write(
        &policies,
        r#"permit (principal, action in Action::"use", resource);
           forbid (principal, action, resource == Tool::"s/secret");"#,
    )
    .unwrap();
    let config = format!(
        "policy: {{files: [some.cedar]}}\n\
         servers:\n  s: {{url: \"{}\"}}\n  sample: {{sample: true}}\n\
         rate_limits: {{rules: {{few: {{per: [user], only: {{tools: ['s/look']}}, rate: 1/h}}}}}}\n\
         audit: {{lists: before, reads: before}}\n",
        server.url()
    );
    let gateway = Gateway::start_with(&config, &[("some.cedar", &policies)]);
    let key = gateway.key(&["--user", "ann"]);
    let client = Modern::new(&gateway, "/mcp?discovery=search").bearing(&key);
    let search = |more: Value| {
        let mut arguments = json!({ "query": "ship a parcel" });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut found = found(&client.call("search_tools", arguments));
        found.retain(|name| name.starts_with("s__"));
        found.sort();
        found
    };
    wait_for("the server is listed", || search(json!({})) == ["s__look", "s__open"]);
    assert_eq!(search(json!({ "read_only": true })), ["s__look"]);
    assert_eq!(search(json!({ "server": "S" })), ["s__look", "s__open"]);
    assert!(search(json!({ "server": "sample" })).is_empty());
    assert_eq!(search(json!({ "limit": 1 })).len(), 1);
    // What is hidden is as absent, in every answer.
    let through = |name: &str| client.call("call_tool", json!({ "name": name, "arguments": {} }));
    let alike = |name: &str| {
        let details = client.call("get_tool_details", json!({ "names": [name] }));
        let answer = through(name);
        [details.body, answer.body].map(|body| body.replace(name, "…"))
    };
    let (hidden, absent) = (alike("s__secret"), alike("s__absent"));
    assert_eq!(hidden[0], absent[0]);
    assert_eq!(hidden[1], absent[1]);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(through("s__open").text(), "done");
    assert_eq!(through("s__look").text(), "done");
    assert_eq!(through("s__look").kind(), "rate_limited");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    // The record says what was called, and by which way.
    let records = || {
        let told = gateway.told(&["audit", "search", "--json", "--limit", "1000"]);
        let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|it| it["discovery_tool"].is_string()).collect::<Vec<_>>()
    };
    let has = |tool: &str, method: &str, target: Value| {
        records().iter().any(|it| {
            it["discovery_tool"] == tool && it["method"] == method && it["target"] == target
        })
    };
    wait_for("calls are recorded", || has("call_tool", "tools/call", json!("open")));
    wait_for("searches are recorded", || has("search_tools", "tools/list", Value::Null));
    wait_for("details are recorded", || has("get_tool_details", "tools/list", Value::Null));
}

#[test]
fn a_changed_list_is_searched_at_once() {
    let version = Arc::new(AtomicUsize::new(0));
    let current = version.clone();
    let server = scripted(Era::Modern, move |asked| {
        let name = ["old_parcel", "new_parcel"][current.load(Ordering::SeqCst)];
        (asked.message["method"] == "tools/list").then(|| {
            let tool = json!({ "name": name, "description": "Ships", "inputSchema": { "type": "object" } });
            json!({ "tools": [tool], "ttlMs": 300, "cacheScope": "public" })
        })
    });
    let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let client = Modern::new(&gateway, "/mcp?discovery=search");
    let search = || found(&client.call("search_tools", json!({ "query": "parcel" })));
    wait_for("the first is found", || search() == ["s__old_parcel"]);
    version.store(1, Ordering::SeqCst);
    let changed = std::time::Instant::now();
    wait_for("the second is found", || search() == ["s__new_parcel"]);
    assert!(changed.elapsed() < std::time::Duration::from_secs(3));
}

#[test]
fn wrong_settings_are_refused() {
    let folder = folder();
    let file = folder.path().join("doorward.yaml");
    for (portal, said) in [
        ("{servers: [sample], favorites: [sample/add]}", "it is for 'discovery: search'"),
        ("{servers: [sample], discovery: search, favorites: [add]}", "expected server/name"),
        ("{servers: [sample], discovery: some}", "some"),
        ("{servers: [sample], rename: {sample/add: call_tool}}", "one of the gateway's own tools"),
    ] {
        let text = format!("servers: {{sample: {{sample: true}}}}\nportals: {{p: {portal}}}\n");
        std::fs::write(&file, text).unwrap();
        let checked = doorward().arg("check").arg(&file).output().unwrap();
        let error = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.code() == Some(3) && error.contains(said), "{portal}: {error}");
    }
}
