//! Keys that users make for themselves.

use serde_json::{Value, json};

use super::world::{World, all};
use crate::console::{Browser, login};
use crate::support::client::Modern;
use crate::support::issuer::Issuer;
use crate::support::{Gateway, wait_for};

#[test]
fn a_key_is_made_once_shown_once_and_replaced() {
    let world = World::start();
    let wanted =
        json!({ "label": "laptop", "tools": ["blue/add"], "read_only": true, "expires_in": 3600 });
    let (status, made) = world.ask(&world.alice, "POST", "/keys", &wanted);
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!((&made["key"]["owner"], &made["key"]["label"]), (&json!("alice"), &json!("laptop")));
    let scopes = json!({ "tools": ["blue/add"], "read_only": true });
    assert_eq!(made["key"]["scopes"], scopes);
    let id = made["key"]["id"].as_str().unwrap().to_owned();
    let keys = world.items(&world.alice, "/keys");
    assert_eq!(keys.len(), 2);
    assert!(!json!(keys).to_string().contains(&secret[17..]), "a secret is in a list");
    // It is for calls, and for what it says.
    let client = Modern::new(&world.gateway, "/mcp").bearing(&secret);
    assert_eq!(client.call("blue__add", json!({ "a": 1, "b": 2 })).status, 200);
    let refused = client.call("blue__echo", json!({ "text": "x" })).json();
    assert!(refused["result"].is_null() && refused["error"].is_object(), "{refused}");
    assert_eq!(world.gateway.administer(&secret, "GET", "/admin/v1/keys", &Value::Null).0, 403);
    assert_eq!(all(&world.items(&secret, "/tools"), "name"), ["add"], "it sees what it may call");
    // Nothing grows out of it.
    for (method, path) in [("POST", "/keys".to_owned()), ("POST", format!("/keys/{id}/rotate"))] {
        let (status, problem) = world.ask(&secret, method, &path, &json!({}));
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{path}: {problem}");
    }
    let root = world.alice[4..16].to_owned();
    assert_eq!(world.ask(&secret, "DELETE", &format!("/keys/{root}"), &Value::Null).0, 403);
    // The same request again makes nothing, and shows no secret.
    let (status, next) =
        world.ask(&world.alice, "POST", &format!("/keys/{id}/rotate"), &json!({ "overlap": 0 }));
    assert_eq!(status, 201, "{next}");
    let next_secret = next["secret"].as_str().unwrap().to_owned();
    assert_eq!(next["key"]["scopes"], scopes, "it may do as much as the one before");
    assert_eq!(world.get(&secret, "/me").0, 401, "replaced");
    assert_eq!(world.get(&next_secret, "/me").0, 200);
    let id = next["key"]["id"].as_str().unwrap();
    let (status, revoked) = world.ask(&world.alice, "DELETE", &format!("/keys/{id}"), &Value::Null);
    assert_eq!(status, 200, "{revoked}");
    assert_eq!(world.get(&next_secret, "/me").0, 401);
    let records =
        world.gateway.told(&["audit", "search", "--class", "acts", "--json", "--limit", "100"]);
    let created =
        records.lines().find(|line| line.contains("key.create") && line.contains("laptop"));
    let created: Value = serde_json::from_str(created.unwrap()).unwrap();
    assert_eq!(created["actor"]["via"], "portal", "{created}");
    assert!(created["actor"]["name"].as_str().unwrap().contains("alice"), "{created}");
}

