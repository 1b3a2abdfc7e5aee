//! Requests for access: what users ask for, and what administrators make of it.

use serde_json::{Value, json};

use super::world::{World, all};
use crate::support::client::Modern;
use crate::support::wait_for;

impl World {
    fn request(&self, key: &str, body: &Value) -> String {
        let (status, made) = self.ask(key, "POST", "/requests", body);
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    fn grant(&self, id: &str, how: &Value) -> (u16, Value) {
        self.administer("POST", &format!("/requests/{id}/grant"), how)
    }
}

fn tool(name: &str) -> Value {
    json!({ "kind": "tool", "name": name, "why": "To do my work" })
}

#[test]
fn a_role_that_grants_a_request_makes_the_tool_visible() {
    let world = World::start();
    let mut events = world.gateway.events(&world.root);
    let id = world.request(&world.alice, &tool("hidden/add"));
    let told = events("\"requests\":1");
    assert!(told.contains("\"approvals\":0"), "{told}");
    let (status, seen) = world.administer("GET", &format!("/requests/{id}"), &Value::Null);
    assert_eq!(status, 200, "{seen}");
    assert_eq!((&seen["requester"], &seen["tenant"]), (&json!("alice"), &json!("acme")));
    assert_eq!((&seen["exists"], &seen["can_decide"]), (&json!(true), &json!(true)));
    assert!(world.items(&world.alice, "/tools?server=hidden").is_empty());
    for wrong in [
        json!({}),
        json!({ "role": "keeper", "note": "x" }),
        json!({ "role": "" }),
        json!({ "policy": { "name": "x.cedar" } }),
    ] {
        let (status, problem) = world.grant(&id, &wrong);
        assert!(matches!(status, 400 | 409), "{wrong}: {status} {problem}");
    }
    let dry = world.administer(
        "POST",
        &format!("/requests/{id}/grant?dry_run=true"),
        &json!({ "role": "keeper" }),
    );
    assert_eq!(dry.0, 200, "{}", dry.1);
    assert_eq!(world.items(&world.alice, "/requests")[0]["state"], "open", "nothing was done");
    let (status, granted) = world.grant(&id, &json!({ "role": "keeper" }));
    assert_eq!((status, &granted["state"]), (200, &json!("granted")), "{granted}");
    assert_eq!(granted["granted"], json!({ "role": "keeper" }));
    assert!(granted["decided_by"].as_str().unwrap().contains("root"), "{granted}");
    let tools = world.items(&world.alice, "/tools?server=hidden");
    assert!(all(&tools, "name").contains(&"add"), "{tools:?}");
    let client = Modern::new(&world.gateway, "/mcp").bearing(&world.alice);
    assert_eq!(client.call("hidden__add", json!({ "a": 1, "b": 2 })).status, 200);
    // Who was asked for what is hers is hers to see; how it was done is not.
    let mine = world.items(&world.alice, "/requests?state=granted");
    assert_eq!(all(&mine, "id"), [id.as_str()]);
    assert!(!json!(mine).to_string().contains("keeper"), "{mine:?}");
    assert!(!json!(mine).to_string().contains("root"), "{mine:?}");
    // Once only.
    assert_eq!(world.grant(&id, &json!({ "note": "again" })).0, 409);
    assert_eq!(world.ask(&world.alice, "DELETE", &format!("/requests/{id}"), &Value::Null).0, 409);
    assert_eq!(world.administer("POST", &format!("/requests/{id}/refuse"), &json!({})).0, 409);
    let records =
        world.gateway.told(&["audit", "search", "--class", "acts", "--json", "--limit", "100"]);
    for act in ["request.open", "request.grant", "principal.put"] {
        assert!(records.contains(act), "{act}: {records}");
    }
}

#[test]
fn a_policy_that_grants_a_request_is_applied_with_it_or_not_at_all() {
    let world = World::start();
    let id = world
        .request(&world.bob, &json!({ "kind": "server", "name": "hidden", "why": "For a test" }));
    let text = "permit (principal == User::\"bob\", action in Action::\"use\", resource in Server::\"hidden\");";
    let file = |name: &str, text: &str| json!({ "policy": { "name": name, "text": text } });
    let (status, problem) = world.grant(&id, &file("bob.cedar", "permit (nonsense"));
    assert_eq!((status, &problem["code"]), (422, &json!("invalid_policies")), "{problem}");
    assert_eq!(world.grant(&id, &file("all.cedar", text)).0, 409, "a file that is there");
    let active = || world.administer("GET", "/policies", &Value::Null).1;
    let before = active();
    let (status, granted) = world.grant(&id, &file("bob.cedar", text));
    assert_eq!(status, 200, "{granted}");
    let after = active();
    assert_ne!(before["version"], after["version"]);
    let files = all(after["policies"].as_array().unwrap(), "file");
    assert!(files.contains(&"all.cedar") && files.contains(&"bob.cedar"), "{after}");
    wait_for("the server is visible", || {
        all(&world.items(&world.bob, "/tools?server=hidden"), "name").contains(&"add")
    });
    assert!(world.items(&world.alice, "/tools?server=hidden").is_empty());
    // A request that does not wait applies nothing.
    let other = world.request(&world.bob, &tool("hidden/more"));
    world.ask(&world.bob, "DELETE", &format!("/requests/{other}"), &Value::Null);
    assert_eq!(world.grant(&other, &file("more.cedar", text)).0, 409);
    assert_eq!(active()["version"], after["version"]);
    assert_eq!(world.grant(&other, &json!({ "role": "keeper" })).0, 409);
    let bob = world.administer("GET", "/principals/user/bob", &Value::Null).1;
    assert!(bob["roles"].as_array().is_none_or(Vec::is_empty), "{bob}");
}

#[test]
fn only_who_may_decides_and_nobody_about_their_own() {
    let world = World::start();
    let clerk = world.gateway.key(&[
        "--user",
        "carl",
        "--in-tenant",
        "acme",
        "--role",
        "clerk",
        "--administer",
    ]);
    let id = world.request(&world.alice, &tool("hidden/add"));
    let path = format!("/admin/v1/requests/{id}");
    let decide = |key: &str, how: &Value| {
        world.gateway.administer(key, "POST", &format!("{path}/grant"), how)
    };
    // Who manages identities of tenants changes no policies, and gives no rights that they lack.
    assert_eq!(world.gateway.administer(&clerk, "GET", &path, &Value::Null).0, 200);
    let policy =
        json!({ "policy": { "name": "x.cedar", "text": "permit (principal, action, resource);" } });
    assert_eq!(decide(&clerk, &policy).0, 403);
    assert_eq!(decide(&clerk, &json!({ "role": "root" })).0, 403);
    for key in [&world.alice, &world.bob] {
        assert_eq!(decide(key, &json!({ "note": "x" })).0, 403, "a key for calls");
    }
    // Who changes policies grants by a policy, and gives no roles.
    let scribe = world.gateway.key(&["--user", "sven", "--role", "scribe", "--administer"]);
    let other = world.request(&world.bob, &tool("blue/add"));
    let other = format!("/admin/v1/requests/{other}/grant");
    for how in [json!({ "role": "keeper" }), json!({ "note": "x" })] {
        assert_eq!(world.gateway.administer(&scribe, "POST", &other, &how).0, 403, "{how}");
    }
    let text = "permit (principal == User::\"bob\", action in Action::\"use\", resource == Tool::\"blue/add\");";
    let policy = json!({ "policy": { "name": "bob.cedar", "text": text } });
    let (status, granted) = world.gateway.administer(&scribe, "POST", &other, &policy);
    assert_eq!((status, &granted["state"]), (200, &json!("granted")), "{granted}");
    let own = world.request(&clerk, &tool("hidden/add"));
    let own = format!("/admin/v1/requests/{own}");
    let (status, seen) = world.gateway.administer(&clerk, "GET", &own, &Value::Null);
    assert_eq!((status, &seen["can_decide"]), (200, &json!(false)), "{seen}");
    for (verb, body) in [("grant", json!({ "role": "keeper" })), ("refuse", json!({}))] {
        let (status, problem) =
            world.gateway.administer(&clerk, "POST", &format!("{own}/{verb}"), &body);
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("own request"), "{problem}");
    }
    let (status, refused) = world.gateway.administer(
        &clerk,
        "POST",
        &format!("{path}/refuse"),
        &json!({ "reason": "Ask your lead" }),
    );
    assert_eq!((status, &refused["state"]), (200, &json!("refused")), "{refused}");
    let mine = world.items(&world.alice, "/requests?state=all");
    assert_eq!(
        (&mine[0]["state"], &mine[0]["decision"]),
        (&json!("refused"), &json!("Ask your lead"))
    );
}

