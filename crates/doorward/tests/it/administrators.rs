//! Administrators: every route with every role, other tenants, and what nobody may take from the last owner.
#![allow(clippy::unwrap_used)]

use doorward_policy::{Action, ready_made};
use serde_json::{Value, json};

use crate::support::client::{JSON, send};
use crate::support::{Gateway, wait_for};

/// A gateway with the ready-made roles, applied to its store.
fn governed() -> Gateway {
    let gateway = Gateway::start("servers: {sample: {sample: true, owner: sam}}");
    let folder = gateway.folder.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    for name in ["open", "administrators"] {
        let set = ready_made::find(name).unwrap();
        std::fs::write(folder.join(format!("{name}.cedar")), set.policies).unwrap();
    }
    gateway.told(&["policy", "apply", folder.to_str().unwrap()]);
    gateway
}

/// A role, what it may do to the gateway, and what to something that the gateway has. Whoever owns a server may see,
/// propose, operate and stop it, so that each of these may be somebody's.
fn roles() -> Vec<(&'static str, Vec<Action>, Vec<Action>)> {
    use Action::*;
    vec![
        ("owner", Action::ADMINISTER.to_vec(), vec![]),
        ("operator", vec![View, Operate, Stop], vec![]),
        (
            "security",
            vec![View, ChangePolicy, ReadAudit, ReadPayloads, HoldAudit, Stop],
            vec![Review, Approve],
        ),
        ("auditor", vec![View, ReadAudit, HoldAudit], vec![]),
        ("billing", vec![Bill], vec![]),
        ("approver", vec![], vec![View, Review, Approve]),
        (
            "tenant-admin",
            vec![],
            vec![View, ManageIdentities, MintKeys, ReadAudit, Bill, Stop, Propose, Operate],
        ),
        ("none", vec![], vec![View, Propose, Operate, Stop]),
    ]
}

