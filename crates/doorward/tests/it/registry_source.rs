//! Other registries as sources: their entries become proposals that a person must approve. Before that, the gateway
//! connects to nothing and runs nothing that they name (attacks T13, T14, T33; R6).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::Modern;
use crate::support::hostile::{self, Era};
use crate::support::registry::{
    Registry, entries, entry, item, life, ok, page, read_again, remote, state, step,
};
use crate::support::services::postgres;
use crate::support::{Gateway, folder, store_in, wait_for};
use serde_json::{Value, json};

fn story(store: Option<String>) {
    let folder = folder();
    let store = store.unwrap_or_else(|| store_in(folder.path()));
    let server = hostile::start(Era::Modern, |_, _| {});
    let url = format!("http://localhost:{}/mcp", server.address.port());
    // This listener notices any connection before the review.
    let watched = TcpListener::bind("127.0.0.1:0").unwrap();
    let watched_url = format!("http://localhost:{}/mcp", watched.local_addr().unwrap().port());
    watched.set_nonblocking(true).unwrap();
    let time = json!({ "updatedAt": "2026-01-02T03:04:05Z", "status": "active", "isLatest": true });
    let first = [
        item("io.github.acme/weather", remote(&url), time.clone()),
        item(
            "io.github.acme/tool",
            json!({ "packages": [{ "registryType": "npm", "identifier": "x" }] }),
            time.clone(),
        ),
        item("io.github.acme/inside", remote("http://169.254.169.254/latest"), time.clone()),
        item(
            "io.github.acme/shell",
            json!({ "command": "touch", "args": ["/tmp/x"], "remotes": [{ "type": "stdio",
                "command": "touch" }] }),
            time.clone(),
        ),
        json!({ "server": { "name": "no name" } }),
    ];
    let second = [
        item("io.github.other/weather", remote(&watched_url), time.clone()),
        item("com.excluded/x", remote(&watched_url), time.clone()),
        item("io.github.acme/own", remote(&watched_url), time.clone()),
    ];
    let (one, two) = (page(&first, Some("more")), page(&second, None));
    let registry =
        Registry::start(
            move |path| {
                if path.contains("cursor=more") { two.clone() } else { one.clone() }
            },
        );
    let config = format!(
        "store: {store}\nservers: {{own: {{sample: true}}}}\n{}",
        registry.config(", headers: {x-secret: the-header}, exclude: ['com.excluded/*']")
    );
    let gateway = Gateway::start(&config);
    wait_for("the registry is read", || !state(&store)["read"].is_null());
    let counts = state(&store);
    assert_eq!(
        (&counts["pages"], &counts["entries"], &counts["excluded"], &counts["unreadable"]),
        (&json!(2), &json!(8), &json!(1), &json!(1)),
        "{counts}"
    );
    assert_eq!(counts["states"], json!({ "proposed": 3, "skipped": 3 }));
    let told_of = |name: &str| {
        let entry = entry(&store, name);
        (entry["state"].as_str().unwrap().to_owned(), entry["server"].as_str().map(str::to_owned))
    };
    let proposed = |name: &str| ("proposed".to_owned(), Some(name.to_owned()));
    assert_eq!(told_of("io.github.acme/weather"), proposed("weather"));
    // Names that another entry or the file already uses are not overwritten.
    assert_eq!(told_of("io.github.other/weather"), proposed("io.github.other.weather"));
    assert_eq!(told_of("io.github.acme/own"), proposed("io.github.acme.own"));
    let reason = entry(&store, "io.github.acme/tool")["reason"].to_string();
    assert!(reason.contains("packages only"), "{reason}");
    for skipped in ["inside", "shell"] {
        assert_eq!(told_of(&format!("io.github.acme/{skipped}")), ("skipped".into(), None));
    }
    let asked = registry.asked();
    assert!(
        asked[0]
            .starts_with("get /v0.1/servers?limit=100&include_deleted=true&version=latest http"),
        "{}",
        asked[0]
    );
    assert!(asked.iter().all(|head| head.contains("x-secret: the-header")));
    assert_eq!(life(&gateway, "weather"), "proposed");
    // The server is not served, listed or connected to.
    let client = Modern::new(&gateway, "/mcp");
    assert!(!client.ask("tools/list", json!({})).body.contains("weather"));
    assert!(!crate::support::client::get(&gateway.address, "/v0.1/servers").1.contains("weather"));

    step(&gateway, "weather", "review", json!({ "allow_private": true }));
    step(&gateway, "weather", "look", json!({}));
    step(&gateway, "weather", "approve", json!({}));
    step(&gateway, "weather", "activate", json!({}));
    let echo = || client.call("weather__echo", json!({ "text": "hello" }));
    wait_for("the server is served", || echo().json()["result"].is_object());
    assert!(
        crate::support::client::get(&gateway.address, "/v0.1/servers").1.contains("/mcp/weather")
    );

    // An entry deleted in the registry is withdrawn, or taken out of use if it was approved.
    let gone = json!({ "updatedAt": "2026-01-03T00:00:00Z", "status": "deleted", "isLatest": true,
        "statusMessage": "It was malware" });
    let deleted = page(
        &[
            item("io.github.acme/weather", remote(&url), gone.clone()),
            item("io.github.other/weather", remote(&watched_url), gone.clone()),
            item("io.github.never/seen", remote(&watched_url), gone),
        ],
        None,
    );
    registry.answers(move |_| deleted.clone());
    read_again(&registry, &store);
    wait_for("the server is quarantined", || life(&gateway, "weather") == "quarantined");
    assert!(registry.asked().last().unwrap().contains("updated_since=2026-01-02t02%3a59%3a05z"));
    wait_for("calls are refused", || echo().json()["error"].is_object());
    wait_for("the proposal is withdrawn", || {
        life(&gateway, "io.github.other.weather") == "retired"
    });
    assert!(entry(&store, "io.github.acme/weather")["reason"].to_string().contains("malware"));
    assert_eq!(entry(&store, "io.github.never/seen"), Value::Null);
    let history = gateway.get_admin("/admin/v1/servers/weather/history").1;
    assert!(history.contains("registry public") && history.contains("It was malware"), "{history}");
    // A person's decision to release it stands.
    step(&gateway, "weather", "release", json!({ "reason": "checked" }));
    read_again(&registry, &store);
    assert_eq!(life(&gateway, "weather"), "active");

    // A changed entry does not replace the server in use.
    let other = page(&[item("io.github.acme/weather", remote(&watched_url), json!({}))], None);
    registry.answers(move |_| other.clone());
    read_again(&registry, &store);
    let noted = || entry(&store, "io.github.acme/weather")["reason"].to_string();
    wait_for("it is noted", || noted().contains("retire the server"));
    assert_eq!(life(&gateway, "weather"), "active");
    assert!(echo().json()["result"].is_object());
    assert!(watched.accept().is_err(), "somebody has connected to a proposal");
}

