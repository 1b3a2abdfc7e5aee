//! The server lifecycle over real sockets: proposed by one user, approved by another, served, deprecated,
//! quarantined, retired; and what nobody can propose.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::{Answer, JSON, Modern, send};
use crate::support::hostile::{self, Era, Hostile, answer, result_text, with_habit};
use crate::support::services::postgres;
use crate::support::{Gateway, folder, store_in, told, wait_for};
use serde_json::{Value, json};

const POLICIES: &str = r#"
permit (principal, action in Action::"use", resource);
permit (principal == User::"alice", action in [Action::"view", Action::"propose", Action::"approve"], resource);
permit (principal == User::"bob", action in [Action::"view", Action::"review", Action::"approve"], resource);
permit (principal == User::"carol", action in [Action::"view", Action::"propose", Action::"review",
    Action::"approve", Action::"operate"], resource);
"#;

/// A folder with a store and policies, and the keys of several users.
struct World {
    folder: tempfile::TempDir,
    store: String,
    more: String,
    keys: Vec<(&'static str, String)>,
}

impl World {
    fn new(store: Option<String>, more: &str) -> Self {
        let folder = folder();
        std::fs::write(folder.path().join("roles.cedar"), POLICIES).unwrap();
        let store = store.unwrap_or_else(|| store_in(folder.path()));
        let names = ["alice", "bob", "carol", "dave"];
        let key = |name: &'static str| {
            let words = ["keys", "create", "--user", name, "--administer"];
            (name, told(&store, &words))
        };
        let keys = names.map(key).to_vec();
        Self { folder, store, more: more.into(), keys }
    }

    fn start(&self) -> Gateway {
        let policies = self.folder.path().join("roles.cedar");
        let config = format!(
            "store: {}\npolicy: {{files: [{}]}}\n{}",
            self.store,
            policies.display(),
            self.more
        );
        let gateway = Gateway::start_unready(&config);
        wait_for("the gateway is ready", || gateway.get_admin("/readyz").0 == 200);
        gateway
    }

    fn key(&self, who: &str) -> &str {
        &self.keys.iter().find(|(name, _)| *name == who).unwrap().1
    }

    fn ask(&self, gateway: &Gateway, who: &str, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.key(who));
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let path = format!("/admin/v1/servers{path}");
        send(&gateway.admin, method, &path, &headers, body.as_bytes()).unwrap()
    }

    fn post(&self, gateway: &Gateway, who: &str, path: &str, body: Value) -> Answer {
        self.ask(gateway, who, "POST", path, body)
    }

    /// Performs a step that must succeed.
    fn step(&self, gateway: &Gateway, who: &str, step: &str, body: Value) -> Value {
        let done = self.post(gateway, who, &format!("/tickets/{step}"), body);
        assert_eq!(done.status, 200, "{step} by {who}: {}", done.body);
        done.json()
    }

    fn client(&self, gateway: &Gateway, path: &str) -> Modern {
        Modern::new(gateway, path).bearing(self.key("dave"))
    }

    /// All acts on servers, and who performed them.
    fn acts(&self) -> Vec<(String, String)> {
        let text = told(&self.store, &["audit", "search", "--json", "--limit", "1000"]);
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let acts =
            records.filter(|it| it["act"].as_str().is_some_and(|it| it.starts_with("server.")));
        let mut acts: Vec<_> = acts
            .map(|it| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (it["seq"].as_i64().unwrap(), text(&it["act"]), text(&it["actor"]["name"]))
            })
            .collect();
        acts.sort();
        acts.into_iter().map(|(_, act, who)| (act, who)).collect()
    }
}

/// The same server by host name, as proposals require.
fn named(server: &Hostile) -> String {
    format!("http://localhost:{}/mcp", server.address.port())
}

fn echoes(client: &Modern) -> bool {
    let called = client.call("tickets__echo", json!({ "text": "hello" }));
    called.json()["result"].is_object() && called.text() == "hello"
}

