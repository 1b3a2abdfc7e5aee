//! Tasks: stored, listed, cancelled, and over when their gateway ends.

use super::{A2a, call, message, reason, state, to, words};
use crate::rest::SAMPLE;
use crate::support::client::Answer;
use crate::support::{Gateway, folder, store_in, wait_for};
use serde_json::{Value, json};

/// A configuration whose store outlives its gateway.
fn lasting(folder: &tempfile::TempDir) -> String {
    format!(
        "store: {}\nstate_key: 0123456789abcdef0123456789abcdef\n{SAMPLE}\n",
        store_in(folder.path())
    )
}

#[test]
fn tasks_survive_a_restart_and_none_works_on_silently() {
    let folder = folder();
    let gateway = Gateway::start(&lasting(&folder));
    let client = A2a::new(&gateway);
    let done = client.call("sample/add", json!({ "a": 1, "b": 2 }));
    let waits = client.call("sample/introduce", json!({}));
    assert_eq!(state(&waits), "TASK_STATE_INPUT_REQUIRED", "{waits}");
    let choice = client.send(message(json!({ "text": "add numbers" })));
    let works = client.begin("sample/slow", json!({ "steps": 100, "pause_ms": 1000 }));
    gateway.signal(nix::sys::signal::Signal::SIGKILL);
    drop(gateway);
    let gateway = Gateway::start(&lasting(&folder));
    let client = A2a::new(&gateway);
    assert_eq!(client.get(done["id"].as_str().unwrap()), done);
    let lost = client.wait_for(&works, "TASK_STATE_FAILED");
    assert!(words(&lost).contains("may have been executed"), "{lost}");
    let listed = client.rpc("ListTasks", json!({ "status": "TASK_STATE_FAILED" })).result();
    assert_eq!(listed["tasks"][0]["id"], json!(works), "{listed}");
    // What waited goes on.
    let went_on = client.send(to(&waits, json!({ "text": "Ann" })));
    assert_eq!(state(&went_on), "TASK_STATE_COMPLETED", "{went_on}");
    assert_eq!(went_on["artifacts"][0]["parts"][0]["text"], "Hello, Ann!");
    assert_eq!(went_on["history"].as_array().unwrap().len(), 3, "{went_on}");
    let part = json!({ "data": { "tool": "sample/add", "arguments": { "a": 1, "b": 1 } } });
    assert_eq!(client.send(to(&choice, part))["artifacts"][0]["parts"][0]["data"]["sum"], 2);
}

#[test]
fn without_a_key_for_what_is_stored_a_task_says_so_after_a_restart() {
    let folder = folder();
    let config = format!("store: {}\n{SAMPLE}\n", store_in(folder.path()));
    let gateway = Gateway::start(&config);
    let waits = A2a::new(&gateway).call("sample/introduce", json!({}));
    drop(gateway);
    let gateway = Gateway::start(&config);
    let task = A2a::new(&gateway).get(waits["id"].as_str().unwrap());
    assert_eq!(state(&task), "TASK_STATE_FAILED", "{task}");
    assert!(words(&task).contains("state_key"), "{task}");
}

#[test]
fn a_cancelled_task_is_cancelled_at_its_server() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let works = client.begin("sample/slow", json!({ "steps": 100, "pause_ms": 200 }));
    let cancelled = client.rpc("CancelTask", json!({ "id": works })).result();
    assert_eq!(state(&cancelled), "TASK_STATE_CANCELED", "{cancelled}");
    let recorded = || {
        let told = gateway.told(&["audit", "search", "--json", "--tool", "slow"]);
        told.lines().any(|line| line.contains("\"outcome\":\"cancelled\""))
    };
    wait_for("it is recorded as cancelled", recorded);
    assert_eq!(client.get(&works), cancelled);
    let again = client.rpc("CancelTask", json!({ "id": works }));
    assert_eq!((again.code(), &*reason(&again)), (-32002, "TASK_NOT_CANCELABLE"));
    // One that waits can be cancelled, too; what is over takes no messages.
    let waits = client.call("sample/introduce", json!({}));
    let path = format!("/tasks/{}:cancel", waits["id"].as_str().unwrap());
    let cancelled = client.http("POST", &path, &[], "").json();
    assert_eq!(state(&cancelled), "TASK_STATE_CANCELED", "{cancelled}");
    let late =
        client.rpc("SendMessage", json!({ "message": to(&waits, json!({ "text": "Ann" })) }));
    assert_eq!(late.code(), -32004, "{}", late.body);
    let late = client.rpc("SubscribeToTask", json!({ "id": works }));
    assert_eq!(late.code(), -32004, "{}", late.body);
}

