//! The gateway as a registry: it lists what a caller may see, and nothing reveals the rest (attack T33).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::support::client::{Answer, JSON, Modern, send};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";

fn ask(gateway: &Gateway, key: Option<&str>, path: &str) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer.iter().map(|it| ("authorization", it.as_str())).collect();
    send(&gateway.address, "GET", path, &headers, b"").unwrap()
}

/// The entries of a list, by their names at the gateway.
fn titles(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    let servers = body["servers"].as_array().unwrap();
    assert_eq!(body["metadata"]["count"], servers.len(), "{body}");
    servers.iter().map(|it| it["server"]["title"].as_str().unwrap().to_owned()).collect()
}

/// The path of an entry's versions.
fn versions(name: &str) -> String {
    format!("/v0.1/servers/arpa.in-addr.127.0.0.1%2F{name}/versions")
}

#[test]
fn what_is_served_is_listed_and_its_remote_is_the_gateway() {
    let gateway = Gateway::start(
        "
servers:
  tickets: {sample: true, notes: the-notes, owner: the-owner, contact: the-contact}
  far: {url: 'http://127.0.0.1:9/the-internal-path', headers: {x-secret: the-header}}
  own: {command: the-command, args: [the-argument], env: {X: the-variable}}
  off: {sample: true, disabled: true}
portals:
  support: {servers: [tickets], description: For the support team}
",
    );
    let all = ask(&gateway, None, "/v0.1/servers");
    assert_eq!(titles(&all), ["far", "own", "support", "tickets"]);
    assert_eq!(all.header("content-type"), Some("application/json"));
    assert_eq!(all.header("cache-control"), Some("no-store"));
    // The list contains nothing about the servers behind the gateway.
    for secret in ["the-", "127.0.0.1:9", "x-secret"] {
        assert!(!all.body.contains(secret), "{secret}: {}", all.body);
    }
    let entries = all.json()["servers"].take();
    for entry in entries.as_array().unwrap() {
        let name = entry["server"]["title"].as_str().unwrap();
        let url = gateway.url(&format!("/mcp/{name}"));
        let remotes = json!([{ "type": "streamable-http", "url": url }]);
        assert_eq!(entry["server"]["remotes"], remotes);
        assert_eq!(entry["_meta"][OFFICIAL]["status"], "active");
    }
    assert_eq!(entries[2]["server"]["description"], "For the support team");
    // A client that follows a remote URL finds what the entry describes.
    for name in ["tickets", "support"] {
        let client = Modern::new(&gateway, &format!("/mcp/{name}"));
        assert!(
            !client.ask("tools/list", json!({})).result()["tools"].as_array().unwrap().is_empty()
        );
    }
    let one = ask(&gateway, None, &format!("{}/latest", versions("tickets")));
    assert_eq!((one.status, one.json()), (200, entries[3].clone()));
    assert_eq!(titles(&ask(&gateway, None, &versions("tickets"))), ["tickets"]);
    for absent in ["off", "none", "far2"] {
        assert_eq!(ask(&gateway, None, &versions(absent)).status, 404);
    }
    let mut path = "/v0.1/servers?limit=3".to_owned();
    let first = ask(&gateway, None, &path);
    assert_eq!(titles(&first), ["far", "own", "support"]);
    let cursor = first.json()["metadata"]["nextCursor"].as_str().unwrap().to_owned();
    path.push_str(&format!("&cursor={cursor}"));
    let last = ask(&gateway, None, &path);
    assert_eq!(
        (titles(&last), last.json()["metadata"].get("nextCursor")),
        (vec!["tickets".into()], None)
    );
}

#[test]
fn only_the_gateways_own_pages_and_allowed_origins_may_ask() {
    let gateway = Gateway::start("servers: {tickets: {sample: true}}");
    let ask = |method: &str, header| {
        send(&gateway.address, method, "/v0.1/servers", &[header], b"").unwrap()
    };
    assert_eq!(ask("GET", ("origin", "https://evil.example")).status, 403);
    assert_eq!(ask("GET", ("host", "evil.example")).status, 403);
    let allowed = ask("GET", ("origin", "http://localhost:6274"));
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("http://localhost:6274"));
    assert_eq!(ask("OPTIONS", ("origin", "http://localhost:1")).status, 204);
    let refused = ask("POST", ("accept", "*/*"));
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET")));
    for (method, path) in
        [("POST", "/v0.1/publish"), ("PUT", &*format!("{}/1.0.0", versions("tickets")))]
    {
        assert_eq!(
            send(&gateway.address, method, path, &JSON, b"{}").unwrap().status,
            501,
            "{path}"
        );
    }
}

