//! Entries that a registry deletes or restores, invalid entries, and who may trigger a poll: with two gateways, and
//! with administrators.
#![allow(clippy::unwrap_used)]

use crate::support::client::{JSON, send};
use crate::support::hostile::{self, Era};
use crate::support::registry::{
    Registry, entry, item, life, page, read_again, remote, servers, state, step,
};
use crate::support::{Gateway, folder, store_in, told, wait_for};
use serde_json::json;

#[test]
fn a_deleted_version_is_honoured_although_another_is_the_latest_now() {
    let server = hostile::start(Era::Modern, |_, _| {});
    let url = format!("http://localhost:{}/mcp", server.address.port());
    let at = |time: &str, status: &str, is_latest: bool| {
        json!({ "updatedAt": time, "status": status, "isLatest": is_latest,
            "statusMessage": "stolen" })
    };
    let one = item("a.b/weather", remote(&url), at("2026-01-02T00:00:00Z", "active", true));
    let body = page(&[one], None);
    let registry = Registry::start(move |_| body.clone());
    let gateway = Gateway::start(&registry.config(""));
    let store = store_in(gateway.folder.path());
    wait_for("it is proposed", || life(&gateway, "weather") == "proposed");
    step(&gateway, "weather", "review", json!({ "allow_private": true }));
    step(&gateway, "weather", "look", json!({}));
    step(&gateway, "weather", "approve", json!({}));
    step(&gateway, "weather", "activate", json!({}));
    // As in the official registry, a deleted version is no longer the latest, so the gateway must not request only
    // the latest versions.
    let gone = item("a.b/weather", remote(&url), at("2026-01-03T00:00:00Z", "deleted", false));
    let body = page(&[gone], None);
    registry.answers(move |path| {
        assert!(path.contains("include_deleted=true") && !path.contains("version="), "{path}");
        body.clone()
    });
    read_again(&registry, &store);
    wait_for("it is taken out of use", || life(&gateway, "weather") == "quarantined");
    let reason = entry(&store, "a.b/weather")["reason"].to_string();
    assert!(reason.contains("stolen"), "{reason}");
    // The person who releases the server has the last word.
    step(&gateway, "weather", "release", json!({ "reason": "checked" }));
    read_again(&registry, &store);
    assert_eq!(life(&gateway, "weather"), "active");
}

#[test]
fn what_is_not_listed_any_more_is_withdrawn_and_an_empty_registry_changes_nothing() {
    let items = |names: &[&str]| {
        let it = |name: &&str| item(name, remote("https://a.example/mcp"), json!({}));
        page(&names.iter().map(it).collect::<Vec<_>>(), None)
    };
    let show = |registry: &Registry, names: &[&str]| {
        let body = items(names);
        registry.answers(move |_| body.clone());
    };
    let body = items(&["a.b/one", "a.b/two"]);
    // A registry without timestamps is read completely each time.
    let registry = Registry::start(move |_| body.clone());
    let gateway = Gateway::start(&registry.config(""));
    let store = store_in(gateway.folder.path());
    wait_for("both are proposed", || servers(&gateway).len() == 2);
    let both = |one: &str, two: &str| {
        let expected = [("one".to_owned(), one.to_owned()), ("two".to_owned(), two.to_owned())];
        wait_for("the servers are like that", || servers(&gateway) == expected);
    };
    show(&registry, &["a.b/two"]);
    read_again(&registry, &store);
    both("retired", "proposed");
    let gone = entry(&store, "a.b/one");
    assert_eq!(gone["state"], "deleted");
    assert!(gone["reason"].to_string().contains("not listed any more"), "{gone}");
    show(&registry, &[]);
    read_again(&registry, &store);
    wait_for("the problem is stored", || {
        state(&store)["problem"].as_str().is_some_and(|it| it.contains("no entries any more"))
    });
    both("retired", "proposed");
    // An entry that the registry itself had withdrawn comes back; one that a reviewer rejected does not.
    step(&gateway, "two", "reject", json!({}));
    show(&registry, &["a.b/one", "a.b/two"]);
    read_again(&registry, &store);
    both("proposed", "retired");
    assert!(state(&store)["problem"].is_null());
}