#[test]
fn every_route_is_refused_to_every_wrong_role() {
    let gateway = governed();
    let keys: Vec<(String, Vec<Action>, Vec<Action>)> = roles()
        .into_iter()
        .map(|(role, whole, mut part)| {
            part.extend([Action::View, Action::Propose, Action::Operate, Action::Stop]);
            let mut words = vec!["--user", role, "--in-tenant", "acme", "--administer"];
            if role != "none" {
                words.extend(["--role", role]);
            }
            (gateway.key(&words), whole, part)
        })
        .collect();
    let plain = gateway.key(&["--user", "plain", "--role", "owner"]);
    let mut refused = 0;
    for route in doorward_admin::routes::all() {
        let path: String = route
            .path
            .split('/')
            .map(|part| match part {
                "{kind}" => "user",
                "{version}" => "1",
                part if part.starts_with('{') => "nothing",
                part => part,
            })
            .collect::<Vec<_>>()
            .join("/");
        let method = route.method.as_str();
        for (key, whole, part) in &keys {
            let (status, problem) = gateway.administer(key, method, &path, &json!({}));
            let what = format!("{method} {path} with {whole:?}: {status} {problem}");
            if whole.contains(&route.action) {
                assert_ne!(status, 403, "{what}");
            } else if part.contains(&route.action) {
                assert!(matches!(status, 200 | 400 | 403 | 404), "{what}");
            } else {
                assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{what}");
                refused += 1;
            }
        }
        // The key of an owner that was not made for administration; none; and what is no credential.
        assert_eq!(gateway.administer(&plain, method, &path, &json!({})).0, 403, "{method} {path}");
        let bare = send(&gateway.admin, method, &path, &[JSON[0]], b"{}").unwrap();
        assert_eq!(bare.status, 401, "{method} {path}");
        assert_eq!(gateway.administer("dwk_nonsense", method, &path, &json!({})).0, 401);
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn an_expired_and_a_revoked_key_administer_nothing() {
    let gateway = governed();
    let path = "/admin/v1/keys";
    let brief = gateway.key(&["--user", "root", "--admin", "--expires", "4s"]);
    wait_for("it expires", || gateway.administer(&brief, "GET", path, &Value::Null).0 == 401);
    let revoked = gateway.key(&["--user", "root", "--admin"]);
    assert_eq!(gateway.administer(&revoked, "GET", path, &Value::Null).0, 200);
    gateway.told(&["keys", "revoke", &revoked[4..16]]);
    wait_for("it is revoked", || gateway.administer(&revoked, "GET", path, &Value::Null).0 == 401);
}

#[test]
fn a_tenant_admin_sees_and_changes_their_tenant_alone() {
    let gateway = governed();
    for tenant in ["acme", "rival"] {
        let words = ["principals", "set", "user", &format!("user-of-{tenant}"), "--tenant", tenant];
        gateway.told(&words);
        gateway.key(&["--user", &format!("user-of-{tenant}")]);
    }
    let admin = gateway.key(&[
        "--user",
        "tom",
        "--in-tenant",
        "acme",
        "--role",
        "tenant-admin",
        "--administer",
    ]);
    let get = |path: &str| gateway.administer(&admin, "GET", path, &Value::Null);
    for path in ["/admin/v1/principals", "/admin/v1/keys"] {
        let (status, listed) = get(path);
        let text = listed.to_string();
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("acme") && !text.contains("rival"), "{path}: {text}");
    }
    // Somebody of another tenant, and nobody, are the same.
    let ask =
        |method: &str, path: &str, body: Value| gateway.administer(&admin, method, path, &body);
    for (method, path) in [
        ("GET", "/admin/v1/principals/user/user-of-rival"),
        ("DELETE", "/admin/v1/principals/user/user-of-rival"),
        ("GET", "/admin/v1/principals/tenant/rival"),
    ] {
        let (status, problem) = ask(method, path, json!({}));
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{method} {path}");
    }
    let create = |name: &str, tenant: &str, scopes: Value| {
        let owner = json!({ "kind": "user", "name": name, "tenant": tenant });
        ask("POST", "/admin/v1/keys", json!({ "owner": owner, "scopes": scopes })).0
    };
    assert_eq!(create("new", "acme", json!({})), 201);
    assert_eq!(create("new-rival", "rival", json!({})), 404);
    assert_eq!(create("user-of-rival", "acme", json!({})), 404, "whatever the request says");
    // Nobody gives what they do not have.
    assert_eq!(create("mole", "acme", json!({ "admin": true })), 403);
    let roles = json!({ "tenant": "acme", "roles": ["owner"] });
    assert_eq!(ask("PUT", "/admin/v1/principals/user/mole", roles).0, 403);
    let moved = json!({ "tenant": "rival" });
    assert_eq!(ask("PUT", "/admin/v1/principals/user/user-of-acme", moved).0, 404);
    let deputy = json!({ "tenant": "acme", "roles": ["tenant-admin"] });
    assert_eq!(ask("PUT", "/admin/v1/principals/user/deputy", deputy).0, 200);
}

#[test]
fn the_last_owner_stays() {
    let gateway = governed();
    let last = gateway.key(&["--user", "root", "--admin"]);
    let id = &last[4..16];
    let ask =
        |method: &str, path: &str, body: Value| gateway.administer(&last, method, path, &body);
    let (status, problem) = ask("DELETE", &format!("/admin/v1/keys/{id}"), json!({}));
    assert_eq!((status, &problem["code"]), (409, &json!("last_owner")), "{problem}");
    let disabled = json!({ "disabled": true });
    assert_eq!(ask("PUT", "/admin/v1/principals/user/root", disabled).0, 409);
    // With a second owner, the first may go.
    let owner = json!({ "kind": "user", "name": "olga", "roles": ["owner"] });
    let made = json!({ "owner": owner, "scopes": { "administer": true } });
    assert_eq!(ask("POST", "/admin/v1/keys", made).0, 201);
    assert_eq!(ask("DELETE", &format!("/admin/v1/keys/{id}"), json!({})).0, 200);
    // On the machine itself another can always be made, and the record says how.
    gateway.key(&["--user", "root", "--admin"]);
    let acts = gateway.told(&["audit", "search", "--text", "key.create", "--json"]);
    assert!(acts.contains("\"via\":\"machine\"") && acts.contains("\"via\":\"admin\""), "{acts}");
}

#[test]
fn each_refusal_is_recorded_once() {
    let gateway = governed();
    let auditor = gateway.key(&["--user", "ada", "--role", "auditor", "--administer"]);
    for _ in 0..3 {
        assert_eq!(gateway.administer(&auditor, "POST", "/admin/v1/reload", &json!({})).0, 403);
    }
    let records = || gateway.told(&["audit", "search", "--text", "not_permitted", "--json"]);
    wait_for("they are recorded", || records().lines().count() == 3);
    assert!(records().contains("\"action\":\"operate\""), "{}", records());
}

#[test]
fn changes_are_rehearsed_conditioned_and_repeated() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let bearer = format!("Bearer {admin}");
    let ask = |method: &str, path: &str, more: &[(&str, &str)], body: Value| {
        let headers = [&[JSON[0], ("authorization", bearer.as_str())][..], more].concat();
        send(&gateway.admin, method, path, &headers, body.to_string().as_bytes()).unwrap()
    };
    let body = |answer: &crate::support::client::Answer| -> Value {
        serde_json::from_str(&answer.body).unwrap()
    };
    let portal = |tool: &str| json!({ "portal": { "tools": [tool] } });
    let at = "/admin/v1/portals/p";
    let rehearsed = ask("PUT", &format!("{at}?dry_run=true"), &[], portal("sample/add"));
    assert_eq!(rehearsed.status, 200);
    assert_eq!(ask("GET", at, &[], Value::Null).status, 404);
    assert_eq!(ask("PUT", at, &[], portal("sample/add")).status, 200);
    let read = ask("GET", at, &[], Value::Null);
    let tag = read.header("etag").unwrap().to_owned();
    assert_eq!(ask("GET", at, &[("if-none-match", &tag)], Value::Null).status, 304);
    assert_eq!(ask("PUT", at, &[("if-match", &tag)], portal("sample/echo")).status, 200);
    let late = ask("PUT", at, &[("if-match", &tag)], portal("sample/add"));
    assert_eq!((late.status, &body(&late)["code"]), (412, &json!("precondition_failed")));
    assert_eq!(ask("DELETE", at, &[("if-match", &tag)], json!({})).status, 412);
    assert_eq!(ask("PUT", "/admin/v1/portals/q", &[("if-match", "*")], portal("a/b")).status, 412);
    // What is made, is made once.
    let key = json!({ "owner": { "kind": "user", "name": "x" } });
    let once = [("idempotency-key", "one")];
    let made = ask("POST", "/admin/v1/keys", &once, key.clone());
    let again = ask("POST", "/admin/v1/keys", &once, key.clone());
    assert_eq!((made.status, again.status), (201, 201));
    assert_eq!(body(&made)["key"]["id"], body(&again)["key"]["id"]);
    assert!(body(&made)["secret"].is_string() && body(&again)["secret"].is_null());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = json!({ "owner": { "kind": "user", "name": "y" } });
    let reused = ask("POST", "/admin/v1/keys", &once, other);
    assert_eq!((reused.status, &body(&reused)["code"]), (422, &json!("idempotency_key_reused")));
    // Pages are the list, and whatever is wrong is named.
    let page = body(&ask("GET", "/admin/v1/keys?limit=1", &[], Value::Null));
    let next = page["next_cursor"].as_str().unwrap();
    let rest = ask("GET", &format!("/admin/v1/keys?limit=1&cursor={next}"), &[], Value::Null);
    assert_ne!(body(&rest)["items"], page["items"]);
    for (path, said) in [
        ("/admin/v1/keys?limit=0", "limit"),
        ("/admin/v1/keys?nope=1", "nope"),
        ("/admin/v1/keys?cursor=%25", "cursor"),
        ("/admin/v1/keys?all=maybe", "true or false"),
    ] {
        let wrong = ask("GET", path, &[], Value::Null);
        assert_eq!(wrong.status, 400, "{path}");
        assert_eq!(wrong.header("content-type"), Some("application/problem+json"));
        assert!(wrong.body.contains(said), "{}", wrong.body);
    }
    assert_eq!(ask("PATCH", "/admin/v1/keys", &[], json!({})).status, 405);
    assert_eq!(ask("GET", "/admin/v1/nothing", &[], Value::Null).status, 404);
    let large = ask("PUT", at, &[], json!({ "portal": { "description": "x".repeat(5 << 20) } }));
    assert_eq!(large.status, 413);
}

