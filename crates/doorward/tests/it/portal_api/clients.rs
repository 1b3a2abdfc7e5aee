//! Clients that act for a user: what they read for them, what they do not change, and how they are ended.

use serde_json::{Value, json};

use super::world::all;
use crate::console::Browser;
use crate::support::client::{JSON, send};
use crate::support::login::{World, pair};

#[test]
fn a_client_that_acts_for_somebody_changes_nothing_and_is_ended_by_them_alone() {
    let world = World::with("", "portal: {self_service_keys: true}\n");
    // Without a resource, it is for the whole gateway.
    let issued = world.redeem(&world.code(&[("resource", "")]), &[]);
    assert_eq!(issued.status, 200, "{}", issued.body);
    let (token, _) = pair(&issued);
    let ask = |token: &str, method: &str, path: &str, body: &Value| {
        let bearer = format!("Bearer {token}");
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        let path = format!("/portal/v1{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer =
            send(&world.gateway.address, method, &path, &headers, body.as_bytes()).unwrap();
        (answer.status, answer.json())
    };
    let (status, me) = ask(&token, "GET", "/me", &Value::Null);
    assert_eq!(status, 200, "{me}");
    assert_eq!(
        (&me["principal"]["name"], &me["can"]["change"]),
        (&json!("acme:alice"), &json!(false))
    );
    assert_eq!(me["can"]["create_keys"], false, "{me}");
    let request = json!({ "kind": "server", "name": "mail", "why": "x" });
    for (method, path, body) in [
        ("POST", "/keys", json!({})),
        ("POST", "/keys/x/rotate", json!({})),
        ("DELETE", "/keys/x", json!({})),
        ("POST", "/requests", request),
        ("DELETE", "/requests/x", json!({})),
        ("DELETE", "/sessions/x", json!({})),
        ("PUT", "/accounts/sample", json!({ "value": "x" })),
        ("DELETE", "/accounts/sample", json!({})),
        ("POST", "/accounts/sample/connect", json!({})),
    ] {
        let (status, problem) = ask(&token, method, path, &body);
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("forbidden")),
            "{method} {path}: {problem}"
        );
    }
    // One that is for calls at an endpoint is no credential for the user's own affairs.
    let (for_calls, _) = world.tokens();
    assert!(world.is_good(&for_calls));
    assert_eq!(ask(&for_calls, "GET", "/me", &Value::Null).0, 401);

    let mut alice = Browser::portal(&world.gateway);
    alice.sign_in_at(&world.provider, "gateway", "/portal/", json!({}));
    assert_eq!(alice.get("/portal/v1/me").json()["principal"]["name"], "acme:alice");
    let mut bob = Browser::portal(&world.gateway).sign_in(&world.gateway.key(&["--user", "bob"]));
    let grants = |browser: &mut Browser| {
        let listed = browser.get("/portal/v1/sessions").json();
        let items = listed["items"].as_array().unwrap().iter();
        items.filter(|it| it["kind"] == "grant").cloned().collect::<Vec<_>>()
    };
    let of_alice = grants(&mut alice);
    assert_eq!(all(&of_alice, "client"), ["Desk", "Desk"], "{of_alice:?}");
    assert!(grants(&mut bob).is_empty());
    for grant in &of_alice {
        let path = format!("/portal/v1/sessions/{}", grant["id"].as_str().unwrap());
        assert_eq!(bob.change("DELETE", &path, Value::Null).status, 404);
    }
    assert!(world.is_good(&for_calls), "somebody else has ended it");
    for grant in &of_alice {
        let path = format!("/portal/v1/sessions/{}", grant["id"].as_str().unwrap());
        let ended = alice.change("DELETE", &path, Value::Null);
        assert_eq!(ended.status, 200, "{}", ended.body);
    }
    assert!(!world.is_good(&for_calls));
    assert_eq!(ask(&token, "GET", "/me", &Value::Null).0, 401);
    assert!(grants(&mut alice).is_empty());
}