#[test]
fn lists_have_pages_and_what_was_asked_for() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut message = call("sample/echo", json!({ "text": number.to_string() }));
        message["contextId"] = json!(if number < 2 { "one" } else { "two" });
        let task = client.send(message);
        assert_eq!(task["contextId"], if number < 2 { "one" } else { "two" });
        ids.push(task["id"].clone());
    }
    let list = |params: Value| client.rpc("ListTasks", params).result();
    let mut seen = Vec::new();
    let mut token = json!("");
    loop {
        let page = list(json!({ "pageSize": 2, "pageToken": token }));
        assert_eq!((&page["totalSize"], &page["pageSize"]), (&json!(5), &json!(2)), "{page}");
        let tasks = page["tasks"].as_array().unwrap();
        assert!(tasks.iter().all(|task| task.get("artifacts").is_none()), "{page}");
        seen.extend(tasks.iter().map(|task| task["id"].clone()));
        token = page["nextPageToken"].clone();
        if token == "" {
            break;
        }
    }
    seen.sort_by_key(Value::to_string);
    ids.sort_by_key(Value::to_string);
    assert_eq!(seen, ids);
    let one = list(json!({ "contextId": "one", "includeArtifacts": true, "historyLength": 0 }));
    assert_eq!(one["tasks"].as_array().unwrap().len(), 2, "{one}");
    assert!(one["tasks"][0]["artifacts"][0]["parts"][0]["text"].is_string(), "{one}");
    assert!(one["tasks"][0].get("history").is_none(), "{one}");
    assert_eq!(list(json!({ "status": "TASK_STATE_WORKING" }))["tasks"], json!([]));
    assert_eq!(list(json!({ "status": "TASK_STATE_SUBMITTED" }))["tasks"], json!([]));
    assert_eq!(list(json!({ "statusTimestampAfter": "2999-01-01T00:00:00Z" }))["tasks"], json!([]));
    let over_http =
        client.http("GET", "/tasks?pageSize=1&status=TASK_STATE_COMPLETED", &[], "").json();
    assert_eq!(over_http["tasks"].as_array().unwrap().len(), 1, "{over_http}");
    for wrong in [json!({ "pageSize": 0 }), json!({ "pageSize": 101 }), json!({ "pageToken": "x" })]
    {
        let answer = client.rpc("ListTasks", wrong.clone());
        assert_eq!(answer.code(), -32602, "{wrong}: {}", answer.body);
    }
}

#[test]
fn a_task_of_another_caller_is_none() {
    let gateway = Gateway::start(&format!("{SAMPLE}\npolicy: {{files: [open.cedar]}}\n"));
    let ann = A2a::new(&gateway).bearing(&gateway.key(&["--user", "ann"]));
    let bob = A2a::new(&gateway).bearing(&gateway.key(&["--user", "bob"]));
    let other_key = A2a::new(&gateway).bearing(&gateway.key(&["--user", "ann"]));
    let portal = A2a { base: "/api/a2a/portals/sample".into(), ..ann.clone() };
    let waits = ann.call("sample/introduce", json!({}));
    let id = waits["id"].as_str().unwrap();
    // What is said of a task that is not there.
    let absent = |client: &A2a, method: &str, params: Value| {
        let text = params.to_string().replace(id, "00000000000000000000000000000000");
        client.rpc(method, serde_json::from_str(&text).unwrap()).body
    };
    for (method, params) in [
        ("GetTask", json!({ "id": id })),
        ("CancelTask", json!({ "id": id })),
        ("SubscribeToTask", json!({ "id": id })),
        ("SendMessage", json!({ "message": to(&waits, json!({ "text": "x" })) })),
        ("SendStreamingMessage", json!({ "message": to(&waits, json!({ "text": "x" })) })),
    ] {
        for client in [&bob, &other_key, &portal] {
            let answer: Answer = client.rpc(method, params.clone());
            assert_eq!((answer.code(), &*reason(&answer)), (-32001, "TASK_NOT_FOUND"), "{method}");
            assert_eq!(answer.body, absent(client, method, params.clone()), "{method}");
        }
    }
    assert_eq!(bob.rpc("ListTasks", json!({})).result()["totalSize"], 0);
    let path = format!("/tasks/{id}");
    assert_eq!(bob.http("GET", &path, &[], "").status, 404);
    // Nothing has happened to it.
    assert_eq!(ann.get(id), waits);
    // A task is in one context.
    let mut elsewhere = to(&waits, json!({ "text": "Ann" }));
    elsewhere["contextId"] = json!("another");
    assert_eq!(ann.rpc("SendMessage", json!({ "message": elsewhere })).code(), -32602);
}

#[test]
fn a_caller_has_so_many_open_tasks() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let mut last = json!({});
    for _ in 0..50 {
        last = client.call("sample/introduce", json!({}));
        assert_eq!(state(&last), "TASK_STATE_INPUT_REQUIRED", "{last}");
    }
    let introduce = json!({ "message": call("sample/introduce", json!({})) });
    let more = client.rpc("SendMessage", introduce.clone());
    assert_eq!(reason(&more), "RESOURCE_EXHAUSTED", "{}", more.body);
    client.rpc("CancelTask", json!({ "id": last["id"] })).result();
    client.rpc("SendMessage", introduce).result();
}
