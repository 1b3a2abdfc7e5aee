//! Tools as an agent of the Agent2Agent protocol: the same decisions and records as over MCP, as tasks.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod refused;
mod results;
mod tasks;
mod waits;

use crate::rest::SAMPLE;
use crate::support::client::{Answer, Stream, open, send};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// A client of A2A.
#[derive(Debug, Clone)]
pub struct A2a {
    pub address: String,
    /// `/api/a2a`, or that of a portal.
    pub base: String,
    pub authorization: Option<String>,
    /// What `A2A-Version` says.
    pub version: Option<&'static str>,
}

impl A2a {
    pub fn new(gateway: &Gateway) -> Self {
        Self {
            address: gateway.address.clone(),
            base: "/api/a2a".into(),
            authorization: None,
            version: Some("1.0"),
        }
    }

    pub fn at(gateway: &Gateway, portal: &str) -> Self {
        Self { base: format!("/api/a2a/portals/{portal}"), ..Self::new(gateway) }
    }

    pub fn bearing(self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self }
    }

    pub fn speaking(self, version: Option<&'static str>) -> Self {
        Self { version, ..self }
    }

    fn headers<'a>(&'a self, more: &[(&'a str, &'a str)], body: &str) -> Vec<(&'a str, &'a str)> {
        let mut all = more.to_vec();
        if !body.is_empty() && !more.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(self.version.map(|version| ("a2a-version", version)));
        all.extend(self.authorization.as_deref().map(|text| ("authorization", text)));
        all
    }

    pub fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let path = format!("{}{path}", self.base);
        let headers = self.headers(headers, body);
        send(&self.address, method, &path, &headers, body.as_bytes()).unwrap()
    }

    pub fn rpc(&self, method: &str, params: Value) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.http("POST", "", &[], &body.to_string())
    }

    pub fn open(&self, method: &str, params: Value) -> Stream {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let body = body.to_string();
        open(&self.address, "POST", &self.base, &self.headers(&[], &body), body.as_bytes()).unwrap()
    }

    /// The task that a message leads to.
    pub fn send(&self, message: Value) -> Value {
        let answer = self.rpc("SendMessage", json!({ "message": message }));
        let result = answer.result();
        assert!(result["task"].is_object(), "{result}");
        result["task"].clone()
    }

    pub fn call(&self, tool: &str, arguments: Value) -> Value {
        self.send(call(tool, arguments))
    }

    /// The same, without waiting; the ID of the task.
    pub fn begin(&self, tool: &str, arguments: Value) -> String {
        let configuration = json!({ "returnImmediately": true });
        let params = json!({ "message": call(tool, arguments), "configuration": configuration });
        let task = self.rpc("SendMessage", params).result()["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_WORKING", "{task}");
        task["id"].as_str().unwrap().to_owned()
    }

    pub fn get(&self, id: &str) -> Value {
        self.rpc("GetTask", json!({ "id": id })).result()
    }

    pub fn wait_for(&self, id: &str, state: &str) -> Value {
        let mut task = Value::Null;
        wait_for(&format!("the task is {state}"), || {
            task = self.get(id);
            task["status"]["state"] == state
        });
        task
    }
}

/// A message with one part.
pub fn message(part: Value) -> Value {
    json!({ "messageId": "m1", "role": "ROLE_USER", "parts": [part] })
}

pub fn call(tool: &str, arguments: Value) -> Value {
    message(json!({ "data": { "tool": tool, "arguments": arguments } }))
}

/// A message to a task.
pub fn to(task: &Value, part: Value) -> Value {
    let mut message = message(part);
    message["taskId"] = task["id"].clone();
    message
}

pub fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap()
}