#[test]
fn events_are_told_as_they_happen() {
    let gateway = governed();
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let caller = gateway.key(&["--user", "alice"]);
    let mut until = gateway.events(&admin);
    until("\"server\":\"sample\"");
    crate::support::client::Modern::new(&gateway, "/mcp")
        .bearing(&caller)
        .call("sample__add", json!({ "a": 1, "b": 2 }));
    let call = until("tools/call");
    assert!(call.contains("\"outcome\":\"ok\"") && call.contains("alice"), "{call}");
}

#[test]
fn policies_are_tried_before_they_are_applied() {
    let gateway = governed();
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let caller = gateway.key(&["--user", "alice"]);
    let client = crate::support::client::Modern::new(&gateway, "/mcp");
    client.bearing(&caller).call("sample__add", json!({ "a": 1, "b": 2 }));
    let post = |path: &str, body: Value| {
        gateway.administer(&admin, "POST", &format!("/admin/v1/policies/{path}"), &body)
    };
    let none = json!({ "none.cedar": "forbid (principal, action, resource);" });
    let case = json!({ "user": "alice", "tool": "sample/add", "expect": "allow" });
    let (status, explained) = post("explain", json!({ "case": case }));
    assert_eq!((status, &explained["allowed"]), (200, &json!(true)), "{explained}");
    let (_, tested) = post("test", json!({ "files": none, "cases": [case] }));
    assert_eq!((&tested["ran"], &tested["failed"][0]["name"]), (&json!(1), &json!("")), "{tested}");
    wait_for("the call is recorded", || {
        let (status, found) = post("simulate", json!({ "files": none }));
        assert_eq!(status, 200, "{found}");
        found["groups"][0]["turn"] == "refused" && found["groups"][0]["tool"] == "sample/add"
    });
    let (status, wrong) = post("explain", json!({ "case": { "tool": 1 } }));
    assert_eq!((status, &wrong["code"]), (400, &json!("invalid_request")), "{wrong}");
}