#[test]
fn entries_are_proposed_reviewed_and_deleted() {
    story(None);
}

#[test]
fn entries_are_proposed_reviewed_and_deleted_on_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, store) = postgres(folder.path());
    story(Some(store));
}

/// Responses that must be refused, and the problem recorded for each.
type Hostile = Vec<(&'static str, Box<dyn Fn(&str) -> String + Send>)>;

/// Polls a registry with these responses, and then one that behaves.
fn reads_hostile(answers: Hostile) {
    let registry = Registry::start(|_| "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".into());
    let gateway = Gateway::start(&registry.config(""));
    let store = store_in(gateway.folder.path());
    let problem = || state(&store)["problem"].as_str().unwrap_or_default().to_owned();
    wait_for("the problem is noted", || problem() == "HTTP 500");
    for (expected, answer) in answers {
        registry.answers(answer);
        read_again(&registry, &store);
        wait_for(expected, || problem().contains(expected));
    }
    assert_eq!(entries(&store), Vec::<Value>::new());
    let body = page(&[item("a.b/c", remote("https://a.example/mcp"), json!({}))], None);
    registry.answers(move |_| body.clone());
    read_again(&registry, &store);
    wait_for("the entry is proposed", || entry(&store, "a.b/c")["state"] == "proposed");
    assert_eq!(problem(), "");
}

#[test]
fn a_registry_that_leads_elsewhere_or_sends_nonsense_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = trap.local_addr().unwrap().port();
    trap.set_nonblocking(true).unwrap();
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/v0.1/servers\r\ncontent-length: 0\r\n\r\n"
    );
    reads_hostile(vec![
        ("redirects are not followed", Box::new(move |_| redirect.clone())),
        ("no JSON object", Box::new(|_| ok("<html>"))),
        ("recursion limit", Box::new(|_| ok(&format!("{{\"x\":{}", "[".repeat(10_000))))),
        ("no list", Box::new(|_| ok("{\"servers\": {}}"))),
    ]);
    assert!(trap.accept().is_err(), "a redirect was followed");
}

