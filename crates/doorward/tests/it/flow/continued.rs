//! Requests that continue a call are held like the call itself: when new labels appear meanwhile, and for input
//! responses and task input.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use doorward_mcp::Era;
use serde_json::{Value, json};

use super::world::{World, is_held};
use crate::support::client::{Answer, Modern, read_head};
use crate::support::{Gateway, told, wait_for};

const CARD: &str = "The card is 4111 1111 1111 1111.";

fn client(world: &World, gateway: &Gateway, who: &str) -> Modern {
    let key = world.known_key(&[gateway], &["--user", who]);
    Modern::new(gateway, "/mcp").bearing(&key).with(json!({ "elicitation": { "form": {} } }))
}

fn held(answer: &Answer) -> String {
    let data = &answer.json()["error"]["data"];
    assert_eq!(data["code"], "approval_required", "{}", answer.body);
    data["approval"].as_str().unwrap().to_owned()
}

fn shown(world: &World, id: &str) -> Value {
    serde_json::from_str(&told(&world.store, &["approvals", "show", id, "--json"])).unwrap()
}

fn approve(world: &World, id: &str) {
    told(&world.store, &["approvals", "approve", id]);
}

/// The ID and the state of a result that asks for approval.
fn link(answer: &Answer) -> (String, Value) {
    let result = answer.result();
    let link = &result["inputRequests"]["approval"]["params"]["url"];
    let id = link.as_str().unwrap_or_else(|| panic!("{result}")).rsplit('/').next().unwrap();
    (id.to_owned(), result["requestState"].clone())
}

fn answered(arguments: &Value, state: &Value, responses: Value) -> Value {
    json!({ "name": "mail__send", "arguments": arguments, "requestState": state, "inputResponses": responses })
}

#[test]
fn a_call_whose_caller_carries_more_than_was_shown_is_asked_about_again() {
    let world = World::new();
    let gateway = world.start_with("after_start: clean, data: {card: [pii]}", "inspection: {}");
    let ann = client(&world, &gateway, "ann");
    assert_eq!(ann.call("web__get", json!({})).text(), "A text.");
    let before = held(&ann.call("mail__send", json!({})));
    assert_eq!(shown(&world, &before)["facts"]["flow"], json!(["untrusted"]));
    approve(&world, &before);
    world.say(CARD);
    assert!(ann.call("bank__balance", json!({})).text().contains("4111"));
    let after = held(&ann.call("mail__send", json!({})));
    assert_ne!(before, after);
    assert_eq!(shown(&world, &after)["facts"]["flow"], json!(["pii", "untrusted"]));
    assert!(!world.has_called("mail__send"));
    approve(&world, &after);
    assert!(ann.call("mail__send", json!({})).text().contains("4111"));

    // The same while the call waits for approval.
    world.say("A text.");
    let ben = client(&world, &gateway, "ben").with(json!({ "elicitation": { "url": {} } }));
    assert_eq!(ben.call("web__get", json!({})).text(), "A text.");
    let (id, state) = link(&ben.call("mail__send", json!({})));
    let opened = json!({ "approval": { "action": "accept" } });
    let waiting = ben.begin(&ben.body("tools/call", answered(&json!({}), &state, opened)));
    world.say(CARD);
    assert!(ben.call("bank__balance", json!({})).text().contains("4111"));
    approve(&world, &id);
    let ended = read_head(waiting).unwrap().whole().unwrap();
    let calls = || world.called().iter().filter(|one| *one == "mail__send").count();
    // The call is held again if the label came before the check, and refused if it came afterwards.
    let asks = ended.json()["result"]["resultType"] == "input_required";
    assert!(asks || ended.body.contains("has learnt something since"), "{}", ended.body);
    assert_eq!(calls(), 1);
}

