//! Tasks that wait for their client: input, a choice of tools, approvals, consent.

use super::{A2a, call, message, reason, state, to, words};
use crate::approvals::world::{HOLD, World, url};
use crate::rest::SAMPLE;
use crate::support::Gateway;
use serde_json::{Value, json};

#[test]
fn what_a_server_asks_for_is_answered_by_a_message_to_the_task() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let ask = || client.call("sample/introduce", json!({}));
    let asked = ask();
    assert_eq!(state(&asked), "TASK_STATE_INPUT_REQUIRED", "{asked}");
    let form = &asked["status"]["message"]["parts"][1]["data"]["inputRequests"]["name"];
    assert!(form["params"]["requestedSchema"]["properties"]["name"].is_object(), "{asked}");
    assert!(!words(&asked).is_empty());
    let answers = |action: &str| {
        let answer = json!({ "action": action, "content": { "name": "Ann" } });
        json!({ "data": { "inputResponses": { "name": answer } } })
    };
    let done = client.send(to(&asked, answers("accept")));
    assert_eq!(done["id"], asked["id"]);
    assert_eq!(done["artifacts"][0]["parts"][0]["text"], "Hello, Ann!", "{done}");
    let declined = client.send(to(
        &ask(),
        json!({ "data": { "inputResponses": { "name": { "action": "decline" } } } }),
    ));
    assert_eq!(declined["artifacts"][0]["parts"][0]["text"], "Then I greet you without a name.");
    let in_words = client.send(to(&ask(), json!({ "text": "Bea" })));
    assert_eq!(in_words["artifacts"][0]["parts"][0]["text"], "Hello, Bea!", "{in_words}");
    // A stream of 1.0 that follows a task goes on over its input.
    let asked = ask();
    let mut stream = client.open("SubscribeToTask", json!({ "id": asked["id"] }));
    assert_eq!(state(&stream.message().unwrap()["result"]["task"]), "TASK_STATE_INPUT_REQUIRED");
    client.send(to(&asked, json!({ "text": "Cid" })));
    let last = stream.message().unwrap()["result"]["task"].clone();
    assert_eq!(last["artifacts"][0]["parts"][0]["text"], "Hello, Cid!", "{last}");
    assert!(stream.message().is_none());
    // What does not answer it leaves the task as it is.
    let asked = ask();
    let other = client.rpc(
        "SendMessage",
        json!({ "message": to(&asked, json!({ "data": { "tool": "sample/echo" } })) }),
    );
    assert_eq!(other.code(), -32602, "{}", other.body);
    assert_eq!(client.get(asked["id"].as_str().unwrap()), asked);
    let nowhere = client.rpc("SendMessage", json!({ "message": message(answers("accept")) }));
    assert_eq!(nowhere.code(), -32602, "{}", nowhere.body);
}

#[test]
fn of_two_answers_one_goes_on() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let asked = client.call("sample/introduce", json!({}));
    let codes: Vec<i64> = std::thread::scope(|scope| {
        let sending: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let message = to(&asked, json!({ "text": "Ann" }));
                    client.rpc("SendMessage", json!({ "message": message })).code()
                })
            })
            .collect();
        sending.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | -32004)), "{codes:?}");
}

