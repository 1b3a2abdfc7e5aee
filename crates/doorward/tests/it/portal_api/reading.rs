//! What somebody may use, what waits for them, and what they have used.

use serde_json::{Value, json};

use super::world::{World, all};
use crate::console::Browser;
use crate::support::client::{Handshake, Modern, send};
use crate::support::wait_for;

#[test]
fn everybody_sees_what_they_may_use_and_nothing_else() {
    let world = World::start();
    for (key, name, tenant, own, tool) in [
        (&world.alice, "alice", "acme", "blue", "add"),
        (&world.bob, "bob", "globex", "green", "echo"),
    ] {
        let (status, me) = world.get(key, "/me");
        assert_eq!(status, 200, "{me}");
        assert_eq!(me["principal"]["name"], name);
        assert_eq!(me["principal"]["tenant"], tenant);
        assert_eq!(me["authentication"], "key");
        assert_eq!((&me["servers"], &me["portals"]), (&json!([own]), &json!(["desk"])));
        assert_eq!(
            me["can"],
            json!({ "create_keys": true, "key_lifetime": 604_800, "change": true })
        );
        let tools = world.items(key, "/tools");
        assert!(tools.len() >= 4 && all(&tools, "server").iter().all(|it| *it == own), "{tools:?}");
        let one = tools.iter().find(|it| it["name"] == tool).unwrap();
        let shown = if own == "blue" { "plus" } else { "green__echo" };
        let at = json!([
            { "portal": "", "name": format!("{own}__{tool}") }, { "portal": "desk", "name": shown },
        ]);
        assert_eq!(one["at"], at);
        assert_eq!(one["price"]["call"], if tool == "add" { json!("2") } else { Value::Null });
        let desk = world.items(key, "/tools?portal=desk");
        assert_eq!(all(&desk, "name"), [tool]);
        let endpoints = world.items(key, "/endpoints");
        assert_eq!(all(&endpoints, "name"), ["", "desk", own]);
        assert_eq!(all(&endpoints, "kind"), ["all", "portal", "server"]);
        for endpoint in &endpoints {
            assert_eq!(endpoint["servers"], json!([own]));
            assert_eq!(endpoint["state"], "up");
            assert_eq!(endpoint["auth"], json!({ "required": true, "oauth": false, "key": true }));
        }
        let url = endpoints[1]["url"].as_str().unwrap();
        assert!(url.ends_with("/mcp/desk"), "{url}");
        let whole = format!("{me} {tools:?} {endpoints:?}");
        let other = if own == "blue" { "green" } else { "blue" };
        for hidden in ["hidden", "vault"] {
            assert!(!whole.contains(hidden), "{hidden}: {whole}");
        }
        assert!(!format!("{tools:?}").contains(&format!("{other}__")), "{tools:?}");
    }
}

#[test]
fn tools_are_found_by_words_page_by_page() {
    let world = World::start();
    let words = |q: &str| {
        let found = world.items(&world.alice, &format!("/tools?q={q}"));
        all(&found, "name").iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(words("ADDS%20two"), ["add"]);
    assert_eq!(words("plus"), ["add"], "as a portal names it");
    assert_eq!(words("nothing-of-this"), Vec::<String>::new());
    let whole = world.items(&world.alice, "/tools");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = world.get(&world.alice, &format!("/tools?limit=1{cursor}"));
        seen.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, whole);
    for wrong in ["/tools?limit=0", "/tools?cursor=%25", "/tools?nothing=1", "/usage?by=tenants"] {
        let (status, problem) = world.get(&world.alice, wrong);
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")), "{wrong}");
    }
}

