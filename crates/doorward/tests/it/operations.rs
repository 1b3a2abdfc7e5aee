//! Operations of the admin API that are also commands: they return the same on the store and over HTTP.
#![allow(clippy::unwrap_used)]

use std::process::Output;

use serde_json::{Value, json};

use crate::support::client::{JSON, Modern, send};
use crate::support::services::free_port;
use crate::support::{Gateway, doorward, folder, store_in, wait_for};

const MASTER: &str = "a master key of the tests, of 40 letters";

struct World {
    gateway: Gateway,
    admin: String,
}

impl World {
    fn start(more: &str) -> Self {
        let gateway = Gateway::start(&format!(
            "store_key: '{MASTER}'\npolicy: {{zone: Europe/Berlin}}\nservers: {{sample: {{sample: true}}}}\n{more}"
        ));
        let admin = gateway.key(&["--user", "root", "--admin"]);
        Self { gateway, admin }
    }

    fn run(&self, words: &[&str], place: &[&str]) -> Output {
        let mut command = doorward();
        command.args(words).args(place);
        command.env("DOORWARD_STORE", store_in(self.gateway.folder.path())).output().unwrap()
    }

    fn on_store(&self, words: &[&str]) -> Output {
        let config = self.gateway.config.to_str().unwrap();
        self.run(words, &["--config", config])
    }

    fn over_http(&self, words: &[&str]) -> Output {
        let url = format!("http://{}", self.gateway.admin);
        self.run(words, &["--admin-url", &url, "--key", &self.admin])
    }