#[test]
fn nobody_makes_or_changes_what_is_not_theirs_to_give() {
    let world = World::start();
    let id = world.alice[4..16].to_owned();
    for (method, path) in
        [("DELETE", format!("/keys/{id}")), ("POST", format!("/keys/{id}/rotate"))]
    {
        let (status, problem) = world.ask(&world.bob, method, &path, &json!({}));
        assert_eq!(status, 404, "{method} {path}: {problem}");
        let absent = path.replace(&id, "absent");
        let (_, other) = world.ask(&world.bob, method, &absent, &json!({}));
        assert_eq!(problem.to_string().replace(&id, "absent"), other.to_string());
    }
    assert_eq!(world.get(&world.alice, "/me").0, 200);
    assert!(!json!(world.items(&world.bob, "/keys?all=true")).to_string().contains("alice"));
    for wrong in [
        json!({ "expires_in": 8 * 86_400 }),
        json!({ "expires_in": 0 }),
        json!({ "tools": ["add"] }),
        json!({ "scopes": { "admin": true } }),
        json!({ "admin": true }),
        json!({ "administer": true }),
        json!({ "owner": { "kind": "user", "name": "root" } }),
        json!({ "label": "x".repeat(201) }),
        json!({ "servers": vec!["blue"; 101] }),
    ] {
        let (status, problem) = world.ask(&world.alice, "POST", "/keys", &wrong);
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
    // What a key for administration is, the portal neither makes nor changes.
    let own = world.root[4..16].to_owned();
    let (status, made) = world.ask(&world.root, "POST", "/keys", &json!({}));
    assert_eq!((status, &made["key"]["scopes"]), (201, &json!({})), "{made}");
    for (method, path) in
        [("DELETE", format!("/keys/{own}")), ("POST", format!("/keys/{own}/rotate"))]
    {
        assert_eq!(world.ask(&world.root, method, &path, &json!({})).0, 403, "{method}");
    }
    // No key lives on in one that it has made.
    let brief = world.gateway.key(&["--user", "alice", "--expires", "10m"]);
    let (_, made) = world.ask(&brief, "POST", "/keys", &json!({}));
    let lifetime =
        made["key"]["expires"].as_i64().unwrap() - made["key"]["created"].as_i64().unwrap();
    assert!(lifetime <= 600, "{made}");
    assert_eq!(world.ask(&brief, "POST", "/keys", &json!({ "expires_in": 3_600 })).0, 400);
    // A team's key makes none, and nobody makes more than so many.
    let team = world.gateway.key(&["--team", "support"]);
    assert_eq!(world.ask(&team, "POST", "/keys", &json!({})).0, 403);
    let statuses: Vec<u16> =
        (0..21).map(|_| world.ask(&world.bob, "POST", "/keys", &json!({})).0).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 19, "{statuses:?}");
    assert_eq!(statuses[20], 409);
}

#[test]
fn users_make_no_keys_unless_the_configuration_says_so() {
    let gateway =
        Gateway::start("servers: {sample: {sample: true}}\npolicy: {files: [open.cedar]}\n");
    let key = gateway.key(&["--user", "alice"]);
    let mut browser = Browser::portal(&gateway).sign_in(&key);
    let me = browser.get("/portal/v1/me").json();
    assert_eq!(me["can"]["create_keys"], false, "{me}");
    let refused = browser.change("POST", "/portal/v1/keys", json!({}));
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("self_service_keys"), "{}", refused.body);
}

/// A key has what the directory says of its owner, which may be less than a login says, and so escape a policy.
#[test]
fn a_login_makes_a_key_only_where_the_key_means_the_same() {
    let provider = Issuer::start();
    let own = "portal: {self_service_keys: true}\n";
    let open = Gateway::start(&format!("{}{own}", login(&provider, "")));
    let mut browser = Browser::portal(&open);
    browser.sign_in_at(&provider, "corp", "/portal/", json!({}));
    // Without policies, a login permits nothing, and a key everything.
    let refused = browser.change("POST", "/portal/v1/keys", json!({}));
    assert_eq!(refused.status, 403, "{}", refused.body);
    let ruled =
        Gateway::start(&format!("{}{own}policy: {{files: [open.cedar]}}\n", login(&provider, "")));
    wait_for("the policies are active", || ruled.logged("policies are active"));
    let mut browser = Browser::portal(&ruled);
    browser.sign_in_at(&provider, "corp", "/portal/", json!({ "roles": ["ops"] }));
    let refused = browser.change("POST", "/portal/v1/keys", json!({}));
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("come from your login"), "{}", refused.body);
    browser.sign_in_at(&provider, "corp", "/portal/", json!({}));
    let made = browser.change("POST", "/portal/v1/keys", json!({ "label": "laptop" }));
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.json()["secret"].as_str().unwrap().to_owned();
    let client = Modern::new(&ruled, "/mcp").bearing(&key);
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 2 })).status, 200);
}