/// The same response for what is hidden and what is absent, also where a new server has a name that is taken.
#[test]
fn a_request_says_nothing_of_what_there_is() {
    let world = World::start();
    for kind in ["tool", "server", "portal", "new_server"] {
        let ask = |name: &str| {
            let name = if kind == "tool" { format!("{name}/add") } else { name.to_owned() };
            let mut body = json!({ "kind": kind, "name": name, "why": "x" });
            if kind == "new_server" {
                body["url"] = json!("https://tools.example.com/mcp");
            }
            let (status, mut made) = world.ask(&world.alice, "POST", "/requests", &body);
            for (member, value) in made.as_object_mut().unwrap() {
                if ["id", "created", "expires"].contains(&member.as_str()) {
                    *value = Value::Null;
                }
            }
            (status, made.to_string())
        };
        let (hidden, absent) = (ask("hidden"), ask("absent"));
        assert_eq!(hidden.0, 201, "{}", hidden.1);
        assert_eq!((hidden.0, hidden.1.replace("hidden", "absent")), absent, "{kind}");
    }
    // The new one was proposed in her name, the one whose name is taken was not.
    let proposed = |name: &str| {
        let all_of = world.administer("GET", "/requests?state=all", &Value::Null).1;
        let items = all_of["items"].as_array().unwrap();
        let found = items.iter().find(|it| it["kind"] == "new_server" && it["name"] == name);
        found.unwrap()["proposed"].clone()
    };
    wait_for("it is proposed", || proposed("absent") == true);
    assert_eq!(proposed("hidden"), false);
    let (status, life) = world.administer("GET", "/servers/absent", &Value::Null);
    assert_eq!((status, &life["state"]), (200, &json!("proposed")), "{life}");
    assert!(life["proposed_by"].as_str().unwrap().contains("alice"), "{life}");
    assert!(world.items(&world.alice, "/tools?server=absent").is_empty(), "nothing runs");
}