/// A hidden tool is answered as one that is not there, letter for letter but for the name that was asked for.
#[test]
fn what_is_hidden_cannot_be_told_from_what_is_absent() {
    let world = World::start();
    let (status, detail) = world.get(&world.alice, "/tools/blue/slow");
    assert_eq!(status, 200, "{detail}");
    assert_eq!(detail["approval"], "needed");
    assert_eq!(detail["input_schema"]["type"], "object");
    let plain = world.get(&world.alice, "/tools/blue/add").1;
    assert_eq!(plain["approval"], "not_needed");
    for (hidden, absent) in [
        ("/tools/hidden/add", "/tools/absent/add"),
        ("/tools/green/add", "/tools/absent/add"),
        ("/tools?portal=vault", "/tools?portal=absent"),
        ("/tools?server=hidden", "/tools?server=absent"),
        ("/tools?portal=hidden", "/tools?portal=absent"),
    ] {
        let name = |path: &str| path.split(['/', '=']).nth(2).unwrap().to_owned();
        let (of_hidden, of_absent) =
            (world.get(&world.alice, hidden), world.get(&world.alice, absent));
        let text = of_hidden.1.to_string().replace(&name(hidden), &name(absent));
        assert_eq!((of_hidden.0, text), (of_absent.0, of_absent.1.to_string()), "{hidden}");
    }
    for (method, path, body) in [
        ("POST", "/accounts/NAME/connect", json!({})),
        ("PUT", "/accounts/NAME", json!({ "value": "x" })),
        ("DELETE", "/accounts/NAME", Value::Null),
    ] {
        let ask = |name: &str| {
            let (status, problem) =
                world.ask(&world.alice, method, &path.replace("NAME", name), &body);
            (status, problem.to_string().replace(name, "NAME"))
        };
        assert_eq!(ask("hidden"), ask("absent"), "{method} {path}");
        assert_eq!(ask("hidden").0, 404, "{method} {path}");
    }
}

#[test]
fn nobody_gets_in_without_a_credential_or_from_another_page() {
    let world = World::start();
    let address = &world.gateway.address;
    let routes = doorward_portal::routes();
    for route in &routes {
        let path =
            route.path.replace("{server}", "blue").replace("{name}", "add").replace("{id}", "x");
        let method = route.method.as_str();
        let answer = send(
            address,
            method,
            &path,
            &[("doorward-admin", "1"), ("content-type", "application/json")],
            b"{}",
        )
        .unwrap();
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
        assert_eq!(answer.json()["code"], "unauthenticated");
        let bearer = format!("Bearer {}", world.alice);
        for (what, header, status) in [
            ("another origin", ("origin", "http://evil.example"), 403),
            ("another port", ("origin", "http://127.0.0.1:1"), 403),
            ("another host", ("host", "evil.example"), 403),
        ] {
            let headers =
                [("authorization", &*bearer), ("content-type", "application/json"), header];
            let answer = send(address, method, &path, &headers, b"{}").unwrap();
            assert_eq!(answer.status, status, "{what}: {method} {path}: {}", answer.body);
        }
        let nonsense =
            [("authorization", "Bearer dwk_nonsense"), ("content-type", "application/json")];
        assert_eq!(send(address, method, &path, &nonsense, b"{}").unwrap().status, 401);
    }
    // A browser sends its session by itself: each change needs the page's own header and origin.
    let mut browser = Browser::portal(&world.gateway).sign_in(&world.alice);
    assert_eq!(browser.get("/portal/v1/me").json()["principal"]["name"], "alice");
    let own = format!("http://{address}");
    let body = json!({ "label": "x" });
    let json = ("content-type", "application/json");
    let admin = ("doorward-admin", "1");
    for headers in [
        vec![json, admin],
        vec![json, ("origin", &*own)],
        vec![json, admin, ("origin", "http://127.0.0.1:1")],
        vec![json, admin, ("origin", &*own), ("sec-fetch-site", "same-site")],
    ] {
        let answer = browser.send("POST", "/portal/v1/keys", &headers, &body);
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.body);
    }
    let form = [("content-type", "text/plain"), admin, ("origin", &*own)];
    assert_eq!(browser.send("POST", "/portal/v1/keys", &form, &body).status, 415);
    for site in ["cross-site", "same-site"] {
        let answer =
            browser.send("GET", "/portal/v1/me", &[("sec-fetch-site", site)], &Value::Null);
        assert_eq!(answer.status, 403, "{site}");
    }
    assert!(world.items(&world.alice, "/keys").len() == 1, "nothing was created");
    // The token of a session is for calls.
    let token = browser.post("/auth/token", json!({})).json()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&token, "/me").0, 401);
}