#[test]
fn from_a_refused_call_a_rule_is_drafted_tried_and_applied() {
    let gateway = governed();
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let caller = gateway.key(&["--user", "alice"]);
    let client = crate::support::client::Modern::new(&gateway, "/mcp").bearing(&caller);
    let administer = |method: &str, path: &str, body: &Value| {
        let (status, answer) = gateway.administer(&admin, method, path, body);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    // What permitted it is taken away.
    let policies = administer("GET", "/admin/v1/policies", &Value::Null);
    let number = policies["number"].as_i64().unwrap();
    let path = format!("/admin/v1/policies/versions/{number}");
    let mut files = administer("GET", &path, &Value::Null)["files"].clone();
    let call = || client.call("sample__add", json!({ "a": 1, "b": 2 })).json();
    assert!(call()["result"].is_object());
    files["only.cedar"] = json!(
        "@id(\"only\") forbid (principal, action == Action::\"call\", resource) unless { resource.name == \"echo\" };"
    );
    administer("PUT", "/admin/v1/policies", &json!({ "files": files }));
    wait_for("it is refused", || call()["result"].is_null());
    let mut id = String::new();
    wait_for("the refusal is recorded", || {
        let found =
            administer("GET", "/admin/v1/audit?tool=add&decision=deny&policy=only", &Value::Null);
        id = found["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        !id.is_empty()
    });
    // A rule that permits cannot prevail over one that forbids, and the draft says so.
    let draft = administer("POST", "/admin/v1/policies/draft", &json!({ "record": id }));
    assert_eq!((&draft["effect"], &draft["helps"]), (&json!("permit"), &json!(false)), "{draft}");
    assert_eq!(draft["after"]["policies"][0]["id"], "only", "{draft}");
    assert_eq!(
        (&draft["who"][0], &draft["what"][0]),
        (&json!("user:alice"), &json!("tool:sample/add"))
    );
    // Where no policy permits it, it does.
    let files = json!({
        "root.cedar": "permit (principal == User::\"root\", action in Action::\"administer\", resource);",
        "vic.cedar": "permit (principal == User::\"vic\", action == Action::\"view\", resource);",
    });
    administer("PUT", "/admin/v1/policies", &json!({ "files": files }));
    let draft = administer("POST", "/admin/v1/policies/draft", &json!({ "record": id }));
    assert_eq!(draft["helps"], true, "{draft}");
    let simulated =
        administer("POST", "/admin/v1/policies/simulate", &json!({ "files": draft["files"] }));
    assert_eq!(simulated["groups"][0]["turn"], "permitted", "{simulated}");
    administer(
        "PUT",
        "/admin/v1/policies",
        &json!({ "files": draft["files"], "note": "as drafted" }),
    );
    wait_for("it is permitted", || call()["result"].is_object());
    let wrong = json!({ "record": id, "who": "role:root" });
    let (status, answer) = gateway.administer(&admin, "POST", "/admin/v1/policies/draft", &wrong);
    assert_eq!(status, 400, "{answer}");
    // Who may not read the log learns nothing of it.
    let viewer = gateway.key(&["--user", "vic", "--administer"]);
    let asked = json!({ "record": id });
    let (status, answer) = gateway.administer(&viewer, "POST", "/admin/v1/policies/draft", &asked);
    assert_eq!(status, 404, "{answer}");
}

#[test]
fn the_audit_log_is_searched_verified_and_held_over_the_admin_api() {
    let gateway = governed();
    let auditor = gateway.key(&["--user", "ada", "--role", "auditor", "--administer"]);
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let tom = ["--user", "tom", "--in-tenant", "acme", "--role", "tenant-admin", "--administer"];
    let tom = gateway.key(&tom);
    let member = gateway.key(&["--user", "mia", "--in-tenant", "acme"]);
    for key in [&admin, &member] {
        let client = crate::support::client::Modern::new(&gateway, "/mcp").bearing(key);
        client.call("sample__add", json!({ "a": 1, "b": 2 }));
    }
    let get = |key: &str, path: &str| gateway.administer(key, "GET", path, &Value::Null);
    let calls = |key: &str, more: &str| get(key, &format!("/admin/v1/audit?tool=add{more}"));
    wait_for("both calls are recorded", || {
        calls(&auditor, "").1["items"].as_array().is_some_and(|items| items.len() == 2)
    });
    let (_, page) = calls(&auditor, "&limit=1");
    let next = page["next_cursor"].as_str().unwrap();
    let (_, rest) = calls(&auditor, &format!("&limit=1&cursor={next}"));
    assert_ne!(page["items"], rest["items"]);
    assert!(rest["next_cursor"].is_null(), "{rest}");
    let newest = calls(&auditor, "&order=newest").1;
    assert_eq!(newest["items"][0], rest["items"][0]);
    assert_eq!(newest["items"][1], page["items"][0]);
    for (filter, count) in [
        ("&decision=allow", 2),
        ("&decision=deny", 0),
        ("&method=tools%2Fcall", 2),
        ("&method=prompts%2Fget", 0),
        ("&finding=secret", 0),
        ("&slower_than=60000", 0),
        ("&slower_than=0", 2),
        ("&service_account=x", 0),
    ] {
        let found = calls(&auditor, filter).1;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(count), "{filter}: {found}");
    }
    assert_eq!(calls(&auditor, "&order=latest").0, 400);
    // An admin of a tenant sees its records, when they ask for them, and no others.
    assert_eq!(calls(&tom, "").0, 403);
    let (status, own) = calls(&tom, "&tenant=acme");
    assert_eq!((status, own["items"].as_array().map(Vec::len)), (200, Some(1)), "{own}");
    assert_eq!(calls(&tom, "&tenant=rival").0, 404);
    let ids: Vec<String> = [&page, &rest]
        .iter()
        .map(|page| page["items"][0]["id"].as_str().unwrap().to_owned())
        .collect();
    let shown: Vec<u16> =
        ids.iter().map(|id| get(&tom, &format!("/admin/v1/audit/records/{id}")).0).collect();
    assert_eq!(shown, [404, 200], "the first is somebody else's");
    let none = json!({});
    let verified = gateway.administer(&auditor, "POST", "/admin/v1/audit/verification", &none).1;
    assert_eq!(verified["intact"], true, "{verified}");
    let hold = json!({ "tenant": "acme", "reason": "case 17" });
    let (status, held) = gateway.administer(&auditor, "POST", "/admin/v1/audit/holds", &hold);
    assert_eq!(status, 201, "{held}");
    let path = format!("/admin/v1/audit/holds/{}", held["id"].as_str().unwrap());
    assert_eq!(gateway.administer(&tom, "DELETE", &path, &json!({})).0, 403);
    assert_eq!(gateway.administer(&auditor, "DELETE", &path, &json!({})).0, 200);
}

#[test]
fn the_newest_records_are_the_oldest_backwards_page_by_page() {
    let gateway = governed();
    let auditor = gateway.key(&["--user", "ada", "--role", "auditor", "--administer"]);
    let caller = gateway.key(&["--user", "alice"]);
    let client = crate::support::client::Modern::new(&gateway, "/mcp").bearing(&caller);
    const CALLS: usize = 45;
    for number in 0..CALLS {
        client.call("sample__add", json!({ "a": number, "b": 2 }));
    }
    let get = |more: &str| {
        let path = format!("/admin/v1/audit?tool=add{more}");
        let (status, page) = gateway.administer(&auditor, "GET", &path, &Value::Null);
        assert_eq!(status, 200, "{page}");
        page
    };
    let mut oldest = Vec::new();
    wait_for("all calls are recorded", || {
        oldest = get("")["items"].as_array().cloned().unwrap_or_default();
        oldest.len() == CALLS && oldest.iter().all(|record| record["kind"] == "call")
    });
    let (mut newest, mut cursor): (Vec<Value>, _) = (Vec::new(), String::new());
    for _ in 0..=CALLS {
        let page = get(&format!("&order=newest&limit=7{cursor}"));
        newest.extend(page["items"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    oldest.reverse();
    let ids = |records: &[Value]| records.iter().map(|it| it["id"].to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&newest), ids(&oldest));
    assert_eq!(newest, oldest);
}

#[test]
fn a_tool_is_shown_with_who_may_call_it() {
    let gateway = governed();
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let get = |path: &str| gateway.administer(&admin, "GET", path, &Value::Null);
    for (name, body) in [
        ("user/ada", json!({ "roles": ["clerk"], "tenant": "acme" })),
        ("user/bob", json!({})),
        ("agent/bot", json!({ "disabled": true })),
        ("team/staff", json!({})),
    ] {
        let path = format!("/admin/v1/principals/{name}");
        let (status, answer) = gateway.administer(&admin, "PUT", &path, &body);
        assert!(status < 300, "{name}: {answer}");
    }
    let files = json!({
        "admin.cedar": "permit (principal, action in Action::\"administer\", resource);",
        "clerks.cedar": "@id(\"clerks\") permit (principal in Role::\"clerk\", action, resource == Tool::\"sample/add\");",
        "echo.cedar": "@id(\"echo\") permit (principal, action == Action::\"call\", resource == Tool::\"sample/echo\");\n\
                       @id(\"waits\") @approval(\"role:lead\") forbid (principal == User::\"bob\", action == Action::\"call\", resource);",
    });
    let (status, answer) =
        gateway.administer(&admin, "PUT", "/admin/v1/policies", &json!({ "files": files }));
    assert_eq!(status, 200, "{answer}");
    let (status, tool) = get("/admin/v1/tools/sample/add");
    assert_eq!((status, &tool["name"]), (200, &json!("add")), "{tool}");
    assert!(tool["definition"]["inputSchema"].is_object(), "{tool}");
    assert_eq!(get("/admin/v1/tools/sample/nothing").0, 404);
    assert_eq!(get("/admin/v1/tools/nothing/add").0, 404);
    let outcome = |tool: &str, kind: &str, name: &str| {
        let (status, page) = get(&format!("/admin/v1/tools/sample/{tool}/callers?kind={kind}"));
        assert_eq!(status, 200, "{page}");
        let of = page["items"].as_array().unwrap().iter().find(|item| item["name"] == name);
        let of = of.unwrap_or_else(|| panic!("{name} is not in {page}"));
        of["decided"].clone()
    };
    wait_for("the policies are active", || outcome("add", "user", "ada")["outcome"] == "permitted");
    assert_eq!(outcome("add", "user", "ada")["policies"][0]["id"], "clerks");
    assert_eq!(outcome("add", "user", "bob")["outcome"], "refused");
    assert_eq!(outcome("echo", "user", "bob")["outcome"], "held");
    assert_eq!(outcome("echo", "agent", "bot")["outcome"], "disabled");
    // The same by principal; nothing is called.
    let (_, tools) = get("/admin/v1/tools?as=user:ada&q=add");
    assert_eq!(tools["items"][0]["decided"]["outcome"], "permitted", "{tools}");
    let (_, tools) = get("/admin/v1/tools?as=user:bob&server=sample");
    let by_name = |name: &str| {
        let all = tools["items"].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap()["decided"]["outcome"].clone()
    };
    assert_eq!((by_name("add"), by_name("echo")), (json!("refused"), json!("held")));
    assert_eq!(get("/admin/v1/tools?as=user:nobody").0, 404);
    assert_eq!(get("/admin/v1/tools?as=team:staff").0, 404);
    assert_eq!(get("/admin/v1/tools?as=ada").0, 400);
}