/// Asserts that the server cannot be distinguished from one that never existed.
fn is_absent(client: &Modern) {
    let here = client.call("tickets__echo", json!({ "text": "hello" }));
    let nowhere = client.call("nowhere__echo", json!({ "text": "hello" }));
    let told = |answer: &Answer, name: &str| (answer.status, answer.body.replace(name, "X"));
    assert_eq!(told(&here, "tickets"), told(&nowhere, "nowhere"));
    let tools = client.ask("tools/list", json!({})).result()["tools"].to_string();
    assert!(!tools.contains("tickets"), "{tools}");
    let portal = Modern { path: "/mcp/tickets".into(), ..client.clone() };
    let nowhere = Modern { path: "/mcp/nowhere".into(), ..client.clone() };
    let ask = |client: &Modern| client.ask("tools/list", json!({})).status;
    assert_eq!(ask(&portal), ask(&nowhere));
}

fn story(store: Option<String>) {
    let server = hostile::start(Era::Modern, |_, _| {});
    let world = World::new(store, "servers: {other: {sample: true}}");
    let gateway = world.start();
    let settings = json!({ "url": named(&server), "owner": "support", "risk": "low",
        "contact": "support@example.com", "review_by": "2099-01-31" });
    let proposal =
        json!({ "name": "tickets", "settings": settings, "reason": "for the help desk" });
    // A user without the permission is refused, and one with it can propose.
    assert_eq!(world.post(&gateway, "bob", "", proposal.clone()).status, 403);
    let made = world.post(&gateway, "alice", "", proposal);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["state"], "proposed");
    let early = world.post(&gateway, "bob", "/tickets/approve", json!({}));
    assert_eq!((early.status, early.json()["code"].clone()), (409, json!("conflict")));
    assert_eq!(world.post(&gateway, "alice", "/tickets/review", json!({})).status, 403);
    is_absent(&world.client(&gateway, "/mcp"));
    drop(gateway);

    let gateway = world.start();
    // Allowing private addresses takes more permission than a review.
    let private = json!({ "allow_private": true });
    assert_eq!(world.post(&gateway, "bob", "/tickets/review", private.clone()).status, 403);
    world.step(&gateway, "carol", "review", private);
    drop(gateway);

    let gateway = world.start();
    let seen = world.step(&gateway, "bob", "look", json!({}));
    assert_eq!(seen["problem"], Value::Null, "{seen}");
    let tools = seen["tools"].as_array().unwrap();
    assert_eq!(tools.iter().map(|tool| &tool["name"]).collect::<Vec<_>>(), ["echo", "bad"]);
    let review = world.ask(&gateway, "bob", "GET", "/tickets/review", json!({})).json();
    assert_eq!(review["look"]["tools"], seen["tools"]);
    let risk = json!({ "tool": "echo", "writes": true, "destructive": true, "open_world": true,
        "annotated": false, "risk": "low" });
    assert_eq!(review["tools"][0], risk);
    assert!(review["connects"][0].as_str().unwrap().contains(&named(&server)));
    let access = review["access"]["principals"].as_array().unwrap();
    let dave = access.iter().find(|one| one["name"] == "dave").unwrap();
    assert_eq!((&dave["kind"], &dave["tools"]["count"]), (&json!("user"), &json!(2)));
    // Approval takes two people and covers exactly the reviewed revision.
    let revision = review["server"]["revision"].as_i64().unwrap();
    let stale = json!({ "revision": revision - 1 });
    assert_eq!(world.post(&gateway, "bob", "/tickets/approve", stale).status, 409);
    let own = world.post(&gateway, "alice", "/tickets/approve", json!({}));
    assert!(own.status == 409 && own.body.contains("another reviewer"), "{}", own.body);
    assert_eq!(world.post(&gateway, "dave", "/tickets/approve", json!({})).status, 403);
    is_absent(&world.client(&gateway, "/mcp"));
    let approved = world.step(&gateway, "bob", "approve", json!({ "revision": revision }));
    assert_eq!((&approved["state"], &approved["served"]), (&json!("approved"), &json!(false)));
    is_absent(&world.client(&gateway, "/mcp"));
    drop(gateway);

    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    let active = world.step(&gateway, "carol", "activate", json!({}));
    assert_eq!((&active["state"], &active["served"]), (&json!("active"), &json!(true)));
    wait_for("the tool is served", || echoes(&client));
    drop(gateway);

    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    wait_for("the tool is served after a restart", || echoes(&client));
    let deprecate = json!({ "note": "It moves.", "successor": "issues", "retires": "2099-01-31" });
    world.step(&gateway, "carol", "deprecate", deprecate.clone());
    let deprecated = || {
        let tools = client.ask("tools/list", json!({})).result()["tools"].clone();
        let tools = tools.as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == "tickets__echo").cloned();
        let other = tools.iter().find(|tool| tool["name"] == "other__echo").unwrap();
        assert!(other.get("_meta").is_none_or(|meta| meta.get("io.doorward/deprecated").is_none()));
        tool.unwrap()
    };
    let tool = deprecated();
    assert_eq!(tool["_meta"]["io.doorward/deprecated"], deprecate);
    let line = "[Deprecated] The server 'tickets' is deprecated. It moves. Use 'issues' instead. \
        It will be retired after 2099-01-31.";
    assert_eq!(tool["description"], line);
    assert!(echoes(&client));
    drop(gateway);

    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    wait_for("the tool is served after a restart", || echoes(&client));
    assert_eq!(world.post(&gateway, "bob", "/tickets/quarantine", json!({})).status, 403);
    world.step(&gateway, "carol", "quarantine", json!({ "reason": "odd answers" }));
    is_absent(&client);
    drop(gateway);

    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    is_absent(&client);
    let listed = gateway.told_with(&world, &["servers"]);
    assert!(listed.contains("quarantined"), "{listed}");
    assert_eq!(world.step(&gateway, "bob", "release", json!({}))["state"], "deprecated");
    wait_for("the tool is served again", || echoes(&client));
    world.step(&gateway, "carol", "activate", json!({}));
    let tools = client.ask("tools/list", json!({})).result()["tools"].to_string();
    assert!(tools.contains("tickets__echo") && !tools.contains("[Deprecated]"), "{tools}");
    world.step(&gateway, "carol", "retire", json!({ "reason": "moved" }));
    is_absent(&client);
    drop(gateway);

    let gateway = world.start();
    is_absent(&world.client(&gateway, "/mcp"));
    let history = world.ask(&gateway, "alice", "GET", "/tickets/history", json!({})).json();
    let steps: Vec<_> = history["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["who"].as_str().unwrap()))
        .collect();
    let expected = [
        "propose alice",
        "review carol",
        "approve bob",
        "activate carol",
        "deprecate carol",
        "quarantine carol",
        "release bob",
        "activate carol",
        "retire carol",
    ];
    let expected = expected.map(|step| {
        let (step, who) = step.split_once(' ').unwrap();
        format!("{step} user \"{who}\"")
    });
    assert_eq!(steps, expected);
    let mut acts = world.acts();
    acts.retain(|(act, _)| act != "server.look");
    let acts: Vec<_> = acts
        .iter()
        .map(|(act, who)| format!("{} {who}", act.trim_start_matches("server.")))
        .collect();
    assert_eq!(acts, expected);
}