#[test]
fn a_text_calls_the_only_tool_or_gets_tools_to_choose_from() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}\nportals: {{echo: {{tools: [sample/echo]}}, add: {{tools: [sample/add]}}}}\n"
    ));
    let only = A2a::at(&gateway, "echo").send(message(json!({ "text": "hello" })));
    assert_eq!(only["artifacts"][0]["parts"][0]["text"], "hello", "{only}");
    let client = A2a::new(&gateway);
    for client in [&client, &A2a::at(&gateway, "add")] {
        let choice = client.send(message(json!({ "text": "add two numbers" })));
        assert_eq!(state(&choice), "TASK_STATE_INPUT_REQUIRED", "{choice}");
        let tools = &choice["status"]["message"]["parts"][1]["data"]["tools"];
        assert!(tools.as_array().unwrap().len() <= 5, "{tools}");
        assert_eq!(tools[0]["tool"], "sample/add", "{tools}");
        assert!(tools[0]["inputSchema"]["properties"]["a"].is_object(), "{tools}");
        let again = client.send(to(&choice, json!({ "text": "echo" })));
        assert_eq!((state(&again), &again["id"]), ("TASK_STATE_INPUT_REQUIRED", &choice["id"]));
        let part = json!({ "data": { "tool": "sample/add", "arguments": { "a": 1, "b": 2 } } });
        let done = client.send(to(&choice, part));
        assert_eq!(done["artifacts"][0]["parts"][0]["data"]["sum"], 3, "{done}");
    }
    let none = client.send(message(json!({ "text": "zzzzqqqq" })));
    assert_eq!(none["status"]["message"]["parts"][1]["data"]["tools"], json!([]), "{none}");
}

/// The ID of the approval in what the agent says.
fn approval_in(task: &Value) -> String {
    let words = words(task);
    let (_, rest) = words.split_once("/approvals/").unwrap_or_else(|| panic!("{task}"));
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[test]
fn a_held_call_runs_once_after_its_approval_also_when_the_gateway_was_restarted() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let ann = A2a::new(&gateway).bearing(&key);
    let held = ann.call("s/get", url("a"));
    assert_eq!(state(&held), "TASK_STATE_INPUT_REQUIRED", "{held}");
    assert!(words(&held).contains("Getting needs a lead"), "{held}");
    let approval = approval_in(&held);
    drop(gateway);
    let gateway = world.start();
    world.decide(&gateway, &dana, &approval, "approve", 200);
    let ann = A2a::new(&gateway).bearing(&key);
    let done = ann.send(to(&held, json!({ "text": "It is approved" })));
    assert_eq!(state(&done), "TASK_STATE_COMPLETED", "{done}");
    assert_eq!(world.called().len(), 1);
    assert_eq!(world.called()[0]["arguments"], url("a"));
    let records = world.told(&["audit", "search", "--json", "--tool", "get"]);
    assert!(records.contains("\"protocol\":\"a2a\""), "{records}");
}

#[test]
fn what_was_refused_or_cancelled_does_not_run() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = A2a::new(&gateway).bearing(&world.known_key(&gateway, &["--user", "ann"]));
    let dana = world.lead();
    let held = ann.call("s/get", url("a"));
    world.decide(&gateway, &dana, &approval_in(&held), "refuse", 200);
    let refused = ann.send(to(&held, json!({ "text": "go on" })));
    assert_eq!(state(&refused), "TASK_STATE_REJECTED", "{refused}");
    assert!(words(&refused).contains("because"), "{refused}");
    let held = ann.call("s/get", url("b"));
    ann.rpc("CancelTask", json!({ "id": held["id"] })).result();
    // Nobody needs to decide any more.
    world.decide(&gateway, &dana, &approval_in(&held), "approve", 0);
    assert!(world.called().is_empty());
    // A caller who waits while somebody decides.
    let held = ann.call("s/get", url("c"));
    let id = held["id"].as_str().unwrap();
    let configuration = json!({ "returnImmediately": true });
    let go_on =
        json!({ "message": to(&held, json!({ "text": "go on" })), "configuration": configuration });
    assert_eq!(
        state(&ann.rpc("SendMessage", go_on.clone()).result()["task"]),
        "TASK_STATE_WORKING"
    );
    let busy = ann.rpc("SendMessage", go_on);
    assert_eq!((busy.code(), &*reason(&busy)), (-32004, "UNSUPPORTED_OPERATION"));
    world.decide(&gateway, &dana, &approval_in(&held), "approve", 200);
    ann.wait_for(id, "TASK_STATE_COMPLETED");
    assert_eq!(world.called().len(), 1);
    let again = ann.rpc("SendMessage", json!({ "message": call("s/get", url("c")) })).result();
    assert_eq!(state(&again["task"]), "TASK_STATE_INPUT_REQUIRED");
}