#[test]
fn an_answer_to_a_servers_question_is_held_once_its_caller_is_marked() {
    let world = World::new();
    let gateway = world.start();
    let ann = client(&world, &gateway, "ann");
    let arguments = json!({ "ask": true });
    let question = ann.call("mail__send", arguments.clone()).result();
    assert_eq!(question["resultType"], "input_required", "{question}");
    assert_eq!(ann.call("web__get", json!({})).text(), "A text.");
    let answer = |to: &str| {
        let responses = json!({ "to": { "action": "accept", "content": { "to": to } } });
        answered(&arguments, &question["requestState"], responses)
    };
    let id = held(&ann.ask("tools/call", answer("bob")));
    assert_eq!(held(&ann.ask("tools/call", answer("bob"))), id);
    let approval = shown(&world, &id);
    assert_eq!(approval["arguments"], r#"{"ask":true}"#);
    let answers = approval["answers"].as_str().unwrap();
    assert!(answers.contains(r#"{"to":"bob"}"#), "{answers}");
    approve(&world, &id);
    // Another input response was not approved, and a forged state creates no approval request.
    assert_ne!(held(&ann.ask("tools/call", answer("eve"))), id);
    let forged = answered(&arguments, &json!("forged"), json!({}));
    assert_eq!(ann.ask("tools/call", forged).code(), -32602);
    let done = ann.ask("tools/call", answer("bob"));
    assert!(
        done.text().contains("the server's state") && done.text().contains("bob"),
        "{}",
        done.body
    );
    assert_ne!(held(&ann.ask("tools/call", answer("bob"))), id);

    // A client that can open pages gets a URL, and continues from there with its input response.
    let ben =
        client(&world, &gateway, "ben").with(json!({ "elicitation": { "form": {}, "url": {} } }));
    let question = ben.call("mail__send", arguments.clone()).result();
    assert_eq!(ben.call("web__get", json!({})).text(), "A text.");
    let responses = json!({ "to": { "action": "accept", "content": { "to": "carl" } } });
    let sent = answered(&arguments, &question["requestState"], responses);
    let (id, state) = link(&ben.ask("tools/call", sent));
    for (declines, arguments) in [("decline", &arguments), ("accept", &json!({ "ask": 1 }))] {
        let opened = json!({ "approval": { "action": declines } });
        let refused = ben.ask("tools/call", answered(arguments, &state, opened));
        assert!(refused.code() != 0, "{}", refused.body);
    }
    approve(&world, &id);
    let opened = json!({ "approval": { "action": "accept" } });
    let done = ben.ask("tools/call", answered(&arguments, &state, opened.clone()));
    assert!(
        done.text().contains("the server's state") && done.text().contains("carl"),
        "{}",
        done.body
    );
    let again = ben.ask("tools/call", answered(&arguments, &state, opened));
    assert!(is_held(&again), "{}", again.body);
}

fn input_for_a_task_is_held(era: Era) {
    let world = World::new();
    let era = if era == Era::Modern { "modern" } else { "handshake" };
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/tasks.py");
    let marks = world.folder.path().join("marks");
    let config = format!(
        "{}  t: {{command: {}, args: [{program:?}, {era}, {marks:?}], brings: [untrusted], \
         tools: {{ask: {{sink: true, brings: []}}}}}}\n",
        world.config("after_start: clean", ""),
        crate::support::python()
    );
    let gateway = Gateway::start(&config);
    wait_for("the policies are active", || gateway.logged("policies are active"));
    let ann = client(&world, &gateway, "ann").with(json!({
        "elicitation": { "form": {} }, "extensions": { "io.modelcontextprotocol/tasks": {} } }));
    let started = |letter: &str| {
        let task = ann.call("t__ask", json!({ "letter": letter })).result();
        assert_eq!(task["resultType"], "task", "{task}");
        task["taskId"].as_str().unwrap().to_owned()
    };
    let state = |task: &str| ann.ask("tasks/get", json!({ "taskId": task })).result();
    let (task, other) = (started("a"), started("b"));
    let mut asked = Value::Null;
    wait_for("the task asks", || {
        asked = state(&task);
        asked["status"] == "input_required"
    });
    // The tool of the task adds no label, so reading the task adds none either.
    assert_eq!(ann.call("mail__send", json!({})).text(), "A text.");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let input =
        |task: &str| json!({ "taskId": task, "inputResponses": { &key: { "action": "accept" } } });
    assert_eq!(ann.call("web__get", json!({})).text(), "A text.");
    let id = held(&ann.ask("tasks/update", input(&task)));
    assert_eq!(state(&task)["status"], "input_required");
    let approval = shown(&world, &id);
    assert_eq!((&approval["name"], &approval["method"]), (&json!("ask"), &json!("tasks/update")));
    assert_eq!(approval["arguments"], r#"{"letter":"a"}"#);
    assert!(approval["answers"].as_str().unwrap().contains("accept"), "{approval}");
    approve(&world, &id);
    // The approval was for one task only.
    assert_ne!(held(&ann.ask("tasks/update", input(&other))), id);
    ann.ask("tasks/update", input(&task)).result();
    wait_for("the task is over", || state(&task)["status"] == "completed");
    assert_eq!(state(&task)["result"]["content"][0]["text"], "done: accept");
}

#[test]
fn input_for_a_task_of_a_modern_server_is_held() {
    input_for_a_task_is_held(Era::Modern);
}

#[test]
fn input_for_a_task_of_2025_11_25_is_held() {
    input_for_a_task_is_held(Era::Handshake);
}
