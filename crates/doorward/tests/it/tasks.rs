//! Tasks across the eras: presented to clients that support them, and awaited for those that do not.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::support::client::{Answer, Handshake, Modern, moment};
use crate::support::{Gateway, wait_for};
use doorward_mcp::Era;
use serde_json::{Value, json};

/// A gateway in front of a server whose tools run only as tasks.
struct World {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl World {
    fn new(era: Era, more: &str) -> Self {
        let folder = crate::support::folder();
        let era = if era == Era::Modern { "modern" } else { "handshake" };
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/tasks.py");
        let marks = folder.path().join("marks");
        let config = format!(
            "{more}\nservers: {{t: {{command: {}, args: [{program:?}, {era}, {marks:?}]}}}}",
            crate::support::python()
        );
        Self { gateway: Gateway::start(&config), folder }
    }

    fn client(&self, capabilities: Value) -> Modern {
        Modern::new(&self.gateway, "/mcp/t").with(capabilities)
    }

    /// A client that supports tasks and elicitation.
    fn knowing(&self) -> Modern {
        self.client(json!({
            "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }))
    }

    fn handshake(&self) -> Handshake {
        Handshake::open(&self.gateway, "/mcp/t", "2025-11-25", json!({ "elicitation": {} }))
    }

    /// The log that the server has written.
    fn marks(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("marks")).unwrap_or_default()
    }
}

fn created(answer: &Answer) -> String {
    let task = answer.result();
    assert_eq!(task["resultType"], "task", "{task}");
    assert_eq!(task["ttlMs"], 60_000, "{task}");
    assert!(task.get("ttl").is_none() && task.get("task").is_none(), "{task}");
    task["taskId"].as_str().unwrap().to_owned()
}

/// Polls a task until it has the status.
fn until(client: &Modern, task: &str, status: &str) -> Value {
    let mut state = Value::Null;
    wait_for(&format!("the task is {status}"), || {
        state = client.ask("tasks/get", json!({ "taskId": task })).result();
        state["status"] == status
    });
    assert_eq!(state["taskId"], task);
    state
}

fn is_told_and_looked_at(era: Era) {
    let world = World::new(era, "");
    let client = world.knowing();
    let about = client.ask("server/discover", json!({})).result();
    assert!(about["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object());
    let tools = client.ask("tools/list", json!({})).result();
    assert!(!tools.to_string().contains("taskSupport"), "{tools}");
    let task = created(&client.call("short", json!({})));
    assert!(!task.contains("task-"), "the server's own id stays here: {task}");
    let state = until(&client, &task, "completed");
    assert_eq!(state["result"]["content"][0]["text"], "done: None");
    assert!(!state.to_string().contains("related-task"), "{state}");
    // Cancelling a task that has ended has no effect and is not an error.
    let over = client.ask("tasks/cancel", json!({ "taskId": task }));
    assert_eq!(over.result(), json!({ "resultType": "complete" }));
    assert_eq!(world.marks(), "");
    let long = created(&client.call("long", json!({})));
    client.ask("tasks/cancel", json!({ "taskId": long })).result();
    until(&client, &long, "cancelled");
    assert_eq!(client.ask("tasks/get", json!({ "taskId": "task-0" })).code(), -32602);
}

#[test]
fn a_task_of_2025_11_25_is_told_to_a_client_that_knows_tasks() {
    is_told_and_looked_at(Era::Handshake);
}

#[test]
fn a_task_of_a_modern_server_is_told_under_another_name() {
    is_told_and_looked_at(Era::Modern);
}

#[test]
fn a_listener_is_told_of_a_task_what_reading_it_would_say() {
    let world = World::new(Era::Modern, "inspection: {results: {data: {classes: {email: mask}}}}");
    let client = world.knowing();
    let task = created(&client.call("leak", json!({})));
    let mut stream = client.listen(json!({ "taskIds": [task] }));
    let told = stream.message().unwrap();
    assert_eq!(told["method"], "notifications/tasks", "{told}");
    let state = &told["params"];
    assert_eq!((&state["taskId"], &state["status"]), (&json!(task), &json!("completed")), "{told}");
    assert_eq!(state["result"]["content"][0]["text"], "done: write to [EMAIL]", "{told}");
    assert!(state["_meta"]["io.modelcontextprotocol/subscriptionId"].is_number(), "{told}");
    assert!(state.get("resultType").is_none(), "{told}");
    let read = until(&client, &task, "completed");
    assert_eq!(read["result"], state["result"]);
}

fn asks_in_its_midst(era: Era) {
    let world = World::new(era, "");
    let client = world.knowing();
    let task = created(&client.call("ask", json!({})));
    let state = until(&client, &task, "input_required");
    let (key, asked) = state["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(asked["method"], "elicitation/create");
    assert!(!asked.to_string().contains("related-task"), "{asked}");
    // Responses to requests that were never made change nothing.
    let wrong = json!({ "taskId": task, "inputResponses": { "other": { "action": "accept" } } });
    client.ask("tasks/update", wrong).result();
    let right = json!({ "taskId": task, "inputResponses": { key: { "action": "accept" } } });
    assert_eq!(client.ask("tasks/update", right).result(), json!({ "resultType": "complete" }));
    let state = until(&client, &task, "completed");
    assert_eq!(state["result"]["content"][0]["text"], "done: accept");
}

#[test]
fn a_task_of_2025_11_25_asks_in_its_midst() {
    asks_in_its_midst(Era::Handshake);
}

#[test]
fn a_task_of_a_modern_server_asks_in_its_midst() {
    asks_in_its_midst(Era::Modern);
}

#[test]
fn a_modern_client_without_tasks_waits_for_a_task_of_2025_11_25() {
    let world = World::new(Era::Handshake, "");
    let client = world.client(json!({ "elicitation": {} }));
    assert_eq!(client.call("short", json!({})).text(), "done: None");
    let asked = client.call("ask", json!({})).result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answer = client.ask(
        "tools/call",
        json!({ "name": "ask", "arguments": {}, "requestState": asked["requestState"],
            "inputResponses": { key: { "action": "accept" } } }),
    );
    assert_eq!(answer.text(), "done: accept");
    assert!(!answer.body.contains("related-task"), "{}", answer.body);
    // Disconnecting cancels the task.
    let long = client.body("tools/call", json!({ "name": "long", "arguments": {} }));
    let connection = client.begin(&long);
    moment();
    drop(connection);
    wait_for("the server knows of it", || world.marks().contains("cancelled"));
}

fn a_handshake_client_waits(era: Era) {
    let world = World::new(era, "");
    let client = world.handshake();
    assert!(client.about["capabilities"].get("extensions").is_none(), "{}", client.about);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "short", "arguments": {}, "task": { "ttl": 1 }, "_meta": { "progressToken": "p" } } });
    let messages = client.send(&call).messages();
    let (answer, before) = messages.split_last().unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "done: None", "{answer}");
    assert!(answer["result"].get("resultType").is_none(), "{answer}");
    if era == Era::Modern {
        assert_eq!(before[0]["params"]["progressToken"], "p", "{before:?}");
        assert_eq!(before[0]["params"]["message"], "at work");
    }
    let body = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "ask", "arguments": {} } });
    let mut stream = client.open_stream(&body);
    let asked = loop {
        let message = stream.message().unwrap();
        if message["method"] == "elicitation/create" {
            break message;
        }
    };
    client.tell(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "decline" } }));
    let answer = stream.message().unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "done: decline", "{answer}");
    let long = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call",
        "params": { "name": "long", "arguments": {} } });
    let _connection = client.begin(&long);
    moment();
    client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 3 } }));
    wait_for("the server knows of the cancellation", || world.marks().contains("cancelled"));
}

#[test]
fn a_handshake_client_waits_for_a_task_of_2025_11_25() {
    a_handshake_client_waits(Era::Handshake);
}

#[test]
fn a_handshake_client_waits_for_a_task_of_a_modern_server() {
    a_handshake_client_waits(Era::Modern);
}

#[test]
fn tasks_are_bounded_in_number() {
    let world = World::new(Era::Handshake, "limits: {tasks: 1}");
    let client = world.knowing();
    created(&client.call("long", json!({})));
    let refused = client.call("short", json!({}));
    assert_eq!(refused.kind(), "overloaded", "{}", refused.body);
    wait_for("what is not kept is cancelled", || world.marks().contains("cancelled"));
}
