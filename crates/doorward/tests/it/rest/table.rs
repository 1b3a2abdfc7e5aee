//! The same calls over MCP, directly and through `call_tool`, over REST, as functions and as tasks of A2A: one decision, one
//! record, one price, each in its own words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Rest, code};
use crate::a2a::{self, A2a, state};
use crate::support::client::Modern;
use crate::support::door::{Door, Mood};
use crate::support::hostile::{Era, said, scripted};
use crate::support::{Gateway, folder, wait_for};
use serde_json::{Value, json};

const POLICIES: &str = r#"
permit (principal, action in Action::"use", resource);
forbid (principal, action, resource == Tool::"s/hidden");
@id("no") @reason("Not this one") @arguments("what?: String")
forbid (principal, action == Action::"call", resource == Tool::"s/get")
    when { context.arguments has what && context.arguments.what == "denied" };
"#;

fn tools() -> Value {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
    let get = json!({ "name": "get", "inputSchema": {
        "type": "object", "properties": { "what": { "type": "string" }, "count": { "type": "integer" } }, "required": ["what"] } });
    let mut all: Vec<Value> =
        ["hidden", "fails", "breaks", "sleeps", "secret", "huge", "limited", "paid", "dear"]
            .map(tool)
            .into();
    all.push(get);
    all.into()
}