    /// The output, which must be the same both ways.
    fn both(&self, words: &[&str]) -> String {
        let said = |output: &Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (store, http) = (said(&self.on_store(words)), said(&self.over_http(words)));
        assert_eq!(store, http, "{words:?}");
        assert_eq!(store.0, Some(0), "{words:?}: {}", store.2);
        store.1
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.admin);
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let path = format!("/admin/v1{path}");
        let answer = send(&self.gateway.admin, method, &path, &headers, body.as_bytes()).unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

fn write(folder: &std::path::Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn commands_give_the_same_on_the_store_and_over_http() {
    let world = World::start("billing: {prices: {all: {tools: '*', call: 1}}}\n");
    let gateway = &world.gateway;
    let files = folder();
    let open = write(files.path(), "open.cedar", "permit (principal, action, resource);");
    let none = write(files.path(), "none.cedar", "forbid (principal, action, resource);");
    gateway.told(&["policy", "apply", &open, "--note", "open"]);
    gateway.told(&["policy", "apply", &none, "--note", "none"]);
    gateway.told(&["policy", "rollback"]);
    let alice = gateway.key(&["--user", "alice", "--in-tenant", "acme"]);
    gateway.told(&["credits", "grant", "--tenant", "acme", "100"]);
    let client = Modern::new(gateway, "/mcp").bearing(&alice);
    wait_for("the policies let everything pass", || {
        client.call("sample__add", json!({ "a": 1, "b": 2 })).status == 200
    });
    for server in ["one", "two"] {
        let mut command = doorward();
        command.args(["credentials", "set", server, "--user", "alice"]);
        command.env("DOORWARD_STORE", store_in(gateway.folder.path()));
        command.env("DOORWARD_STORE_KEY", MASTER).stdin(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"secret").unwrap();
        assert!(child.wait().unwrap().success());
    }
    // Compare only after the usage has been stored, which could happen between the two commands.
    wait_for("what was used is counted", || gateway.told(&["usage"]).contains("acme"));
    assert!(world.both(&["usage"]).contains("acme"));
    for words in [
        &["usage", "--by", "user,server,tool,day", "--format", "csv"][..],
        &["usage", "--format", "json", "--tenant", "acme"],
        &["usage", "--invoice", "2026-11"],
        &["credentials", "list"],
        &["credentials", "list", "--json"],
        &["policy", "versions"],
        &["policy", "versions", "--json"],
        &["policy", "show"],
        &["policy", "show", "2"],
        &["policy", "diff", &none],
        &["policy", "diff", &open],
        &["policy", "explain", "--user", "a", "--tool", "sample/add", "--time", "mon 09:30"],
        &["policy", "explain", "--user", "a", "--tool", "x/y", "--json", "--time", "mon 09:30"],
        &["policy", "simulate", &none],
        &["policy", "simulate", &none, "--json", "--zone", "Asia/Tokyo"],
        &["audit", "search", "--user", "alice"],
        &["audit", "search", "--class", "acts", "--json", "--limit", "3"],
        &["audit", "tail", "--class", "acts"],
        &["audit", "key"],
        &["audit", "holds", "--all"],
        &["audit", "exports"],
        &["audit", "retain"],
        &["limits", "list", "--json"],
        &["prices", "--json"],
        &["credits", "entries", "--tenant", "acme", "--limit", "3000"],
        &["credits", "entries", "--tenant", "acme", "--limit", "3000", "--json"],
        &["credits", "entries", "--tenant", "acme", "--limit", "1"],
        &["export"],
    ] {
        world.both(words);
    }
    let call = world.both(&["audit", "search", "--user", "alice", "--json"]);
    let call: Value = serde_json::from_str(call.lines().next().unwrap()).unwrap();
    let shown = world.both(&["audit", "show", call["id"].as_str().unwrap()]);
    assert!(shown.contains("\"tool\"") || shown.contains("sample"), "{shown}");
    // The log grows between the two commands, so compare only what does not grow.
    for words in [&["audit", "verify"][..], &["audit", "verify", "--json"]] {
        for output in [world.on_store(words), world.over_http(words)] {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let export = |place: &[&str], name: &str| {
        let path = files.path().join(name).to_str().unwrap().to_owned();
        let words = ["audit", "export", "--until", "2026-11-01", "--output", &path];
        assert!(world.run(&words, place).status.success());
        let all = ["audit", "export", "--output", &path];
        assert!(world.run(&all, place).status.success());
        path
    };
    let url = format!("http://{}", gateway.admin);
    let exported = export(&["--admin-url", &url, "--key", &world.admin], "exported.jsonl");
    let key = world.both(&["audit", "key"]);
    let verified = gateway.told(&["audit", "verify", &exported, "--public-key", key.trim()]);
    assert!(verified.contains("the audit log is intact"), "{verified}");
}

#[test]
fn an_evidence_pack_is_the_same_either_way() {
    let world = World::start("");
    let files = folder();
    let pack = |name: &str, output: &dyn Fn(&[&str]) -> Output| {
        let path = files.path().join(name).to_str().unwrap().to_owned();
        let words = ["evidence", "--from", "2026-01-01", "--output", &path];
        let made = output(&words);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read =
            |file: &str| std::fs::read_to_string(files.path().join(name).join(file)).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let same = ["access-review.csv", "keys.csv", "grants.csv", "administration.jsonl"];
        (names, same.map(&read), read("record-verification.json"))
    };
    let store = pack("store", &|words| world.on_store(words));
    let http = pack("http", &|words| world.over_http(words));
    assert_eq!((store.0.len(), &store.0, &store.1), (10, &http.0, &http.1));
    for verified in [&store.2, &http.2] {
        let verified: Value = serde_json::from_str(verified).unwrap();
        assert_eq!(verified["whole"], true);
        assert!(verified["keys"].as_object().unwrap().len() == 1, "{verified}");
    }
}

#[test]
fn limits_and_what_is_used_of_them_are_shown() {
    let world = World::start(
        "rate_limits:\n  rules:\n    calls: {per: [tenant, user], daily: 10, window: 8/h}\n    \
         all: {monthly: 1000}\nbilling: {prices: {add: {tools: 'sample/add', call: 1}, old: {tools: '*', call: 2}, \
         new: {tools: '*', from: '2999-01-01', call: 3}}}\n",
    );
    let gateway = &world.gateway;
    let listed = world.get("/limits");
    assert_eq!(listed["items"][1]["name"], "calls");
    assert_eq!(listed["items"][1]["source"], "rate_limits.rules.calls");
    assert_eq!(listed["items"][1]["limit"]["daily"], 10);
    for (user, tenant, calls) in [("alice", "acme", 3), ("bob", "acme", 1), ("eve", "rival", 8)] {
        let key = gateway.key(&["--user", user, "--in-tenant", tenant]);
        let client = Modern::new(gateway, "/mcp").bearing(&key);
        for _ in 0..calls {
            assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 2 })).status, 200);
        }
    }
    let used = world.get("/limits/use?name=calls");
    let row = |used: &Value, at: usize| {
        let row = &used["items"][at];
        (row["subject"].clone(), row["measures"][1]["used"].clone())
    };
    assert_eq!(row(&used, 0), (json!("acme/alice"), json!(3)), "{used}");
    assert_eq!(row(&used, 2), (json!("rival/eve"), json!(8)));
    let measure = &used["items"][0]["measures"][0];
    assert_eq!(measure["measure"], "window");
    assert_eq!((&measure["bound"], &measure["remaining"]), (&json!(8), &json!(5)));
    assert!(measure["resets_in_ms"].as_u64().unwrap() <= 3_600_000);
    assert_eq!(used["items"][0]["counts"], json!({ "tenant": "acme", "user": "alice" }));
    let first = world.get("/limits/use?limit=1");
    assert_eq!(first["items"][0]["measures"][0]["used"], 12);
    let next = first["next_cursor"].as_str().unwrap();
    let next = world.get(&format!("/limits/use?limit=2&cursor={next}"));
    assert_eq!(row(&next, 1).0, "acme/bob");
    assert_eq!(world.get("/limits/use?percent=90")["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/limits/use?tenant=rival")["items"].as_array().unwrap().len(), 1);
    let prices = world.get("/prices");
    assert_eq!(prices["items"].as_array().unwrap().len(), 3);
    assert_eq!(prices["items"][1]["begun"], false);
    let price = world.get("/prices?tool=sample/add");
    assert_eq!(
        (&price["items"][0]["name"], price["items"].as_array().unwrap().len()),
        (&json!("add"), 1)
    );
    assert_eq!(world.get("/prices?tool=sample/echo")["items"][0]["source"], "billing.prices.old");
    let used = world.over_http(&["limits", "use", "calls", "--percent", "90"]);
    let used = String::from_utf8_lossy(&used.stdout).into_owned();
    assert!(used.contains("rival/eve") && !used.contains("acme"), "{used}");
    let limits = world.both(&["limits", "list"]);
    assert!(limits.contains("10 a day") && limits.contains("rate_limits.rules.calls"), "{limits}");
    assert!(world.both(&["prices", "--tool", "sample/add"]).contains("1 a call"));
    // A command on the store sees quotas only after a gateway has stored them.
    wait_for("they are stored", || {
        let used = world.on_store(&["limits", "use", "calls", "--json"]);
        let used: Value = serde_json::from_slice(&used.stdout).unwrap();
        used[2]["measures"][1]["used"] == 8
    });
    // An administrator of a single tenant must name it.
    let admin = ["--user", "tom", "--in-tenant", "acme", "--role", "tenant-admin", "--administer"];
    let tom = gateway.key(&admin);
    let files = folder();
    let roles = doorward_policy::ready_made::find("administrators").unwrap().policies;
    gateway.told(&["policy", "apply", &write(files.path(), "roles.cedar", roles)]);
    let seen = |path: &str| {
        let bearer = format!("Bearer {tom}");
        send(&gateway.admin, "GET", path, &[("authorization", &bearer)], b"").unwrap().status
    };
    wait_for("the roles hold", || seen("/admin/v1/limits/use?tenant=acme") == 200);
    assert_eq!(seen("/admin/v1/limits/use"), 403);
    assert_eq!(seen("/admin/v1/limits/use?tenant=rival"), 404);
    assert_eq!(seen("/admin/v1/limits"), 403);
}

