//! Approvers who sign in at the OpenID provider.

use super::world::id_of;
use crate::support::client::Modern;
use crate::support::login::{Browser, World, sealed};
use crate::support::wait_for;
use serde_json::{Value, json};

const HOLD: &str = r#"permit (principal, action in Action::"use", resource);
@id("hold") @approval("team:acme:staff")
forbid (principal, action == Action::"call", resource == Tool::"sample/add");
"#;

/// Opens the page, signs in as somebody, and returns the page that follows.
fn sign_in(world: &World, browser: &mut Browser, path: &str, claims: Value) -> (u16, String) {
    let sent = browser.get(&world.gateway, path);
    assert_eq!(sent.status, 303, "{}", sent.body);
    let login = sent.header("location").unwrap().to_owned();
    assert!(login.starts_with(&world.provider.url), "{login}");
    world.provider.knows(json!({ "sub": claims["sub"] }));
    world.sign_in(&login, claims);
    let back = browser.get(&world.gateway, &world.callback(&login));
    assert_eq!((back.status, back.header("location")), (303, Some(path)), "{}", back.body);
    let page = browser.get(&world.gateway, path);
    (page.status, page.body)
}

#[test]
fn a_member_of_the_team_signs_in_and_approves() {
    let world = World::new();
    std::fs::write(world.gateway.folder.path().join("open.cedar"), HOLD).unwrap();
    let key = world.gateway.key(&["--user", "ann"]);
    let ann = Modern::new(&world.gateway, "/mcp/sample").bearing(&key);
    let sum = json!({ "a": 1, "b": 2 });
    wait_for("the policies are active", || {
        ann.call("add", sum.clone()).json().get("error").is_some()
    });
    let id = id_of(&ann.call("add", sum.clone()));
    let path = format!("/approvals/{id}");
    let mut mallory = Browser::default();
    let (status, body) =
        sign_in(&world, &mut mallory, &path, json!({ "sub": "mallory", "groups": ["guests"] }));
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("acme:mallory"), "{body}");
    let mut alice = Browser::default();
    let (status, body) = sign_in(&world, &mut alice, &path, json!({ "sub": "alice" }));
    assert_eq!(status, 200, "{body}");
    // The cookie of one browser is of no use in another.
    let mut thief = mallory.clone();
    let cookie = alice.0["__Host-doorward-approver"].clone();
    thief.0.insert("__Host-doorward-approver".into(), cookie);
    assert_eq!(thief.get(&world.gateway, &path).status, 303);
    let fields = [("request", &*sealed(&body)), ("decision", "approve")];
    let done = alice.post(&world.gateway, &path, &fields, &[]);
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(ann.call("add", sum).text(), "3");
    // A login that was started for an approval is no other login, and works once.
    let again = alice.get(&world.gateway, "/oauth/callback?code=x&state=y");
    assert_eq!(again.status, 400);
}