#[test]
fn requests_are_bounded_checked_and_ones_own() {
    let world = World::start();
    for wrong in [
        json!({ "kind": "tool", "name": "add", "why": "x" }),
        json!({ "kind": "server", "name": "a/b", "why": "x" }),
        json!({ "kind": "server", "name": "blue", "why": "  " }),
        json!({ "kind": "server", "name": "blue" }),
        json!({ "kind": "server", "name": "blue", "why": "x", "url": "https://x.example" }),
        json!({ "kind": "new_server", "name": "fresh", "why": "x" }),
        json!({ "kind": "new_server", "name": "fresh", "why": "x", "url": "file:///etc/passwd" }),
        json!({ "kind": "new_server", "name": "fresh", "why": "x", "url": "https://u:p@x.example" }),
        json!({ "kind": "new_server", "name": "fresh", "why": "x", "command": "sh", "url": "https://x.example" }),
        json!({ "kind": "new_server", "name": "fresh", "why": "x", "settings": { "command": "sh" } }),
        json!({ "kind": "root", "name": "blue", "why": "x" }),
    ] {
        let (status, problem) = world.ask(&world.alice, "POST", "/requests", &wrong);
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
    let ids: Vec<String> =
        (0..10).map(|n| world.request(&world.alice, &tool(&format!("hidden/t{n}")))).collect();
    let (status, problem) = world.ask(&world.alice, "POST", "/requests", &tool("hidden/t10"));
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")), "{problem}");
    assert_eq!(world.items(&world.alice, "/requests").len(), 10);
    // Another's are not there.
    assert!(world.items(&world.bob, "/requests?state=all").is_empty());
    let path = format!("/requests/{}", ids[0]);
    assert_eq!(world.ask(&world.bob, "DELETE", &path, &Value::Null).0, 404);
    assert_eq!(world.ask(&world.alice, "DELETE", &path, &Value::Null).0, 200);
    let again = world.ask(&world.alice, "POST", "/requests", &tool("hidden/T1"));
    assert_eq!(again.0, 409, "it waits already: {}", again.1);
    world.request(&world.alice, &tool("hidden/t10"));
    world.request(&world.bob, &tool("hidden/t10"));
}

#[test]
fn the_command_line_lists_shows_grants_and_refuses() {
    let world = World::start();
    let tell = |arguments: &[&str]| world.gateway.told(arguments);
    let one = world.request(&world.alice, &tool("hidden/add"));
    let two = world.request(&world.alice, &tool("hidden/echo"));
    let three =
        world.request(&world.alice, &json!({ "kind": "portal", "name": "vault", "why": "x" }));
    let listed = tell(&["requests", "list"]);
    assert!(listed.contains(&one) && listed.contains("hidden/echo"), "{listed}");
    assert!(tell(&["requests", "show", &one]).contains("To do my work"));
    tell(&["requests", "grant", &one, "--role", "keeper"]);
    tell(&["requests", "refuse", &two, "--reason", "No"]);
    let policy = world.gateway.folder.path().join("alice.cedar");
    std::fs::write(&policy, "permit (principal == User::\"alice\", action in Action::\"use\", resource in Server::\"green\");").unwrap();
    tell(&["requests", "grant", &three, "--policy", policy.to_str().unwrap()]);
    wait_for("both are in effect", || {
        !world.items(&world.alice, "/tools?server=hidden").is_empty()
            && !world.items(&world.alice, "/tools?server=green").is_empty()
    });
    let left: Value = serde_json::from_str(&tell(&["requests", "list", "--json"])).unwrap();
    assert_eq!(left, json!([]));
    let all: Value =
        serde_json::from_str(&tell(&["requests", "list", "--state", "all", "--json"])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 3);
    let none = world.gateway.run(&["requests", "grant", &two]);
    assert!(!none.status.success());
}