#[test]
fn a_registry_without_end_is_given_up() {
    let huge = ok(&format!("{{\"servers\":[],\"x\":\"{}\"}}", "x".repeat(5 << 20)));
    let many = page(&vec![json!(0); 1_001], None);
    let counted = Arc::new(AtomicUsize::new(0));
    let count = counted.clone();
    let endless = move |_: &str| page(&[], Some(&count.fetch_add(1, Ordering::SeqCst).to_string()));
    reads_hostile(vec![
        ("larger than", Box::new(move |_| huge.clone())),
        ("more than 1000 entries", Box::new(move |_| many.clone())),
        ("same cursor", Box::new(move |_| page(&[], Some("again")))),
        ("500 pages", Box::new(endless)),
    ]);
    assert_eq!(counted.load(Ordering::SeqCst), 500);
}

#[test]
fn a_flood_of_entries_waits_for_the_reviewers() {
    let items: Vec<_> = (0..50)
        .map(|n| {
            item(&format!("a.b/s{n:02}"), remote(&format!("https://s{n}.example/mcp")), json!({}))
        })
        .collect();
    let body = page(&items, None);
    let registry = Registry::start(move |_| body.clone());
    let gateway = Gateway::start(&registry.config(""));
    let store = store_in(gateway.folder.path());
    let states = || state(&store)["states"].clone();
    wait_for("the registry is read", || states() == json!({ "proposed": 20, "waiting": 30 }));
    // Each decided proposal makes room for another one.
    step(&gateway, "s00", "reject", json!({}));
    step(&gateway, "s01", "reject", json!({}));
    read_again(&registry, &store);
    wait_for("the next are proposed", || states() == json!({ "proposed": 22, "waiting": 28 }));
    // A rejected proposal stays rejected.
    assert_eq!(life(&gateway, "s00"), "retired");
}

#[test]
fn of_many_gateways_one_reads_a_registry_and_only_when_it_is_due() {
    let registry = Registry::start(move |_| page(&[], None));
    let folder = folder();
    let store = store_in(folder.path());
    let config = format!("store: {store}\n{}", registry.config(""));
    let first = Gateway::start(&config);
    let second = Gateway::start(&config);
    wait_for("the registry is read", || !state(&store)["read"].is_null());
    drop((first, second));
    // Starting a gateway does not trigger a poll either.
    let third = Gateway::start(&config);
    let next = state(&store)["next"].as_i64().unwrap();
    let read = state(&store)["read"].as_i64().unwrap();
    assert!((3_590..=3_600).contains(&(next - read)), "{next} {read}");
    assert_eq!(registry.asked().len(), 1);
    assert!(third.log().iter().all(|line| !line.contains("could not be read")));
}

#[test]
fn a_registry_is_configured_within_bounds() {
    for (text, expected) in [
        ("registries: {public: {url: 'https://r.example', interval: 1m}}", "1h to 30d"),
        ("registries: {public: {url: 'http://r.example'}}", "https"),
        ("registries: {'a b': {url: 'https://r.example'}}", "name"),
        ("store: none\nregistries: {public: {url: 'https://r.example'}}", "store"),
    ] {
        let folder = folder();
        let file = folder.path().join("doorward.yaml");
        std::fs::write(&file, text).unwrap();
        let output = crate::support::doorward().arg("check").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(expected), "{text}: {said}");
    }
}