/// The text of what the agent says.
pub fn words(task: &Value) -> String {
    task["status"]["message"]["parts"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// The code of the reason of an error of JSON-RPC of 1.0.
pub fn reason(answer: &Answer) -> String {
    let error = &answer.json()["error"];
    error["data"][0]["reason"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

#[test]
fn a_tool_is_called_in_both_revisions_and_bindings() {
    let gateway = Gateway::start(SAMPLE);
    let sum = json!({ "a": 1, "b": 2.5 });
    for (client, tool) in [
        (A2a::new(&gateway), "sample/add"),
        (A2a::new(&gateway), "sample__add"),
        (A2a::at(&gateway, "sample"), "add"),
        (A2a::at(&gateway, "sample"), "sample/add"),
        (A2a { base: "/api/a2a/".into(), ..A2a::new(&gateway) }, "sample/add"),
    ] {
        let task = client.call(tool, sum.clone());
        assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
        let artifact = &task["artifacts"][0];
        let parts = json!([{ "data": { "sum": 3.5 } }, { "text": "3.5" }]);
        assert_eq!(artifact["parts"], parts, "{task}");
        assert_eq!(
            (&artifact["name"], &artifact["artifactId"]),
            (&json!("sample/add"), &json!("result"))
        );
        assert_eq!(task["history"].as_array().unwrap().len(), 1, "{task}");
        assert_eq!(task["history"][0]["taskId"], task["id"]);
        let told = &task["metadata"];
        assert_eq!(
            (&told["doorward/tool"], &told["doorward/usage"]["cost"]),
            (&json!("sample/add"), &json!("0"))
        );
        let id = told["doorward/call"].as_str().unwrap();
        let record = gateway.told(&["audit", "show", id]);
        assert!(record.contains("a2a") && record.contains("sample"), "{record}");
        assert_eq!(client.get(task["id"].as_str().unwrap()), task);
    }
    // 1.0 over HTTP+JSON.
    let client = A2a::new(&gateway);
    let body = json!({ "message": call("sample/add", sum.clone()) }).to_string();
    let kind = [("content-type", "application/a2a+json")];
    let answer = client.http("POST", "/message:send", &kind, &body);
    assert_eq!(answer.header("content-type"), Some("application/a2a+json"));
    let task = answer.json()["task"].clone();
    assert_eq!(task["artifacts"][0]["parts"][0]["data"]["sum"], 3.5, "{task}");
    let path = format!("/tasks/{}?historyLength=0", task["id"].as_str().unwrap());
    let got = client.http("GET", &path, &[], "").json();
    assert_eq!((&got["id"], got.get("history")), (&task["id"], None), "{got}");
    // 0.3 over JSON-RPC: without a version, and by its name.
    for version in [None, Some(""), Some("0.3")] {
        let old = A2a::new(&gateway).speaking(version);
        let part = json!({ "kind": "data", "data": { "tool": "sample/add", "arguments": sum } });
        let message =
            json!({ "kind": "message", "messageId": "m", "role": "user", "parts": [part] });
        let task = old.rpc("message/send", json!({ "message": message })).result();
        assert_eq!(
            (&task["kind"], &task["status"]["state"]),
            (&json!("task"), &json!("completed"))
        );
        assert_eq!(task["artifacts"][0]["parts"][0]["data"]["sum"], 3.5, "{task}");
        let got = old.rpc("tasks/get", json!({ "id": task["id"] })).result();
        assert_eq!(got, task);
        // One task in both revisions.
        assert_eq!(state(&client.get(task["id"].as_str().unwrap())), "TASK_STATE_COMPLETED");
    }
    // 0.3 over HTTP+JSON.
    let old = A2a::new(&gateway).speaking(None);
    let body = json!({ "message": { "messageId": "m", "role": "ROLE_USER",
        "content": [{ "data": { "data": { "tool": "sample/echo", "arguments": { "text": "hi" } } } }] } });
    let task = old.http("POST", "/v1/message:send", &[], &body.to_string()).json()["task"].clone();
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "hi", "{task}");
}

#[test]
fn the_card_is_public_and_cached_and_the_extended_one_is_the_callers() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}\npolicy: {{files: [open.cedar]}}\nportals: {{some: {{tools: [sample/add], rename: {{sample/add: plus}}}}}}\n"
    ));
    let key = gateway.key(&["--user", "ann"]);
    let site = A2a { base: String::new(), version: None, ..A2a::new(&gateway) };
    for path in [
        "/.well-known/agent-card.json",
        "/.well-known/agent.json",
        "/api/a2a/.well-known/agent-card.json",
    ] {
        let answer = site.http("GET", path, &[], "");
        assert_eq!(answer.status, 200, "{path}");
        let card = answer.json();
        let url = gateway.url("/api/a2a");
        assert_eq!(card["supportedInterfaces"][0]["url"], url, "{card}");
        assert_eq!(card["supportedInterfaces"].as_array().unwrap().len(), 4);
        // What clients of 0.3 read.
        assert_eq!(
            (&card["url"], &card["protocolVersion"]),
            (&json!(url), &json!("0.3.0")),
            "{card}"
        );
        assert_eq!(card["capabilities"]["streaming"], true);
        assert_eq!(card["capabilities"]["pushNotifications"], false);
        assert_eq!(card["capabilities"]["extensions"][0]["uri"], "urn:doorward:a2a:tools:1");
        assert!(card["securitySchemes"]["bearer"].is_object(), "{card}");
        assert!(!answer.body.contains("sample"), "it says nothing of what there is");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert!(answer.header("last-modified").unwrap().ends_with(" GMT"));
        let tag = answer.header("etag").unwrap();
        let again = site.http("GET", path, &[("if-none-match", tag)], "");
        assert_eq!((again.status, &*again.body), (304, ""));
        assert_eq!(site.http("POST", path, &[], "{}").status, 405);
    }
    // Whether there is a portal is not told.
    let card = |portal: &str| {
        let path = format!("/api/a2a/portals/{portal}/.well-known/agent-card.json");
        site.http("GET", &path, &[], "").body.replace(portal, "x")
    };
    assert_eq!(card("some"), card("none"));
    let skills = |client: &A2a| {
        let card = client.rpc("GetExtendedAgentCard", json!({})).result();
        card["skills"].as_array().unwrap().clone()
    };
    let ann = A2a::new(&gateway).bearing(&key);
    let all = skills(&ann);
    assert!(all.len() > 3, "{all:?}");
    let add = all.iter().find(|skill| skill["id"] == "sample/add").unwrap();
    assert_eq!((&add["name"], &add["tags"]), (&json!("Add"), &json!(["sample"])), "{add}");
    let portal = A2a::at(&gateway, "some").bearing(&key);
    let few = skills(&portal);
    assert_eq!((few.len(), &few[0]["id"]), (1, &json!("sample/add")));
    let over_http = portal.http("GET", "/extendedAgentCard", &[], "").json();
    assert_eq!(over_http["skills"], json!(few));
    let old = portal.clone().speaking(None).rpc("agent/getAuthenticatedExtendedCard", json!({}));
    assert_eq!(old.result()["skills"][0]["id"], "sample/add");
    // Who sees nothing has no skills.
    let limited = gateway.key(&["--user", "bob", "--portal", "some"]);
    assert!(skills(&A2a::new(&gateway).bearing(&limited)).is_empty());
}