#[test]
fn one_entry_does_not_keep_the_others_from_being_imported() {
    let huge = json!({ "remotes": [{ "type": "streamable-http", "url": "https://a.example/mcp",
        "headers": [{ "name": "x-a", "value": "x".repeat(300 << 10) }] }] });
    let secret = json!({ "remotes": [{ "type": "streamable-http", "url": "https://a.example/mcp",
        "headers": [{ "name": "x-a", "value": "{v}",
            "variables": { "v": { "default": "${env:HOME}" } } }] }] });
    let body = page(
        &[
            item("a.a/huge", huge, json!({})),
            item("a.a/secret", secret, json!({})),
            item("a.a/0wn", remote("https://a.example/mcp"), json!({})),
            item("z.z/good", remote("https://a.example/mcp"), json!({})),
        ],
        None,
    );
    let registry = Registry::start(move |_| body.clone());
    let gateway = Gateway::start(&registry.config(""));
    wait_for("the last one is proposed", || life(&gateway, "good") == "proposed");
    let store = store_in(gateway.folder.path());
    for (name, why) in [("a.a/huge", "bytes"), ("a.a/secret", "headers")] {
        let found = entry(&store, name);
        assert_eq!(found["state"], "skipped", "{found}");
        assert!(found["reason"].to_string().contains(why), "{found}");
    }
}

#[test]
fn two_gateways_do_not_read_a_registry_at_once() {
    let (send_page, pages) = std::sync::mpsc::channel::<String>();
    let registry = Registry::start(move |_| pages.recv().unwrap_or_default());
    let folder = folder();
    let store = store_in(folder.path());
    let config = format!("store: {store}\n{}", registry.config(""));
    let (first, second) = (Gateway::start(&config), Gateway::start(&config));
    wait_for("one of them reads", || registry.asked().len() == 1);
    // The poll becomes due again while it is running; the first gateway waits for its end.
    told(&store, &["registries", "read", "public"]);
    let body = page(&[item("a.b/weather", remote("https://a.example/mcp"), json!({}))], None);
    send_page.send(body.clone()).unwrap();
    wait_for("it is read once more", || registry.asked().len() == 2);
    // The first poll has ended before the second one begins.
    assert!(!state(&store)["read"].is_null());
    send_page.send(body).unwrap();
    wait_for("that is over", || state(&store)["next"].as_i64().is_some_and(|next| next > 0));
    for gateway in [&first, &second] {
        wait_for("it has one server", || {
            servers(gateway) == [("weather".to_owned(), "proposed".to_owned())]
        });
    }
}

#[test]
fn who_may_not_operate_the_gateway_does_not_have_registries_read() {
    let registry = Registry::start(|_| page(&[], None));
    let gateway = Gateway::start(&registry.config(""));
    let policies = gateway.folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let set = doorward_policy::ready_made::find("administrators").unwrap();
    std::fs::write(policies.join("administrators.cedar"), set.policies).unwrap();
    gateway.told(&["policy", "apply", policies.to_str().unwrap()]);
    let key = |role: &str| gateway.key(&["--user", role, "--role", role, "--administer"]);
    let (auditor, operator, biller) = (key("auditor"), key("operator"), key("billing"));
    let ask = |key: &str, method: &str, path: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [JSON[0], ("authorization", bearer.as_str()), ("doorward-admin", "1")];
        send(&gateway.admin, method, &format!("/admin/v1/registries{path}"), &headers, b"").unwrap()
    };
    assert_eq!(ask(&auditor, "GET", "").json()["items"][0]["name"], "public");
    assert_eq!(ask(&auditor, "GET", "/public/entries").status, 200);
    assert_eq!(ask(&biller, "GET", "").status, 403);
    assert_eq!(ask(&biller, "GET", "/public/entries").status, 403);
    // A caller who may not see a registry does not learn whether it exists.
    let refusals = ["public", "none"].map(|name| ask(&biller, "POST", &format!("/{name}/read")));
    assert_eq!(refusals.each_ref().map(|it| it.status), [403, 403]);
    assert_eq!(ask(&auditor, "POST", "/public/read").status, 403);
    assert_eq!(ask(&operator, "POST", "/none/read").status, 404);
    assert_eq!(ask(&operator, "POST", "/public/read").status, 200);
    let records = gateway.told(&["audit", "search", "--text", "registry.read", "--json"]);
    assert_eq!(records.lines().count(), 1, "{records}");
    assert!(records.contains("operator"), "{records}");
    // Each refusal is recorded, with who and what.
    let refused = || gateway.told(&["audit", "search", "--text", "not_permitted", "--json"]);
    wait_for("the refusals are recorded", || refused().lines().count() == 5);
    assert!(refused().contains("billing") && refused().contains("auditor"), "{}", refused());
}