#[test]
fn an_export_that_fails_is_behind_and_says_why() {
    let dead = free_port();
    let world = World::start(&format!(
        "audit: {{exports: {{good: {{every: 50ms, file: {{path: out.jsonl}}}}, siem: {{every: 50ms, \
         http: {{url: 'http://127.0.0.1:{dead}/'}}}}}}}}\n"
    ));
    world.gateway.key(&["--user", "alice"]);
    let exports = || world.get("/audit/exports")["items"].clone();
    wait_for("it is known to be behind", || {
        let all = exports();
        all[1]["error"].is_string() && all[0]["behind"] == 0 && all[0]["delivered"] != 0
    });
    let all = exports();
    assert_eq!((&all[0]["kind"], &all[1]["kind"]), (&json!("file"), &json!("http")));
    assert_eq!((&all[0]["here"], &all[0]["error"]), (&json!(true), &Value::Null));
    assert!(all[1]["behind"].as_i64().unwrap() > 0 && all[1]["delivered"] == 0, "{all}");
    assert!(all[1]["oldest"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(all[1]["chains"][0]["delivered"], 0);
    // A command on the store cannot report what only the running gateway knows.
    let told = world.on_store(&["audit", "exports"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("siem") && told.contains("http"), "{told}");
}

#[test]
fn groups_are_renamed_and_secrets_are_rekeyed_over_http() {
    let world = World::start("");
    let gateway = &world.gateway;
    gateway.key(&["--user", "alice", "--in-team", "old"]);
    let put = json!({ "secret": "s3cret" });
    assert_eq!(world.ask("PUT", "/credentials/mail/team/old", &put).0, 200);
    let rename = |to: &str, query: &str| {
        world.ask("POST", &format!("/principals/team/old/rename{query}"), &json!({ "to": to }))
    };
    let (status, rehearsed) = rename("new", "?dry_run=true");
    assert_eq!((status, rehearsed["places"].as_u64()), (200, Some(2)), "{rehearsed}");
    assert_eq!(rename("new", "").0, 200);
    assert_eq!(rename("other", "").0, 404);
    let alice = world.get("/principals/user/alice");
    assert_eq!(alice["teams"], json!(["new"]), "{alice}");
    assert!(world.both(&["credentials", "list"]).contains("team \"new\""));
    // Renaming a group must not grant permissions that the caller may not grant.
    let files = folder();
    let roles = doorward_policy::ready_made::find("administrators").unwrap().policies.to_owned()
        + "permit (principal in Team::\"bosses\", action in Action::\"administer\", resource);\n\
           permit (principal == User::\"clerk\", action in [Action::\"view\", Action::\"manage_identities\"], resource);\n";
    gateway.told(&["policy", "apply", &write(files.path(), "roles.cedar", &roles)]);
    let clerk = format!("Bearer {}", gateway.key(&["--user", "clerk", "--administer"]));
    let clerk = |path: &str, body: Value| {
        let headers = [JSON[0], ("authorization", clerk.as_str())];
        let body = body.to_string();
        send(&gateway.admin, "POST", path, &headers, body.as_bytes()).unwrap().status
    };
    let path = "/admin/v1/principals/team/new/rename";
    wait_for("the roles hold", || clerk(path, json!({ "to": "crew" })) == 200);
    assert_eq!(clerk("/admin/v1/principals/team/crew/rename", json!({ "to": "bosses" })), 403);
    let key = json!({ "new_key": "another master key of 32 characters!" });
    assert_eq!(clerk("/admin/v1/credentials/rekey", key.clone()), 403, "only owners");
    let rekey =
        |query: &str, body: &Value| world.ask("POST", &format!("/credentials/rekey{query}"), body);
    assert_eq!(rekey("", &json!({ "new_key": "short" })).0, 400);
    let count = rekey("?dry_run=true", &key).1["secrets"].as_u64().unwrap();
    assert!(count >= 1);
    assert_eq!(rekey("", &key).1["secrets"], count);
    // The old key no longer decrypts anything, and nothing is encrypted twice.
    assert_eq!(rekey("", &key).0, 409);
}