const POLICIES: &str = r#"
permit (principal == User::"alice", action in Action::"use", resource in Server::"tickets");
permit (principal == User::"alice", action == Action::"list", resource == Portal::"support");
permit (principal == User::"bob", action in Action::"use", resource);
"#;

/// Asserts that a server cannot be distinguished from one that never existed: in lists, counts, searches, pages and
/// direct requests.
fn is_absent(gateway: &Gateway, key: &str, name: &str) {
    let list = ask(gateway, Some(key), "/v0.1/servers");
    assert!(!list.body.contains(name), "{}", list.body);
    let search = |text: &str| ask(gateway, Some(key), &format!("/v0.1/servers?search={text}"));
    assert_eq!(search(name).body, search("nowhere").body);
    for rest in ["", "/latest", "/1.0.0", "/1.0.1"] {
        let there = ask(gateway, Some(key), &format!("{}{rest}", versions(name)));
        let nowhere = ask(gateway, Some(key), &format!("{}{rest}", versions("nowhere")));
        assert_eq!((there.status, &there.body), (404, &nowhere.body), "{rest}");
        assert_eq!(there.headers.len(), nowhere.headers.len());
    }
}

#[test]
fn callers_see_what_their_policies_and_keys_let_them_see() {
    let folder = crate::support::folder();
    let file = folder.path().join("roles.cedar");
    std::fs::write(&file, POLICIES).unwrap();
    let config = format!(
        "
policy: {{files: [{}]}}
servers: {{tickets: {{sample: true}}, payroll: {{sample: true}}, mail: {{sample: true}}}}
portals: {{support: {{servers: [tickets]}}, wages: {{servers: [payroll]}}}}
",
        file.display()
    );
    let gateway = Gateway::start(&config);
    let alice = gateway.key(&["--user", "alice"]);
    let bob = gateway.key(&["--user", "bob"]);
    let narrow = gateway.key(&["--user", "bob", "--server", "mail"]);
    let carol = gateway.key(&["--user", "carol"]);
    let list = |key: &str| titles(&ask(&gateway, Some(key), "/v0.1/servers"));
    // With authentication on, an unauthenticated client learns nothing except how to log in.
    for path in ["/v0.1/servers", &versions("tickets"), &versions("nowhere"), "/v0.1/nothing"] {
        let stranger = ask(&gateway, None, path);
        assert_eq!(stranger.status, 401, "{path}");
        assert!(stranger.header("www-authenticate").unwrap().starts_with("Bearer"));
        assert!(!stranger.body.contains("tickets"));
        assert_eq!(ask(&gateway, Some("dw_nonsense"), path).status, 401);
    }
    wait_for("the servers are seen", || list(&bob).len() == 5);
    assert_eq!(list(&bob), ["mail", "payroll", "support", "tickets", "wages"]);
    assert_eq!(list(&alice), ["support", "tickets"]);
    // A portal is listed for callers who may see a server in it; `mail` is in none.
    assert_eq!(list(&narrow), ["mail"]);
    assert_eq!(list(&carol), Vec::<String>::new());
    for (key, hidden) in [
        (&alice, &["payroll", "wages", "mail"][..]),
        (&narrow, &["payroll", "wages", "tickets"]),
        (&carol, &["payroll", "tickets", "support", "mail"]),
    ] {
        for name in hidden {
            is_absent(&gateway, key, name);
        }
    }
    // A caller's pages have no gaps where other callers see more.
    let page = ask(&gateway, Some(&alice), "/v0.1/servers?limit=1").json();
    assert_eq!(page["servers"][0]["server"]["title"], "support");
    assert_eq!(page["metadata"]["count"], 1);
    // The endpoints that the remotes name behave the same.
    for (name, there) in [("tickets", true), ("payroll", false)] {
        let client = Modern::new(&gateway, &format!("/mcp/{name}")).bearing(&alice);
        assert_eq!(client.ask("tools/list", json!({})).status == 200, there, "{name}");
    }
}

