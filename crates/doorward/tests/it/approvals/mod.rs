//! Calls that wait for a person: how clients are told, who decides, what is remembered, and that nothing runs without.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod clients;
mod commands;
mod editing;
mod ends;
mod lost;
mod notices;
mod page;
mod replicas;
mod signing_in;
mod similar;
mod tasks;
pub mod world;

use self::world::{HOLD, World, id_of, url};
use crate::support::wait_for;
use serde_json::json;

#[test]
fn a_call_runs_once_after_it_was_approved_and_only_with_its_arguments() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    // It is listed, and what nobody holds runs.
    let tools = ann.ask("tools/list", json!({})).result();
    assert_eq!(tools["tools"].as_array().unwrap().len(), 2, "{tools}");
    assert_eq!(ann.call("other", json!({})).text(), "other");
    let answer = ann.call("get", url("a"));
    let id = id_of(&answer);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    let link = gateway.url(&format!("/approvals/{id}"));
    for part in ["Getting needs a lead", "role:lead", "the same call again", &link] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(id_of(&ann.call("get", url("a"))), id);
    world.decide(&gateway, &dana, &id, "approve", 200);
    // Other arguments are another call, and wait by themselves.
    let other = id_of(&ann.call("get", url("b")));
    assert_ne!(other, id);
    assert_eq!(world.called().len(), 1);
    assert_eq!(ann.call("get", url("a")).text(), "get");
    assert_eq!(world.called().len(), 2);
    assert_eq!(world.called()[1]["arguments"], url("a"));
    // Once.
    let next = id_of(&ann.call("get", url("a")));
    assert!(next != id && next != other);
    assert_eq!(world.called().len(), 2);
    // Whoever else makes it is asked, too: with another key, or as another user.
    let again = world.client(&gateway, &["--user", "ann"]);
    let mut seen = vec![id, other, next];
    for client in [again, world.client(&gateway, &["--user", "bob"])] {
        let one = id_of(&client.call("get", url("a")));
        assert!(!seen.contains(&one));
        seen.push(one);
    }
    assert_eq!(world.called().len(), 2);
    let records = world.told(&["audit", "search", "--json"]);
    assert!(records.contains("approval.request") && records.contains("approval.use"), "{records}");
}

#[test]
fn two_people_must_approve_and_each_counts_once() {
    let world = World::new(&HOLD.replace("@id(\"hold\")", "@id(\"hold\") @approval_by(\"2\")"));
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann", "--role", "lead"]);
    let own = world.key(&["--user", "ann", "--role", "lead"]);
    let dana = world.lead();
    let eve = world.key(&["--user", "eve", "--role", "lead"]);
    let id = id_of(&ann.call("get", url("a")));
    // Whoever has made the call does not decide it.
    let page = world.page(&gateway, &own, &id);
    assert!(page.body.contains("waits for its approvers"), "{}", page.body);
    world.decide(&gateway, &own, &id, "approve", 0);
    world.decide(&gateway, &dana, &id, "approve", 200);
    assert_eq!(id_of(&ann.call("get", url("a"))), id);
    // Another key of the same person is the same person; the page offers no second vote.
    let page = world.page(&gateway, &dana, &id);
    assert!(page.body.contains("Others must approve it, too"), "{}", page.body);
    world.decide(&gateway, &eve, &id, "approve", 200);
    assert_eq!(ann.call("get", url("a")).text(), "get");
    assert_eq!(world.called().len(), 1);
}

#[test]
fn what_was_refused_is_not_asked_again_until_it_expires() {
    let world = World::new(&HOLD.replace("@id(\"hold\")", "@id(\"hold\") @approval_ttl(\"10s\")"));
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let id = id_of(&ann.call("get", url("a")));
    world.decide(&gateway, &dana, &id, "refuse", 200);
    let refused = ann.call("get", url("a")).json();
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("has refused this call: because"), "{message}");
    assert_eq!(refused["error"]["data"]["retryable"], false);
    // The decision is final.
    world.decide(&gateway, &dana, &id, "approve", 0);
    assert!(world.called().is_empty());
}

#[test]
fn an_approval_ends_by_time() {
    let world = World::new(&HOLD.replace("@id(\"hold\")", "@id(\"hold\") @approval_ttl(\"10s\")"));
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let (id, kept) = (id_of(&ann.call("get", url("a"))), id_of(&ann.call("get", url("b"))));
    world.decide(&gateway, &dana, &id, "approve", 200);
    // The store's clock is that of the machine: what was written is made older instead of waiting.
    world.age(20);
    assert_ne!(id_of(&ann.call("get", url("a"))), id);
    let late = world.page(&gateway, &dana, &kept);
    assert!(late.body.contains("This call is expired"), "{}", late.body);
    assert!(world.called().is_empty());
}

#[test]
fn what_policies_remember_is_not_asked_again() {
    for (remember, runs) in [("1h", true), ("tool", true), ("session", false)] {
        let annotations = format!("@id(\"hold\") @approval_remember(\"{remember}\")");
        let world = World::new(&HOLD.replace("@id(\"hold\")", &annotations));
        let gateway = world.start();
        let ann = world.client(&gateway, &["--user", "ann"]);
        let dana = world.lead();
        let id = id_of(&ann.call("get", url("a")));
        world.decide(&gateway, &dana, &id, "approve", 200);
        assert_eq!(ann.call("get", url("a")).text(), "get");
        // A client without sessions is asked each time.
        assert_eq!(ann.call("get", url("b")).json().get("result").is_some(), runs, "{remember}");
        let bob = world.client(&gateway, &["--user", "bob"]);
        id_of(&bob.call("get", url("a")));
        if remember == "1h" {
            world.age(4_000);
            id_of(&ann.call("get", url("b")));
        }
        if remember == "tool" {
            world.change_tool(&gateway);
            wait_for("it is asked again", || {
                ann.call("get", url("b")).json().get("error").is_some()
            });
        }
    }
}

#[test]
fn a_decision_is_remembered_for_the_session() {
    let annotations = "@id(\"hold\") @approval_remember(\"session\")";
    let world = World::new(&HOLD.replace("@id(\"hold\")", annotations));
    let gateway = world.start();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let one = world.session(&gateway, &key, json!({}));
    let id = id_of(&one.call(1, "get", url("a")));
    world.decide(&gateway, &dana, &id, "approve", 200);
    for (number, letter) in ["a", "b", "c"].into_iter().enumerate() {
        let number = i64::try_from(number).unwrap() + 2;
        assert_eq!(one.call(number, "get", url(letter)).text(), "get");
    }
    id_of(&world.session(&gateway, &key, json!({})).call(1, "get", url("a")));
    assert_eq!(world.called().len(), 3);
}
