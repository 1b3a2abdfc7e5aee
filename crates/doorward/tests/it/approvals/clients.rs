//! What clients are told, each in its own words.

use super::world::{HOLD, World, id_of, url};
use crate::support::client::{Answer, Modern, read_head};
use crate::support::wait_for;
use serde_json::{Value, json};

/// The ID and the state of a result that asks for approval.
fn asked(answer: &Answer) -> (String, String) {
    let result = answer.result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    let question = &result["inputRequests"]["approval"];
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["mode"], "url");
    let link = question["params"]["url"].as_str().unwrap();
    let id = link.rsplit('/').next().unwrap().to_owned();
    (id, result["requestState"].as_str().unwrap().to_owned())
}

fn retry(arguments: Value, state: &str, action: &str) -> Value {
    json!({ "name": "get", "arguments": arguments, "requestState": state,
            "inputResponses": { "approval": { "action": action } } })
}

#[test]
fn a_modern_client_opens_the_page_and_its_call_goes_on() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let ann = ann.with(json!({ "elicitation": { "url": {} } }));
    let (id, state) = asked(&ann.call("get", url("a")));
    // It waits for the decision.
    let body = ann.body("tools/call", retry(url("a"), &state, "accept"));
    let waiting = ann.begin(&body);
    wait_for("somebody waits", || gateway.logged("a call requires approval"));
    assert!(world.called().is_empty());
    world.decide(&gateway, &dana, &id, "approve", 200);
    let answer = read_head(waiting).unwrap().whole().unwrap();
    assert_eq!(answer.text(), "get", "{}", answer.body);
    assert_eq!(world.called().len(), 1);
    // The state is of this call, this caller, and this time.
    let (_, state) = asked(&ann.call("get", url("a")));
    let bob = world.client(&gateway, &["--user", "bob"]);
    let edited = retry(url("b"), &state, "accept");
    for answer in [
        ann.ask("tools/call", edited),
        bob.ask("tools/call", retry(url("a"), &state, "accept")),
        ann.ask("tools/call", retry(url("a"), "forged", "accept")),
    ] {
        assert_eq!(answer.code(), -32602, "{}", answer.body);
    }
    for action in ["decline", "cancel"] {
        let declined = ann.ask("tools/call", retry(url("a"), &state, action));
        assert!(declined.body.contains("was declined"), "{}", declined.body);
    }
    assert_eq!(world.called().len(), 1);
}

#[test]
fn a_waiting_call_is_told_of_a_refusal() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let ann = ann.with(json!({ "elicitation": { "url": {} } }));
    let (id, state) = asked(&ann.call("get", url("a")));
    let waiting = ann.begin(&ann.body("tools/call", retry(url("a"), &state, "accept")));
    world.decide(&gateway, &dana, &id, "refuse", 200);
    let answer = read_head(waiting).unwrap().whole().unwrap();
    assert!(answer.body.contains("has refused this call: because"), "{}", answer.body);
    assert!(world.called().is_empty());
}

#[test]
fn a_handshake_client_is_told_in_the_words_of_its_revision() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let session = world.session(&gateway, &key, json!({ "elicitation": { "url": {} } }));
    let answer = session.call(1, "get", url("a"));
    assert_eq!(answer.code(), -32042, "{}", answer.body);
    let elicitation = answer.json()["error"]["data"]["elicitations"][0].clone();
    assert_eq!(elicitation["mode"], "url");
    let id = elicitation["elicitationId"].as_str().unwrap().to_owned();
    assert_eq!(elicitation["url"], gateway.url(&format!("/approvals/{id}")));
    world.decide(&gateway, &dana, &id, "approve", 200);
    assert_eq!(session.call(2, "get", url("a")).text(), "get");
    assert_eq!(session.call(3, "get", url("a")).code(), -32042);
    // Forms are not asked for: the page is the gateway's.
    for capabilities in [json!({}), json!({ "elicitation": {} })] {
        id_of(&world.session(&gateway, &key, capabilities).call(1, "get", url("c")));
    }
    assert_eq!(world.called().len(), 1);
}

#[test]
fn a_call_that_its_server_asks_something_about_needs_one_approval() {
    let hold =
        HOLD.replace("resource == Tool::\"s/get\"", "resource == Tool::\"sample/introduce\"");
    let world = World::new(&hold);
    let gateway = world.start_with("  sample: {sample: true}\n");
    let dana = world.lead();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let ann = Modern::new(&gateway, "/mcp/sample").bearing(&key);
    let ann = ann.with(json!({ "elicitation": { "form": {} } }));
    wait_for("the server is known", || ann.ask("tools/list", json!({})).body.contains("introduce"));
    let id = id_of(&ann.call("introduce", json!({})));
    world.decide(&gateway, &dana, &id, "approve", 200);
    let asked = ann.call("introduce", json!({})).result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answered = json!({ "name": "introduce", "arguments": {}, "requestState": asked["requestState"],
        "inputResponses": { key: { "action": "accept", "content": { "name": "Ann" } } } });
    let done = ann.ask("tools/call", answered.clone());
    assert!(done.text().contains("Ann"), "{}", done.body);
    // Not a second time, be it with the same state.
    let again = ann.ask("tools/call", answered);
    assert!(again.json().get("result").is_none(), "{}", again.body);
    id_of(&ann.call("introduce", json!({})));
}