#[test]
fn the_life_of_a_server_is_seen_in_its_entry() {
    let gateway = Gateway::start("servers: {tickets: {sample: true}, mail: {sample: true}}");
    let entry = || ask(&gateway, None, &format!("{}/latest", versions("tickets"))).json();
    let step = |step: &str, body: Value| {
        let path = format!("/admin/v1/servers/tickets/{step}");
        let headers = [JSON[0], ("doorward-admin", "1")];
        let done = send(&gateway.admin, "POST", &path, &headers, body.to_string().as_bytes());
        let done = done.unwrap();
        assert_eq!(done.status, 200, "{step}: {}", done.body);
    };
    let before = entry();
    let since = before["_meta"][OFFICIAL]["updatedAt"].as_str().unwrap().to_owned();
    step("deprecate", json!({ "note": "It has moved.", "successor": "mail" }));
    let after = entry();
    let official = &after["_meta"][OFFICIAL];
    assert_eq!(official["status"], "deprecated");
    let message = official["statusMessage"].as_str().unwrap();
    assert!(message.contains("It has moved.") && message.contains("'mail'"), "{message}");
    assert_ne!(before["server"]["version"], after["server"]["version"]);
    let version = before["server"]["version"].as_str().unwrap();
    let old = ask(&gateway, None, &format!("{}/{version}", versions("tickets")));
    assert_eq!(old.status, 404);
    // A client that polls for updates receives the change.
    let updated = ask(&gateway, None, &format!("/v0.1/servers?updated_since={since}&search=tick"));
    assert_eq!(titles(&updated), ["tickets"]);
    let later = ask(&gateway, None, "/v0.1/servers?updated_since=2999-01-01T00:00:00Z");
    assert_eq!(titles(&later), Vec::<String>::new());
    step("retire", json!({}));
    assert_eq!(titles(&ask(&gateway, None, "/v0.1/servers?include_deleted=true")), ["mail"]);
    assert_eq!(ask(&gateway, None, &versions("tickets")).status, 404);
}

#[test]
fn what_is_proposed_or_stopped_is_not_listed() {
    let gateway = Gateway::start("servers: {tickets: {sample: true}, mail: {sample: true}}");
    let headers = [JSON[0], ("doorward-admin", "1")];
    let proposal =
        json!({ "name": "offered", "settings": { "url": "https://offered.example/mcp" } });
    let made = send(
        &gateway.admin,
        "POST",
        "/admin/v1/servers",
        &headers,
        proposal.to_string().as_bytes(),
    );
    assert_eq!(made.unwrap().status, 201);
    let list = || titles(&ask(&gateway, None, "/v0.1/servers"));
    assert_eq!(list(), ["mail", "tickets"]);
    gateway.told(&["stop", "server", "tickets", "--why", "a test"]);
    wait_for("the stop is in force", || list() == ["mail"]);
    assert_eq!(ask(&gateway, None, &versions("tickets")).status, 404);
}

#[test]
fn what_is_public_is_listed_to_everybody_and_used_by_nobody_without_a_credential() {
    let gateway = Gateway::start(
        "
registry: {public: [support, 'mail*']}
servers: {tickets: {sample: true}, payroll: {sample: true}, mail: {sample: true}}
portals: {support: {servers: [tickets], description: For the support team}}
",
    );
    let key = gateway.key(&["--user", "alice"]);
    let open = |headers: &[(&str, &str)], path: &str| {
        send(&gateway.address, "GET", path, headers, b"").unwrap()
    };
    let list = || titles(&open(&[], "/v0.1/servers"));
    assert_eq!(list(), ["mail", "support"]);
    // A valid credential shows what its owner may see; an invalid one shows nothing.
    wait_for("the key is known", || ask(&gateway, Some(&key), "/v0.1/servers").status == 200);
    assert_eq!(titles(&ask(&gateway, Some(&key), "/v0.1/servers")).len(), 4);
    assert_eq!(ask(&gateway, Some("dw_nonsense"), "/v0.1/servers").status, 401);
    for name in ["tickets", "payroll", "nowhere"] {
        let found = open(&[], &format!("{}/latest", versions(name)));
        let nowhere = open(&[], &format!("{}/latest", versions("none")));
        assert_eq!((found.status, &found.body), (404, &nowhere.body), "{name}");
    }
    assert_eq!(open(&[], &format!("{}/latest", versions("mail"))).status, 200);
    // Pages of other origins may read the registry, and nothing else. A foreign host is refused as usual.
    let far = ("origin", "vscode-file://vscode-app");
    let answer = open(&[far], "/v0.1/servers?limit=1");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    let asked = send(&gateway.address, "OPTIONS", "/v0.1/servers", &[far], b"").unwrap();
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some("*")));
    let bearer = format!("Bearer {key}");
    let with_key = [far, ("authorization", bearer.as_str())];
    assert_eq!(open(&with_key, "/v0.1/servers").status, 403);
    assert_eq!(open(&[("host", "evil.example")], "/v0.1/servers").status, 403);
    for path in ["/mcp/mail", "/mcp/support", "/v0.10/servers", "/v0.1x"] {
        assert_eq!(open(&[far], path).status, 403, "{path}");
        assert_eq!(open(&[], path).status, 401, "{path}");
    }
    let post = send(&gateway.address, "POST", "/v0.1/publish", &[JSON[0], far], b"{}").unwrap();
    assert_eq!(post.status, 501);
    gateway.told(&["stop", "server", "mail", "--why", "a test"]);
    wait_for("the stop is in force", || list() == ["support"]);
}
