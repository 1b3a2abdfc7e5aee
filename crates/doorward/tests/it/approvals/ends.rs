//! What ends an approval between the decision and the call; and that kills at any moment neither lose nor double one.

use nix::sys::signal::Signal;
use serde_json::json;

use super::world::{HOLD, World, id_of, url};
use crate::support::client::Modern;
use crate::support::issuer::Issuer;
use crate::support::{Gateway, wait_for};

/// A call that was approved, and not made again yet.
fn approved(world: &World, gateway: &Gateway) -> (Modern, String, String) {
    let dana = world.lead();
    let ann = world.client(gateway, &["--user", "ann"]);
    let id = id_of(&ann.call("get", url("a")));
    world.decide(gateway, &dana, &id, "approve", 200);
    (ann, id, dana)
}

#[test]
fn another_definition_is_another_call() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let (ann, id, dana) = approved(&world, &gateway);
    let waiting = id_of(&ann.call("get", url("b")));
    world.change_tool(&gateway);
    assert_ne!(id_of(&ann.call("get", url("a"))), id);
    // What waits can no longer be approved.
    let page = world.page(&gateway, &dana, &waiting);
    assert!(page.body.contains("its definition has changed"), "{}", page.body);
    world.decide(&gateway, &dana, &waiting, "approve", 0);
    assert!(world.called().is_empty());
}

#[test]
fn other_policies_ask_again() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let (ann, id, dana) = approved(&world, &gateway);
    let waiting = id_of(&ann.call("get", url("b")));
    let mut browser = world.browser(&gateway, &dana, &waiting);
    let path = format!("/approvals/{waiting}");
    let sealed = crate::support::login::sealed(&browser.get(&gateway, &path).body);
    world.write(&format!("{HOLD}\n// Changed.\n"));
    let count = || gateway.log().iter().filter(|it| it.contains("policies are active")).count();
    wait_for("the policies are active", || count() > 1);
    assert_ne!(id_of(&ann.call("get", url("a"))), id);
    // A form that was opened before is too late.
    let fields = [("request", &*sealed), ("decision", "approve")];
    let late = browser.post(&gateway, &path, &fields, &[]);
    assert_eq!(late.status, 409, "{}", late.body);
    assert!(world.told(&["approvals", "list", "--state", "ended"]).contains(&waiting));
    assert!(world.called().is_empty());
}

#[test]
fn a_revoked_key_and_a_stop_end_it() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let (ann, id, _) = approved(&world, &gateway);
    for stopped in [["stop", "tool", "s/get"], ["stop", "user", "ann"], ["stop", "server", "s"]] {
        let said = world.told(&[&stopped[..], &["--why", "a drill"]].concat());
        wait_for("it is stopped", || {
            let other = ann.call("other", json!({}));
            let answer = if stopped[1] == "tool" { ann.call("get", url("b")) } else { other };
            answer.kind() == "stopped" || answer.status == 403
        });
        assert!(ann.call("get", url("a")).json().get("result").is_none(), "{stopped:?}");
        let gets = || world.called().iter().filter(|one| one["name"] == "get").count();
        assert_eq!(gets(), 0, "{stopped:?}");
        let stop = said.rsplit('(').next().unwrap().trim().trim_end_matches(')').to_owned();
        world.told(&["stop", "undo", &stop, "--why", "over"]);
    }
    let keys = world.told(&["keys", "list", "--json"]);
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let of_ann = keys.as_array().unwrap().iter().find(|key| key.to_string().contains("ann"));
    let key = of_ann.unwrap()["id"].as_str().unwrap().to_owned();
    world.told(&["keys", "revoke", &key]);
    wait_for("it is revoked", || ann.ask("tools/list", json!({})).status == 401);
    assert_eq!(ann.call("get", url("a")).status, 401);
    // Her next key has nothing of it.
    let next = world.client(&gateway, &["--user", "ann"]);
    assert_ne!(id_of(&next.call("get", url("a"))), id);
    assert!(world.called().iter().all(|one| one["name"] != "get"));
}

#[test]
fn kills_between_the_steps_neither_lose_nor_double_it() {
    let world = World::new(HOLD);
    let mut gateway = world.start();
    let dana = world.lead();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let again = |gateway: &mut Gateway| {
        gateway.signal(Signal::SIGKILL);
        gateway.wait();
        *gateway = world.start();
        let ann = Modern::new(gateway, "/mcp/s").bearing(&key);
        wait_for("the gateway is back", || {
            ann.ask("tools/list", json!({})).json()["result"]["tools"].is_array()
        });
        ann
    };
    let ann = Modern::new(&gateway, "/mcp/s").bearing(&key);
    let id = id_of(&ann.call("get", url("a")));
    let ann = again(&mut gateway);
    assert_eq!(id_of(&ann.call("get", url("a"))), id);
    world.decide(&gateway, &dana, &id, "approve", 200);
    let ann = again(&mut gateway);
    assert_eq!(ann.call("get", url("a")).text(), "get");
    let ann = again(&mut gateway);
    assert_ne!(id_of(&ann.call("get", url("a"))), id);
    assert_eq!(world.called().len(), 1);
}

#[test]
fn without_a_store_nothing_that_is_held_runs() {
    let world = World::new(HOLD);
    let issuer = Issuer::start();
    let config = world.config("").replace(&format!("store: {}", world.store), "store: none");
    let gateway = Gateway::start_unready(&format!(
        "{config}identity: {{issuers: {{test: {{issuer: '{}'}}}}}}\n",
        issuer.url
    ));
    let token = issuer.token(&gateway.url("/mcp/s"));
    let client = Modern::new(&gateway, "/mcp/s").bearing(&token);
    wait_for("the server is known", || {
        client.ask("tools/list", json!({})).json()["result"]["tools"].is_array()
    });
    assert_eq!(client.call("other", json!({})).text(), "other");
    let answer = client.call("get", url("a"));
    assert!(answer.body.contains("has no store for approvals"), "{}", answer.body);
    assert_eq!(world.called().len(), 1);
}

#[test]
fn a_call_that_is_not_sent_keeps_its_approval() {
    let world = World::new(HOLD);
    let gateway = world.start_with("billing: {prices: {all: {tools: \"s/*\", call: 2}}}\n");
    let (ann, id, _) = approved(&world, &gateway);
    // After its approval, it cannot be paid for.
    world.told(&["credits", "grant", "--user", "ann", "1"]);
    wait_for("the account is known", || ann.call("other", json!({})).kind() == "out_of_credit");
    world.changing.called.lock().unwrap().clear();
    assert_eq!(ann.call("get", url("a")).kind(), "out_of_credit");
    assert!(world.called().is_empty());
    assert!(world.told(&["approvals", "show", &id]).contains("approved"));
    world.told(&["credits", "grant", "--user", "ann", "9"]);
    wait_for("it is paid for", || ann.call("get", url("a")).json().get("result").is_some());
    assert_ne!(id_of(&ann.call("get", url("a"))), id);
    assert_eq!(world.called().len(), 1);
}