impl Gateway {
    /// The output of an operator's command.
    fn told_with(&self, world: &World, arguments: &[&str]) -> String {
        let output = crate::support::doorward()
            .args(arguments)
            .args(["--admin-url", &format!("http://{}", self.admin)])
            .env("DOORWARD_KEY", world.key("carol"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_server_lives_from_proposal_to_retirement() {
    story(None);
}

#[test]
fn a_server_lives_from_proposal_to_retirement_on_postgresql() {
    let folder = folder();
    let (_database, url) = postgres(folder.path());
    story(Some(url));
}

/// R6: a proposal cannot name what runs on the gateway's machine or reads from it, and nothing is connected to before
/// the review allows an inspection.
#[test]
fn a_proposal_runs_nothing_and_connects_to_nothing() {
    let world = World::new(None, "servers: {}");
    let gateway = world.start();
    let trace = world.folder.path().join("ran");
    let command = format!("touch {}", trace.display());
    for (settings, key) in [
        (json!({ "command": "sh", "args": ["-c", command] }), "command"),
        (json!({ "url": "https://a.example/", "command": "sh" }), "command"),
        (json!({ "package": { "npm": "x", "version": "1.0.0" } }), "package"),
        (json!({ "url": "https://a.example/", "headers": { "x": "${env:HOME}" } }), "headers.x"),
        (json!({ "replicas": [{ "file": "/etc/passwd" }] }), "replicas.file"),
        (
            json!({ "url": "https://a.example/", "openapi": { "description": "${file:/etc/passwd}" } }),
            "openapi.description",
        ),
        (json!({ "url": "http://127.0.0.1:1/mcp" }), "url"),
        (json!({ "url": "http://169.254.169.254/latest/meta-data" }), "url"),
        (json!({ "url": "https://a.example/", "credential": { "basic": {} } }), "credential"),
        (json!({ "url": "https://a.example/", "public_only": false }), "public_only"),
    ] {
        let refused =
            world.post(&gateway, "alice", "", json!({ "name": "x", "settings": settings }));
        assert_eq!(refused.status, 400, "{settings}: {}", refused.body);
        assert!(refused.json()["detail"].as_str().unwrap().contains(key), "{}", refused.body);
    }
    assert!(!trace.exists());
    assert_eq!(children(gateway.pid()), 0);
    // A listener that never accepts: a connection would wait in its queue.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let connected = || listener.accept().is_ok();
    let url = format!("http://localhost:{}/mcp", listener.local_addr().unwrap().port());
    let proposal = json!({ "name": "tickets", "settings": { "url": url } });
    assert_eq!(world.post(&gateway, "alice", "", proposal).status, 201);
    let refused = world.post(&gateway, "bob", "/tickets/look", json!({}));
    assert_eq!(refused.status, 409, "{}", refused.body);
    world.step(&gateway, "bob", "review", json!({}));
    assert!(world.ask(&gateway, "bob", "GET", "/tickets/review", json!({})).status == 200);
    // The inspection does not connect to a private address either, unless that was allowed.
    let look = world.step(&gateway, "bob", "look", json!({}));
    assert!(look["problem"].as_str().unwrap().contains("public"), "{look}");
    assert!(!connected());
    world.step(&gateway, "carol", "reject", json!({}));
    // The same holds for the description of an API (T12).
    let port = listener.local_addr().unwrap().port();
    let api = json!({ "url": "https://api.invalid/",
        "openapi": { "from": format!("https://localhost:{port}/openapi.json") } });
    let proposal = json!({ "name": "tickets", "settings": api });
    assert_eq!(world.post(&gateway, "alice", "", proposal).status, 201);
    world.step(&gateway, "bob", "review", json!({}));
    let look = world.step(&gateway, "bob", "look", json!({}));
    assert!(look["problem"].as_str().unwrap().contains("public"), "{look}");
    assert!(!connected());
}

fn children(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children.map(|text| text.split_whitespace().count()).sum()
}

/// An inspection reads the server's definitions and gives it nothing: no capabilities, no responses, and a limited
/// time.
#[test]
fn a_look_answers_nothing_that_a_server_asks() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let server = with_habit(Era::Modern, move |request, stream| {
        let meta = &request.message["params"]["_meta"];
        let capabilities = &meta["io.modelcontextprotocol/clientCapabilities"];
        assert!(capabilities.is_null() || *capabilities == json!({}), "{}", request.message);
        if request.message["method"] != "tools/list" {
            return false;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        let result = json!({ "resultType": "input_required", "inputRequests": { "a": {
            "method": "elicitation/create", "params": { "message": "Your password?",
            "mode": "form", "requestedSchema": { "type": "object", "properties": {} } } } } });
        answer(stream, 200, "application/json", result_text(request, &result).as_bytes());
        true
    });
    let world = World::new(None, "servers: {}");
    let gateway = world.start();
    let proposal = json!({ "name": "tickets", "settings": { "url": named(&server) } });
    assert_eq!(world.post(&gateway, "alice", "", proposal).status, 201);
    world.step(&gateway, "carol", "review", json!({ "allow_private": true }));
    let look = world.step(&gateway, "bob", "look", json!({}));
    assert!(look["problem"].is_string() || look["findings"][0].is_string(), "{look}");
    assert_eq!(look["tools"], json!([]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// A server of the configuration file with required review: it is served only after approval, and not after it
/// changes.
#[test]
fn a_server_of_the_file_is_reviewed_again_when_it_changes() {
    let (one, two) =
        (hostile::start(Era::Modern, |_, _| {}), hostile::start(Era::Modern, |_, _| {}));
    let config = |url: &str| format!("lifecycle: reviewed\nservers: {{tickets: {{url: '{url}'}}}}");
    let world = World::new(None, &config(&one.url()));
    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    is_absent(&client);
    let show = || world.ask(&gateway, "bob", "GET", "/tickets", json!({})).json();
    let approve = || {
        world.step(&gateway, "bob", "review", json!({}));
        let look = world.step(&gateway, "bob", "look", json!({}));
        assert_eq!(look["problem"], Value::Null, "{look}");
        world.step(&gateway, "bob", "approve", json!({}));
        world.step(&gateway, "carol", "activate", json!({}));
    };
    assert_eq!(show()["state"], "proposed");
    approve();
    wait_for("the tool is served", || echoes(&client));
    let text = std::fs::read_to_string(&gateway.config).unwrap();
    // A change of its notes needs no new approval; a change of its URL does.
    let noted = text.replace("{url:", "{notes: 'mine', url:");
    std::fs::write(&gateway.config, &noted).unwrap();
    wait_for("the file is read", || show()["settings"]["notes"] == "mine");
    assert!(echoes(&client));
    std::fs::write(&gateway.config, noted.replace(&one.url(), &two.url())).unwrap();
    wait_for("it is proposed again", || {
        show()["state"] == "proposed"
            && world.acts().iter().filter(|it| it.0 == "server.propose").count() == 2
    });
    is_absent(&client);
    assert_eq!(two.calls(), 0);
    approve();
    wait_for("the tool is served", || echoes(&client));
    // Removing servers by a reload and by a step leaves the audit log intact.
    world.step(&gateway, "carol", "quarantine", json!({}));
    std::fs::write(&gateway.config, noted.replace("servers: {", "servers: {} # {")).unwrap();
    wait_for("it is gone from the file", || show()["settings"]["url"].is_null());
    drop(gateway);
    let verified = told(&world.store, &["audit", "verify", "--json", "--trust-database"]);
    assert_eq!(serde_json::from_str::<Value>(&verified).unwrap()["findings"], json!([]));
}

/// A server that the file trusts is served without a review, but can be quarantined.
#[test]
fn a_trusted_server_is_quarantined_and_released() {
    let world = World::new(None, "servers: {tickets: {sample: true}, other: {sample: true}}");
    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    wait_for("the tool is served", || echoes(&client));
    let shown = world.ask(&gateway, "alice", "GET", "/tickets", json!({})).json();
    assert_eq!((&shown["state"], &shown["reviewed"]), (&json!("active"), &json!(false)));
    world.step(&gateway, "carol", "quarantine", json!({}));
    is_absent(&client);
    drop(gateway);
    let gateway = world.start();
    let client = world.client(&gateway, "/mcp");
    is_absent(&client);
    world.step(&gateway, "carol", "release", json!({}));
    wait_for("the tool is served", || echoes(&client));
    // The name is taken, in upper or lower case.
    let url = json!({ "url": "https://a.example/mcp" });
    let taken = world.post(&gateway, "alice", "", json!({ "name": "TICKETS", "settings": url }));
    assert_eq!(
        (taken.status, taken.json()["code"].clone()),
        (409, json!("defined_in_configuration"))
    );
    let listed = world.ask(&gateway, "alice", "GET", "", json!({})).json();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["other", "tickets"]);
}

/// A due review is reported once a day, by the event log and a metric.
#[test]
fn a_due_review_is_told() {
    let world = World::new(
        None,
        "servers: {tickets: {sample: true, review_by: '2020-01-31'}, other: {sample: true}}",
    );
    let told_of = || {
        let text = told(&world.store, &["audit", "search", "--json", "--limit", "1000"]);
        text.lines().filter(|line| line.contains("server.review_due")).count()
    };
    let gateway = world.start();
    wait_for("it is told", || told_of() == 1);
    let (_, metrics) = get_metrics(&world, &gateway);
    assert!(metrics.contains("doorward_servers_review_overdue 1"), "{metrics}");
    assert!(metrics.contains("doorward_servers_lifecycle{state=\"active\"} 2"), "{metrics}");
    drop(gateway);
    let gateway = world.start();
    wait_for("it is looked at again", || {
        get_metrics(&world, &gateway).1.contains("review_overdue 1")
    });
    assert_eq!(told_of(), 1);
}

fn get_metrics(world: &World, gateway: &Gateway) -> (u16, String) {
    let bearer = format!("Bearer {}", world.key("carol"));
    let answer =
        send(&gateway.admin, "GET", "/metrics", &[("authorization", &bearer)], b"").unwrap();
    (answer.status, answer.body)
}

#[test]
fn the_command_line_takes_a_server_through_its_life() {
    let server = hostile::start(Era::Handshake, |_, _| {});
    let world = World::new(None, "servers: {}");
    let gateway = world.start();
    let admin = format!("http://{}", gateway.admin);
    let run = |who: &str, words: &[&str]| {
        let output = crate::support::doorward()
            .args(words)
            .args(["--admin-url", &admin])
            .env("DOORWARD_KEY", world.key(who))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    let url = named(&server);
    let entry = world.folder.path().join("server.json");
    let write = |path: &Path, value: Value| std::fs::write(path, value.to_string()).unwrap();
    write(
        &entry,
        json!({ "name": "com.acme/tickets", "description": "x", "version": "1.0.0",
        "remotes": [{ "type": "streamable-http", "url": url }] }),
    );
    let file = entry.to_str().unwrap();
    let propose = [
        "servers",
        "propose",
        "tickets",
        "--registry-entry",
        file,
        "--owner",
        "support",
        "--reason",
        "help desk",
    ];
    let (code, out) = run("alice", &propose);
    assert_eq!((code, out.as_str()), (0, "tickets is proposed (revision 1)\n"));
    // Programs that a client's file or a registry's package would run are not proposed.
    let client = world.folder.path().join("mcp.json");
    write(&client, json!({ "mcpServers": { "files": { "command": "npx", "args": ["-y", "x"] } } }));
    let propose = ["servers", "propose", "files", "--client-file", client.to_str().unwrap()];
    let (code, out) = run("alice", &propose);
    assert!(code == 5 && out.contains("settings.command"), "{code} {out}");
    let (code, out) = run("carol", &["servers", "review", "tickets", "--look", "--allow-private"]);
    assert_eq!(code, 0, "{out}");
    for told in [
        "Tool echo (writes, destructive, open world, no annotations)",
        "\"inputSchema\"",
        "user dave; 2 tools: echo, bad",
        "owner: support",
        &url,
    ] {
        assert!(out.contains(told), "{told}: {out}");
    }
    let (code, out) = run("bob", &["servers", "approve", "tickets", "--revision", "1"]);
    assert!(code == 5 && out.contains("changed"), "{out}");
    for (who, step, state) in [
        ("bob", "approve", "approved"),
        ("carol", "activate", "active"),
        ("carol", "deprecate", "deprecated"),
        ("carol", "quarantine", "quarantined"),
        ("bob", "release", "deprecated"),
        ("carol", "retire", "retired"),
    ] {
        let (code, out) = run(who, &["servers", step, "tickets", "--reason", "so"]);
        assert!(code == 0 && out.contains(&format!("tickets is {state} (")), "{step}: {out}");
    }
    let (code, out) = run("bob", &["servers", "history", "tickets"]);
    assert!(code == 0 && out.contains("help desk") && out.lines().count() == 9, "{out}");
}
