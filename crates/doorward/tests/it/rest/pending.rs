//! Calls that go on: approvals, and input that servers ask for.

use super::{Rest, SAMPLE, code};
use crate::approvals::world::{HOLD, World, url};
use crate::support::client::Answer;
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// The path of a call that waits, below the base of the API.
fn path_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.body);
    let said = answer.json();
    assert_eq!(said["status"], "pending");
    let path = answer.header("location").unwrap();
    assert!(path.ends_with(said["id"].as_str().unwrap()), "{path}");
    assert!(answer.header("retry-after").is_some());
    let at = path.find("/execute/").unwrap();
    path[at..].to_owned()
}

/// The ID of the approval in what the caller is told.
fn approval_in(answer: &Answer) -> String {
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    let (_, rest) = message.split_once("/approvals/").unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_held_call_runs_once_after_its_approval_also_when_the_gateway_was_restarted() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let ann = Rest::new(&gateway).bearing(&key);
    let first = ann.execute("s/get", url("a"));
    let path = path_of(&first);
    // The same call is the same request for an approval.
    assert_eq!(approval_in(&ann.execute("s/get", url("a"))), approval_in(&first));
    assert_eq!(path_of(&ann.get(&path)), path);
    let bob = Rest::new(&gateway).bearing(&world.known_key(&gateway, &["--user", "bob"]));
    for (method, who) in [("GET", &bob), ("DELETE", &bob)] {
        assert_eq!(code(&who.send(method, &path, &[], "")), "unknown_call");
    }
    assert_eq!(Rest::at(&gateway, "s").bearing(&key).get(&path).status, 404);
    let approval = approval_in(&first);
    drop(gateway);
    let gateway = world.start();
    world.decide(&gateway, &dana, &approval, "approve", 200);
    let ann = Rest::new(&gateway).bearing(&key);
    let mut done = None;
    wait_for("it has run", || {
        let answer = ann.get(&path);
        let is_done = answer.status == 200;
        done = Some(answer);
        is_done
    });
    let said = done.unwrap().json();
    assert_eq!((&said["data"], &said["tool"]), (&json!("get"), &json!("s/get")), "{said}");
    assert_eq!(ann.get(&path).json()["data"], "get");
    assert_eq!(world.called().len(), 1);
    assert_eq!(world.called()[0]["arguments"], url("a"));
    let records = world.told(&["audit", "search", "--json", "--tool", "get"]);
    assert!(records.contains("\"protocol\":\"rest\""), "{records}");
}

#[test]
fn what_was_refused_or_cancelled_does_not_run() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = Rest::new(&gateway).bearing(&world.known_key(&gateway, &["--user", "ann"]));
    let dana = world.lead();
    let refused = ann.execute("s/get", url("a"));
    world.decide(&gateway, &dana, &approval_in(&refused), "refuse", 200);
    let answer = ann.get(&path_of(&refused));
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(answer.body.contains("has refused this call: because"), "{}", answer.body);
    let cancelled = ann.execute("s/get", url("b"));
    let path = path_of(&cancelled);
    assert_eq!(ann.send("DELETE", &path, &[], "").status, 204);
    assert_eq!(code(&ann.get(&path)), "cancelled");
    assert!(world.called().is_empty());
    // A model is told whom to ask.
    let call = json!({ "functionCall": { "name": "s__get", "args": url("c") } });
    let said = ann.post("/tools/execute", call).json();
    let text = said["results"][0]["functionResponse"]["response"]["error"].as_str().unwrap();
    assert!(text.contains("/approvals/") && text.contains("Getting needs a lead"), "{text}");
    assert_eq!(said["calls"][0]["error"]["code"], "approval_required", "{said}");
    assert!(world.called().is_empty());
}

#[test]
fn input_is_asked_for_and_the_call_goes_on_from_its_token() {
    let config = format!("state_key: 0123456789abcdef0123456789abcdef\n{SAMPLE}\n");
    let gateway = Gateway::start(&config);
    let rest = Rest::new(&gateway);
    let asked = rest.execute("sample/introduce", json!({}));
    assert_eq!((asked.status, &*code(&asked)), (422, "input_required"), "{}", asked.body);
    let said = asked.json();
    let form = &said["requests"]["name"];
    assert_eq!(form["method"], "elicitation/create", "{said}");
    assert!(form["params"]["requestedSchema"]["properties"]["name"].is_object(), "{said}");
    let path = asked.header("location").unwrap().strip_prefix("/api/v1").unwrap().to_owned();
    let answers = |action: &str, name: &str| {
        json!({ "resume": said["resume"], "responses": {
            "name": { "action": action, "content": { "name": name } } } })
    };
    let done = rest.post(&path, answers("accept", "Ann"));
    assert_eq!(done.json()["data"], "Hello, Ann!", "{}", done.body);
    let declined = rest.post(
        &path,
        json!({ "resume": said["resume"], "responses": { "name": { "action": "decline" } } }),
    );
    assert_eq!(declined.json()["data"], "Then I greet you without a name.", "{}", declined.body);
    // A token is good at its portal only, and nobody can change it.
    let elsewhere = Rest::at(&gateway, "sample").post(&path, answers("accept", "x"));
    assert_eq!(code(&elsewhere), "unknown_call");
    let mut forged = answers("accept", "x");
    forged["resume"] = Value::from(said["resume"].as_str().unwrap().replace('a', "b"));
    assert_eq!(code(&rest.post(&path, forged)), "unknown_call");
    // A model cannot be asked.
    let call = json!({ "type": "tool_use", "id": "1", "name": "sample__introduce", "input": {} });
    let said = rest.post("/tools/execute", call).json();
    assert_eq!(said["results"][0]["is_error"], true, "{said}");
    assert!(
        said["calls"][0]["error"]["message"].as_str().unwrap().contains("elicitation"),
        "{said}"
    );
}