#[test]
fn what_changes_while_a_call_waits_ends_it() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let ann = ann.with(json!({ "elicitation": { "url": {} } }));
    let wait = |letter: &str| {
        let (id, state) = asked(&ann.call("get", url(letter)));
        let waiting = ann.begin(&ann.body("tools/call", retry(url(letter), &state, "accept")));
        (id, waiting)
    };
    let (id, waiting) = wait("a");
    world.write(&format!("{HOLD}\n// Changed.\n"));
    let count = || gateway.log().iter().filter(|it| it.contains("policies are active")).count();
    wait_for("the policies are active", || count() > 1);
    world.decide(&gateway, &dana, &id, "approve", 0);
    world.told(&["approvals", "approve", &id]);
    let ended = read_head(waiting).unwrap().whole().unwrap();
    assert!(ended.body.contains("have changed since"), "{}", ended.body);
    // A stop between the approval and the server.
    let (id, waiting) = wait("b");
    world.told(&["stop", "tool", "s/get", "--why", "a drill"]);
    wait_for("it is stopped", || ann.call("get", url("c")).kind() == "stopped");
    world.told(&["approvals", "approve", &id]);
    let ended = read_head(waiting).unwrap().whole().unwrap();
    assert_eq!(ended.kind(), "stopped", "{}", ended.body);
    let stops: Value = serde_json::from_str(&world.told(&["stop", "list", "--json"])).unwrap();
    world.told(&["stop", "undo", stops[0]["id"].as_str().unwrap(), "--why", "over"]);
    wait_for("it is back", || ann.call("get", url("d")).json().get("result").is_some());
    // A key that is revoked meanwhile.
    let (id, waiting) = wait("e");
    let keys: Value = serde_json::from_str(&world.told(&["keys", "list", "--json"])).unwrap();
    let of_ann = keys.as_array().unwrap().iter().find(|key| key.to_string().contains("ann"));
    world.told(&["keys", "revoke", of_ann.unwrap()["id"].as_str().unwrap()]);
    let ended = read_head(waiting).and_then(crate::support::client::Stream::whole);
    let ran = ended.is_ok_and(|answer| answer.status == 200 && answer.body.contains("\"content\""));
    assert!(!ran);
    world.told(&["approvals", "approve", &id]);
    assert!(world.called().is_empty());
}

#[test]
fn a_kill_while_a_call_waits_loses_nothing() {
    let world = World::new(HOLD);
    let mut gateway = world.start();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let client = |gateway: &crate::support::Gateway| {
        let client = Modern::new(gateway, "/mcp/s").bearing(&key);
        client.with(json!({ "elicitation": { "url": {} } }))
    };
    let ann = client(&gateway);
    let (id, state) = asked(&ann.call("get", url("a")));
    let waiting = ann.begin(&ann.body("tools/call", retry(url("a"), &state, "accept")));
    gateway.signal(nix::sys::signal::Signal::SIGKILL);
    gateway.wait();
    drop(waiting);
    world.told(&["approvals", "approve", &id]);
    let gateway = world.start();
    let ann = client(&gateway);
    wait_for("the gateway is back", || {
        ann.ask("tools/list", json!({})).json()["result"]["tools"].is_array()
    });
    // The client goes on with the state that it has.
    let done = ann.ask("tools/call", retry(url("a"), &state, "accept"));
    assert_eq!(done.text(), "get", "{}", done.body);
    asked(&ann.call("get", url("a")));
    assert_eq!(world.called().len(), 1);
}

#[test]
fn prompts_and_resources_are_held_like_tools() {
    let policies = r#"permit (principal, action in Action::"use", resource);
        @approval("role:lead") forbid (principal, action in [Action::"get", Action::"read"], resource);"#;
    let world = World::new(policies);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    assert_eq!(ann.call("other", json!({})).text(), "other");
    for (method, params, member) in [
        ("prompts/get", json!({ "name": "ask" }), "messages"),
        ("resources/read", json!({ "uri": "page:home" }), "contents"),
    ] {
        let id = id_of(&ann.ask(method, params.clone()));
        world.told(&["approvals", "approve", &id]);
        let done = ann.ask(method, params.clone());
        assert!(done.result()[member].is_array(), "{}", done.body);
        assert_ne!(id_of(&ann.ask(method, params)), id);
    }
}

#[test]
fn who_approves_is_not_told_where_policies_are_not_explained() {
    let world = World::new(HOLD);
    let config = world.config("").replace("explain: full", "explain: nothing");
    let gateway = crate::support::Gateway::start_unready(&config);
    let ann = world.client(&gateway, &["--user", "ann"]);
    let answer = ann.call("get", url("a"));
    let id = id_of(&answer);
    assert!(!answer.body.contains("lead") && answer.body.contains(&id), "{}", answer.body);
    world.told(&["approvals", "refuse", &id, "--reason", "an inner reason"]);
    let refused = ann.call("get", url("a"));
    assert!(!refused.body.contains("inner reason"), "{}", refused.body);
    assert!(world.called().is_empty());
}