#[test]
fn somebody_who_has_left_sees_nothing_any_more() {
    let world = World::start();
    let mut browser = Browser::portal(&world.gateway).sign_in(&world.alice);
    assert_eq!(browser.get("/portal/v1/me").status, 200);
    let disabled = json!({ "tenant": "acme", "disabled": true });
    let (status, said) = world.administer("PUT", "/principals/user/alice", &disabled);
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.get(&world.alice, "/me").0, 401);
    assert_eq!(browser.get("/portal/v1/tools").status, 401);
    // Who is removed has no credentials left that are good for more than before.
    let keys = world.administer("GET", "/keys", &Value::Null).1;
    let of_bob = keys["items"].as_array().unwrap().iter().find(|it| it["owner"] == "bob").unwrap();
    let id = of_bob["id"].as_str().unwrap();
    assert_eq!(world.administer("DELETE", &format!("/keys/{id}"), &Value::Null).0, 200);
    assert_eq!(world.administer("DELETE", "/principals/user/bob", &Value::Null).0, 200);
    assert_eq!(world.get(&world.bob, "/me").0, 401);
}

#[test]
fn usage_and_limits_are_ones_own() {
    let world = World::start();
    let call = |key: &str, tool: &str, arguments: Value| {
        let client = Modern::new(&world.gateway, "/mcp").bearing(key);
        assert_eq!(client.call(tool, arguments).status, 200);
    };
    for _ in 0..3 {
        call(&world.alice, "blue__add", json!({ "a": 1, "b": 2 }));
    }
    call(&world.bob, "green__echo", json!({ "text": "x" }));
    let report = |key: &str| world.items(key, "/usage?by=server&by=tool");
    wait_for("usage is written", || {
        report(&world.alice).first().is_some_and(|row| row["calls"] == 3)
            && !report(&world.bob).is_empty()
    });
    let (own, others) = (report(&world.alice), report(&world.bob));
    assert_eq!((own.len(), others.len()), (1, 1), "{own:?} {others:?}");
    assert_eq!((&own[0]["group"], &own[0]["price"]), (&json!(["blue", "add"]), &json!("6")));
    assert_eq!(others[0]["group"], json!(["green", "echo"]));
    // A dimension of others tells nothing of them.
    let by_user = world.items(&world.alice, "/usage?by=tenant&by=user");
    assert_eq!(by_user[0]["group"], json!(["acme", "alice"]));
    assert_eq!(by_user.len(), 1);
    let me = world.get(&world.alice, "/me").1;
    assert_eq!(me["spent"]["this_month"], "6", "{me}");
    assert_eq!(me["spent"]["calls_today"], 3, "{me}");
    let limits = me["limits"].as_array().unwrap();
    assert_eq!(all(limits, "name"), ["each"], "what all use is nobody's: {me}");
    assert_eq!(
        (&limits[0]["subject"], &limits[0]["measures"][0]["used"]),
        (&json!("alice"), &json!(3))
    );
}

#[test]
fn accounts_of_others_say_only_whether_something_is_left() {
    let world = World::start();
    world.gateway.told(&["credits", "grant", "--tenant", "acme", "5"]);
    world.gateway.told(&["credits", "grant", "--tenant", "globex", "7"]);
    world.gateway.told(&["credits", "budget", "--user", "alice", "3"]);
    let me = world.get(&world.alice, "/me").1;
    assert_eq!(me["account"]["allowance"], "3", "{me}");
    assert_eq!(me["shared_accounts"], json!([{ "id": "tenant/acme", "exhausted": false }]));
    assert!(!me.to_string().contains("globex"), "{me}");
}