/// What each call is, and what is said of it.
struct Case {
    name: &'static str,
    tool: &'static str,
    arguments: Value,
    /// Over MCP: the kind of an error, its code, or the text.
    mcp: &'static str,
    /// Over REST: status and code, or the text.
    rest: (u16, &'static str),
    /// As a function, and as a task: part of the text for the model.
    function: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |name, tool, arguments, mcp, rest, function| Case {
        name,
        tool,
        arguments,
        mcp,
        rest,
        function,
    };
    let get = |what: &str| json!({ "what": what });
    let nothing = || json!({});
    vec![
        case("permitted", "s/get", get("x"), "got x", (200, "got x"), "got x"),
        case("hidden", "s/hidden", nothing(), "-32602", (404, "unknown_tool"), "Unknown tool"),
        case("absent", "s/absent", nothing(), "-32602", (404, "unknown_tool"), "Unknown tool"),
        case("denied", "s/get", get("denied"), "denied", (403, "forbidden"), "Not this one"),
        case(
            "bad arguments",
            "s/get",
            json!({ "what": "x", "count": "many" }),
            "count",
            (400, "invalid_arguments"),
            "/count",
        ),
        case("tool error", "s/fails", nothing(), "it failed", (200, "it failed"), "it failed"),
        case("server error", "s/breaks", nothing(), "http_status", (502, "http_status"), "HTTP"),
        case("timeout", "s/sleeps", nothing(), "timeout", (504, "timeout"), "time"),
        case("secret", "s/secret", nothing(), "[SECRET]", (200, "[SECRET]"), "[SECRET]"),
        case("huge", "s/huge", nothing(), "too_large", (502, "too_large"), "too large"),
        case("in the limit", "s/limited", nothing(), "done", (200, "done"), "done"),
        case(
            "over the limit",
            "s/limited",
            nothing(),
            "rate_limited",
            (429, "rate_limited"),
            "used up",
        ),
        case("priced", "s/paid", nothing(), "done", (200, "done"), "done"),
        case(
            "out of credit",
            "s/dear",
            nothing(),
            "out_of_credit",
            (402, "out_of_credit"),
            "credit",
        ),
        case("down", "gone/get", nothing(), "unreachable", (502, "unreachable"), "reach"),
    ]
}

const SECRET: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

#[test]
fn every_door_makes_the_same_decisions_records_and_charges() {
    let server = scripted(Era::Modern, |asked| {
        let params = &asked.message["params"];
        match asked.message["method"].as_str()? {
            "tools/list" => {
                Some(json!({ "tools": tools(), "ttlMs": 600_000, "cacheScope": "public" }))
            }
            "tools/call" => Some(match params["name"].as_str()? {
                "get" => {
                    said(&format!("got {}", params["arguments"]["what"].as_str().unwrap_or("it")))
                }
                "fails" => {
                    json!({ "content": [{ "type": "text", "text": "it failed" }], "isError": true, "resultType": "complete" })
                }
                "breaks" => json!({ "httpStatus": 500 }),
                "sleeps" => {
                    std::thread::sleep(Duration::from_millis(1_500));
                    said("late")
                }
                "secret" => said(&format!("the key is {SECRET}")),
                "huge" => said(&"x".repeat(200_000)),
                _ => said("done"),
            }),
            _ => None,
        }
    });
    let other = scripted(Era::Modern, |asked| {
        let get = json!({ "name": "get", "inputSchema": { "type": "object" } });
        (asked.message["method"] == "tools/list")
            .then(|| json!({ "tools": [get], "ttlMs": 600_000, "cacheScope": "public" }))
    });
    let door = Door::before(other.address);
    let files = folder();
    let policies = files.path().join("table.cedar");
    std::fs::write(&policies, POLICIES).unwrap();
    let config = format!(
        "policy: {{files: [table.cedar], explain: full}}\n\
         servers:\n  s: {{url: \"{}\", tool_timeouts: {{sleeps: 400ms}}, reliability: {{breaker: {{failures: 100}}}}}}\n  gone: {{url: \"{}\"}}\n\
         limits: {{message: 64KiB}}\n\
         rate_limits: {{rules: {{few: {{per: [user], only: {{tools: ['s/limited']}}, rate: 1/h}}}}}}\n\
         billing: {{prices: {{paid: {{tools: s/paid, call: 1.5}}, dear: {{tools: s/dear, call: 1000}}}}}}\n\
         inspection: {{results: {{data: {{classes: {{secret: mask}}}}}}}}\n\
         audit: {{reads: before}}\n",
        server.url(),
        door.url(),
    );
    let gateway = Gateway::start_with(&config, &[("table.cedar", &policies)]);
    gateway.told(&["credits", "grant", "--tenant", "acme", "20"]);
    let key = |user: &str| gateway.key(&["--user", user, "--in-tenant", "acme"]);
    let mcp = Modern::new(&gateway, "/mcp").bearing(&key("mcp"));
    let searching = Modern::new(&gateway, "/mcp?discovery=search").bearing(&key("searching"));
    let rest = Rest::new(&gateway).bearing(&key("rest"));
    let functions = Rest::new(&gateway).bearing(&key("functions"));
    let agent = A2a::new(&gateway).bearing(&key("agent"));
    wait_for("the lists are known", || {
        let tools = mcp.ask("tools/list", json!({})).result()["tools"].as_array().unwrap().len();
        tools == tools_seen()
    });
    door.is(Mood::Shut);
    let prober = Modern::new(&gateway, "/mcp").bearing(&key("prober"));
    wait_for("it is down", || prober.call("gone__get", json!({})).kind() == "unreachable");
    let mut left: BTreeMap<&str, String> = BTreeMap::new();
    for case in cases() {
        let Case { name, tool, arguments, .. } = case;
        let shown = tool.replace('/', "__");
        let through = json!({ "name": shown, "arguments": arguments });
        for answer in [mcp.call(&shown, arguments.clone()), searching.call("call_tool", through)] {
            let message = answer.json();
            let words = match (&message["error"]["data"]["kind"], &message["error"]["code"]) {
                (Value::String(kind), _) => kind.clone(),
                (_, Value::Number(code)) => code.to_string(),
                _ => {
                    message["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
                }
            };
            assert!(words.contains(case.mcp), "{name}: {}", answer.body);
            assert!(!answer.body.contains(SECRET), "{name}");
        }
        let answer = rest.execute(tool, arguments.clone());
        let message = answer.json();
        let words = match code(&answer) {
            code if code.is_empty() => message["data"].as_str().unwrap_or_default().to_owned(),
            code => code,
        };
        assert_eq!(answer.status, case.rest.0, "{name}: {}", answer.body);
        assert!(words.contains(case.rest.1), "{name}: {}", answer.body);
        match name {
            "over the limit" => {
                assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
            }
            "bad arguments" => {
                assert_eq!(message["error"]["details"][0]["pointer"], "/count", "{message}");
            }
            "tool error" => assert_eq!(message["is_error"], true),
            "priced" => {
                assert_eq!(message["usage"]["cost"], "1.5", "{message}");
                left.insert(name, message["usage"]["balance_remaining"].to_string());
            }
            _ => {}
        }
        let call = json!({ "type": "tool_use", "id": "1", "name": shown, "input": &arguments });
        let answer = functions.post("/tools/execute", call);
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let message = answer.json();
        let text = message["results"][0]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.contains(case.function), "{name}: {}", answer.body);
        let is_error = !(200..300).contains(&case.rest.0) || name == "tool error";
        assert_eq!(message["results"][0]["is_error"], is_error, "{name}: {message}");
        let task = agent.call(tool, arguments);
        let told = match task["artifacts"][0]["parts"][0]["text"].as_str() {
            Some(text) => text.to_owned(),
            None => a2a::words(&task),
        };
        assert!(told.contains(case.function), "{name}: {task}");
        let expected = match case.rest.0 {
            200 if name != "tool error" => "TASK_STATE_COMPLETED",
            400..500 => "TASK_STATE_REJECTED",
            _ => "TASK_STATE_FAILED",
        };
        assert_eq!(state(&task), expected, "{name}: {task}");
        let error = &task["status"]["message"]["metadata"]["doorward/error"];
        match name {
            "over the limit" => assert!(error["retry_after"].is_u64(), "{task}"),
            "priced" => assert_eq!(task["metadata"]["doorward/usage"]["cost"], "1.5", "{task}"),
            _ => {}
        }
        assert!(!task.to_string().contains(SECRET), "{name}");
        assert!(!answer.body.contains(SECRET), "{name}");
    }
    assert!(left["priced"].starts_with("\"1"), "{left:?}");
    let records = || {
        let told = gateway.told(&["audit", "search", "--json", "--limit", "1000"]);
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in told.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            if record["method"] != "tools/call" || line.contains("prober") {
                continue;
            }
            let of = match record["discovery_tool"].as_str() {
                Some(tool) => tool.to_owned(),
                None => record["protocol"].as_str().unwrap_or_default().to_owned(),
            };
            let told = [
                "target",
                "server",
                "decision",
                "code",
                "policies",
                "outcome",
                "error",
                "error_code",
                "price",
                "limit",
            ]
            .map(|member| record[member].to_string());
            all.entry(of).or_default().push(told.join(" "));
        }
        all.values_mut().for_each(|of| of.sort());
        all
    };
    wait_for("all is recorded", || {
        let records = records();
        records.len() == 5 && records.values().all(|of| of.len() == cases().len())
    });
    let records = records();
    assert_eq!(records["mcp"], records["call_tool"]);
    assert_eq!(records["mcp"], records["rest"]);
    assert_eq!(records["mcp"], records["functions"]);
    assert_eq!(records["mcp"], records["a2a"]);
    assert!(records["mcp"].iter().any(|line| line.contains("1500000")), "{:?}", records["mcp"]);
    // Each has been charged once by each.
    wait_for("all is settled", || {
        let all: Value =
            serde_json::from_str(&gateway.told(&["credits", "list", "--json"])).unwrap();
        all[0]["spent"] == "7.5"
    });
}

/// All but the hidden one, and that of the other server.
fn tools_seen() -> usize {
    tools().as_array().unwrap().len()
}
