//! What comes of a call: each kind of content, and each way to fail.

use super::{A2a, state, words};
use crate::support::Gateway;
use crate::support::hostile::{Era, scripted};
use serde_json::{Value, json};

const POLICIES: &str = r#"
permit (principal, action in Action::"use", resource);
forbid (principal, action, resource == Tool::"s/hidden");
@id("no") @reason("Not this one") @arguments("what?: String")
forbid (principal, action == Action::"call", resource == Tool::"s/denied")
    when { context.arguments has what && context.arguments.what == "x" };
"#;

#[test]
fn each_result_has_its_state_and_its_parts() {
    let tools = [
        "text",
        "image",
        "link",
        "structured",
        "empty",
        "failed",
        "denied",
        "hidden",
        "broken",
        "strict",
    ];
    let schema = json!({ "type": "object", "properties": { "what": { "type": "string" } } });
    let strict = json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } });
    let listed: Vec<Value> = tools
        .iter()
        .map(|name| json!({ "name": name, "inputSchema": if *name == "strict" { &strict } else { &schema } }))
        .collect();
    let server = scripted(Era::Modern, move |asked| {
        let params = &asked.message["params"];
        let complete = |content: Value| json!({ "content": content, "resultType": "complete" });
        match asked.message["method"].as_str()? {
            "tools/list" => {
                Some(json!({ "tools": listed, "ttlMs": 600_000, "cacheScope": "public" }))
            }
            "tools/call" => Some(match params["name"].as_str()? {
                "text" => complete(
                    json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]),
                ),
                "image" => {
                    complete(json!([{ "type": "image", "data": "aGk=", "mimeType": "image/png" }]))
                }
                "link" => complete(
                    json!([{ "type": "resource_link", "uri": "https://x.example/a", "name": "a" }]),
                ),
                "structured" => {
                    let mut result =
                        complete(json!([{ "type": "text", "text": "{\"ETag\":1,\"etag\":2}" }]));
                    result["structuredContent"] = json!({ "ETag": 1, "etag": 2 });
                    result
                }
                "failed" => {
                    let mut result = complete(json!([{ "type": "text", "text": "it failed" }]));
                    result["isError"] = json!(true);
                    result
                }
                "broken" => json!({ "httpStatus": 500 }),
                _ => complete(json!([])),
            }),
            _ => None,
        }
    });
    let folder = crate::support::folder();
    let policies = folder.path().join("p.cedar");
    std::fs::write(&policies, POLICIES).unwrap();
    let config = format!(
        "policy: {{files: [p.cedar], explain: full}}\nservers: {{s: {{url: \"{}\"}}}}\n",
        server.url()
    );
    let gateway = Gateway::start_with(&config, &[("p.cedar", &policies)]);
    let client = A2a::new(&gateway).bearing(&gateway.key(&["--user", "ann"]));
    for (tool, parts) in [
        ("s/text", json!([{ "text": "a" }, { "text": "b" }])),
        ("s/image", json!([{ "raw": "aGk=", "mediaType": "image/png" }])),
        ("s/link", json!([{ "url": "https://x.example/a", "filename": "a" }])),
        ("s/structured", json!([{ "data": { "ETag": 1, "etag": 2 } }])),
        ("s/empty", json!([])),
    ] {
        let task = client.call(tool, json!({}));
        assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
        assert_eq!(task["artifacts"][0]["parts"], parts, "{tool}");
        // As it was stored.
        assert_eq!(client.get(task["id"].as_str().unwrap()), task);
    }
    for (tool, arguments, state_of, said, code) in [
        ("s/failed", json!({}), "TASK_STATE_FAILED", "it failed", None),
        ("s/broken", json!({}), "TASK_STATE_FAILED", "500", Some("http_status")),
        (
            "s/denied",
            json!({ "what": "x" }),
            "TASK_STATE_REJECTED",
            "Not this one",
            Some("forbidden"),
        ),
        (
            "s/strict",
            json!({ "n": "many" }),
            "TASK_STATE_REJECTED",
            "/n",
            Some("invalid_arguments"),
        ),
    ] {
        let task = client.call(tool, arguments);
        assert_eq!(state(&task), state_of, "{task}");
        assert!(words(&task).contains(said), "{task}");
        let error = &task["status"]["message"]["metadata"]["doorward/error"];
        assert_eq!(error["code"].as_str(), code, "{task}");
        assert!(task["metadata"]["doorward/call"].is_string(), "{task}");
    }
    // A hidden tool cannot be told from one that is not there, nor from a server that is not there.
    let plain = |tool: &str| {
        let mut task = client.call(tool, json!({}));
        for place in ["/id", "/contextId", "/status/timestamp", "/metadata/doorward~1call"] {
            *task.pointer_mut(place).unwrap() = Value::Null;
        }
        for place in ["messageId", "taskId", "contextId"] {
            task["status"]["message"][place] = Value::Null;
            task["history"][0][place] = Value::Null;
        }
        task["status"]["message"]["metadata"]["doorward/error"]["request_id"] = Value::Null;
        task.to_string().replace(tool, "TOOL")
    };
    let hidden = plain("s/hidden");
    assert!(
        hidden.contains("Unknown tool: TOOL") && hidden.contains("TASK_STATE_REJECTED"),
        "{hidden}"
    );
    for absent in ["s/absent", "none/hidden", "s__absent", "s__hidden", "nothing"] {
        assert_eq!(plain(absent), hidden, "{absent}");
    }
}