#[test]
fn calls_that_wait_are_seen_by_who_decides_and_who_asks() {
    let world = World::start();
    let lead = world.gateway.key(&["--user", "dana", "--in-tenant", "acme", "--role", "lead"]);
    let asked = Modern::new(&world.gateway, "/mcp")
        .bearing(&world.alice)
        .call("blue__slow", json!({ "steps": 1 }));
    let id = asked.json()["error"]["data"]["approval"].as_str().unwrap().to_owned();
    let of_alice = world.items(&world.alice, "/approvals");
    assert_eq!((of_alice.len(), &of_alice[0]["mine"]), (1, &json!(true)), "{of_alice:?}");
    assert_eq!(of_alice[0]["can_decide"], false);
    let of_dana = world.items(&lead, "/approvals");
    assert_eq!((&of_dana[0]["mine"], &of_dana[0]["can_decide"]), (&json!(false), &json!(true)));
    assert!(of_dana[0]["arguments"].is_null(), "{of_dana:?}");
    let shown = world.get(&lead, &format!("/approvals/{id}")).1;
    assert!(shown["arguments"].as_str().unwrap().contains("steps"), "{shown}");
    // Nobody else, and not even the administrators' API's rights count here.
    for other in [&world.bob, &world.root] {
        assert!(world.items(other, "/approvals?state=all").is_empty());
        let absent = world.get(other, "/approvals/absent");
        let hidden = world.get(other, &format!("/approvals/{id}"));
        assert_eq!(hidden.0, 404);
        assert_eq!(hidden.1.to_string().replace(&id, "absent"), absent.1.to_string());
        let path = format!("/approvals/{id}/approve");
        assert_eq!(world.ask(other, "POST", &path, &json!({})).0, 404);
    }
    let path = format!("/approvals/{id}/approve");
    let (status, problem) = world.ask(&world.alice, "POST", &path, &json!({}));
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "one's own: {problem}");
    let (status, done) = world.ask(&lead, "POST", &path, &json!({ "reason": "go on" }));
    assert_eq!((status, &done["state"]), (200, &json!("approved")), "{done}");
    assert_eq!(world.items(&world.alice, "/approvals?state=approved").len(), 1);
}

#[test]
fn sessions_are_ones_own_to_see_and_end() {
    let world = World::start();
    let open = |key: &str| {
        Handshake::open_bearing(&world.gateway, "/mcp", "2025-11-25", json!({}), Some(key))
    };
    let (of_alice, of_bob) = (open(&world.alice), open(&world.bob));
    let mut browser = Browser::portal(&world.gateway).sign_in(&world.alice);
    let sessions = world.items(&world.alice, "/sessions");
    let mut kinds = all(&sessions, "kind");
    kinds.sort_unstable();
    assert_eq!(kinds, ["browser", "session"], "{sessions:?}");
    let id = |kind: &str| {
        let found = sessions.iter().find(|it| it["kind"] == kind).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    for kind in ["browser", "session"] {
        let path = format!("/sessions/{}", id(kind));
        assert_eq!(world.ask(&world.bob, "DELETE", &path, &Value::Null).0, 404, "{kind}");
    }
    assert_eq!(browser.get("/portal/v1/me").status, 200, "still there");
    for kind in ["browser", "session"] {
        let path = format!("/sessions/{}", id(kind));
        let dry = world.ask(&world.alice, "DELETE", &format!("{path}?dry_run=true"), &Value::Null);
        assert_eq!(dry.0, 200, "{kind}");
    }
    assert_eq!(browser.get("/portal/v1/me").status, 200, "a dry run ends nothing");
    for kind in ["browser", "session"] {
        let path = format!("/sessions/{}", id(kind));
        assert_eq!(world.ask(&world.alice, "DELETE", &path, &Value::Null).0, 200, "{kind}");
    }
    assert_eq!(browser.get("/portal/v1/me").status, 401);
    assert_eq!(of_alice.ask(2, "tools/list", json!({})).status, 404, "the session is over");
    assert_eq!(of_bob.ask(2, "tools/list", json!({})).status, 200);
}