#[test]
fn the_protocol_can_be_switched_off() {
    let gateway = Gateway::start(&format!("{SAMPLE}\na2a: {{enabled: false}}\n"));
    let client = A2a::new(&gateway);
    for path in ["", "/.well-known/agent-card.json"] {
        assert_eq!(client.http("GET", path, &[], "").status, 404, "{path}");
    }
    let site = A2a { base: String::new(), ..client };
    assert_eq!(site.http("GET", "/.well-known/agent-card.json", &[], "").status, 404);
}

#[test]
fn a_task_is_streamed_and_all_streams_see_the_same() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let slow = call("sample/slow", json!({ "steps": 3, "pause_ms": 150 }));
    let mut stream = client.open("SendStreamingMessage", json!({ "message": slow }));
    let first = stream.message().unwrap();
    assert_eq!(first["id"], 7);
    let task = first["result"]["task"].clone();
    assert_eq!(state(&task), "TASK_STATE_WORKING", "{first}");
    let mut second = client.open("SubscribeToTask", json!({ "id": task["id"] }));
    assert_eq!(second.message().unwrap()["result"]["task"]["id"], task["id"]);
    let all = |stream: &mut Stream| {
        let mut all = Vec::new();
        while let Some(event) = stream.message() {
            all.push(event["result"].clone());
        }
        all
    };
    let (one, two) = (all(&mut stream), all(&mut second));
    let text =
        |event: &Value| event["statusUpdate"]["status"]["message"]["parts"][0]["text"].clone();
    assert!(one.iter().any(|event| text(event) == "step 1 of 3"), "{one:?}");
    let progress = &one.iter().find(|event| text(event) == "step 3 of 3").unwrap()["statusUpdate"];
    let told = &progress["status"]["message"]["metadata"]["doorward/progress"];
    assert_eq!(told["total"], 3, "{progress}");
    let [.., artifact, last] = &one[..] else { panic!("{one:?}") };
    assert_eq!(artifact["artifactUpdate"]["artifact"]["parts"][0]["text"], "done in 3 steps");
    assert_eq!(last["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert!(!two.is_empty() && one.ends_with(&two), "{one:?}\n{two:?}");
    // Over HTTP+JSON an event is the item itself, and 0.3 says which is the last.
    let body = json!({ "message": call("sample/echo", json!({ "text": "x" })) }).to_string();
    let events = client.http("POST", "/message:stream", &[], &body).messages();
    assert!(events[0]["task"].is_object() && events.len() == 3, "{events:?}");
    let part =
        json!({ "kind": "data", "data": { "tool": "sample/echo", "arguments": { "text": "x" } } });
    let message = json!({ "kind": "message", "messageId": "m", "role": "user", "parts": [part] });
    let old = client.speaking(None).rpc("message/stream", json!({ "message": message }));
    let kinds: Vec<_> =
        old.messages().iter().map(|event| event["result"]["kind"].clone()).collect();
    assert_eq!(kinds, ["task", "artifact-update", "status-update"]);
    assert_eq!(old.json()["result"]["final"], true);
}

#[test]
fn closing_a_stream_cancels_nothing() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let slow = call("sample/slow", json!({ "steps": 4, "pause_ms": 100 }));
    let mut stream = client.open("SendStreamingMessage", json!({ "message": slow }));
    let id = stream.message().unwrap()["result"]["task"]["id"].as_str().unwrap().to_owned();
    drop(stream);
    let task = client.wait_for(&id, "TASK_STATE_COMPLETED");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "done in 4 steps");
}
