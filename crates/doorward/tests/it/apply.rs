//! `doorward apply` and `doorward export`, on the store and over the admin API.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::json;

use crate::support::client::{Modern, send};
use crate::support::{Gateway, doorward, folder, store_in};

const TEAM: &str = "directory:\n  tenants: {acme: {}}\n  teams: {support: {}}\n  users:\n    \
    alice: {tenant: acme, teams: [support]}\nportals:\n  desk: {tools: [sample/add]}\n\
    budgets:\n  team/support: {amount: 25, period: month}\n";

fn apply(gateway: &Gateway, place: &[&str], words: &[&str]) -> (i32, String, String) {
    let mut command = doorward();
    command
        .arg("apply")
        .args(place)
        .args(words)
        .env("DOORWARD_STORE", store_in(gateway.folder.path()));
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn resources_are_planned_applied_and_pruned() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let url = format!("http://{}", gateway.admin);
    let on_store: &[&str] = &[];
    let over_api: &[&str] = &["--admin-url", &url, "--key", &admin];
    for (at, place) in [on_store, over_api].into_iter().enumerate() {
        let files = folder();
        let team =
            TEAM.replace("support", &format!("support{at}")).replace("desk", &format!("desk{at}"));
        write(files.path(), "team.yaml", &team);
        write(
            files.path(),
            "use.cedar",
            "permit (principal, action in Action::\"use\", resource);",
        );
        let path = files.path().to_str().unwrap();
        let (status, plan, _) = apply(&gateway, place, &["-f", path, "--check"]);
        assert_eq!(status, 2, "{plan}");
        assert!(plan.contains(&format!("+ portal desk{at}")), "{plan}");
        let (status, same, said) = apply(&gateway, place, &["-f", path]);
        assert_eq!((status, &same), (0, &plan), "{said}");
        let (status, nothing, _) = apply(&gateway, place, &["-f", path, "--check"]);
        assert_eq!((status, nothing.as_str()), (0, "nothing to change\n"));
        // An exported configuration can be applied without a change.
        let mut export = doorward();
        export.arg("export").args(place).env("DOORWARD_STORE", store_in(gateway.folder.path()));
        let exported = export.output().unwrap();
        write(files.path(), "exported.yaml", &String::from_utf8_lossy(&exported.stdout));
        let exported = files.path().join("exported.yaml");
        let (status, nothing, said) =
            apply(&gateway, place, &["-f", exported.to_str().unwrap(), "--check"]);
        assert_eq!((status, nothing.as_str()), (0, "nothing to change\n"), "{said}");
        std::fs::remove_file(&exported).unwrap();
        // An update lists what differs. Entries that are no longer named are removed only with `--prune`.
        write(
            files.path(),
            "team.yaml",
            &team
                .replace("amount: 25", "amount: 30")
                .replace(&format!("portals:\n  desk{at}: {{tools: [sample/add]}}\n"), ""),
        );
        let (_, plan, _) = apply(&gateway, place, &["-f", path, "--check"]);
        assert!(plan.contains("/amount: \"25\" -> \"30\"") && !plan.contains("- portal"), "{plan}");
        let (_, plan, _) = apply(&gateway, place, &["-f", path, "--check", "--prune"]);
        assert!(plan.contains(&format!("- portal desk{at}")), "{plan}");
        let (status, _, said) = apply(&gateway, place, &["-f", path, "--prune"]);
        assert_eq!(status, 0, "{said}");
    }
    let acts = gateway.told(&["audit", "search", "--text", "portal.put", "--json"]);
    assert!(acts.contains("\"via\":\"admin\"") && acts.contains("\"via\":\"machine\""), "{acts}");
}

#[test]
fn mistakes_are_found_before_anything_changes() {
    let gateway = Gateway::start(
        "servers: {sample: {sample: true}}\nportals: {fixed: {tools: [sample/add]}}",
    );
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let url = format!("http://{}", gateway.admin);
    let place = ["--admin-url", url.as_str(), "--key", &admin];
    let files = folder();
    let path = files.path().to_str().unwrap();
    for (text, said) in [
        ("portals: {desk: {tool: []}}", "portals.desk"),
        ("listen: 127.0.0.1:1", "'listen' is part of the configuration file alone"),
        (
            "rate_limits: {rules: {a: {daily: 1}}}",
            "'rate_limits' is part of the configuration file",
        ),
        ("billing: {prices: {a: {call: 1}}}", "'billing' is part of the configuration file alone"),
        ("limits: {body: 1MiB}", "'limits' is part of the configuration file alone"),
        ("prices: {a: {call: 1}}", "there is no kind of resources 'prices'"),
        ("servers: {a: {command: sh}}", "only the configuration file may say it"),
        ("servers: {a: {url: 'http://10.0.0.1/'}}", "servers.a"),
        ("servers: {sample: {url: 'https://a.example/'}}", "has a server 'sample'"),
        ("servers: {status: {url: 'https://a.example/'}}", "servers.status: name"),
        ("portals: {fixed: {tools: [sample/echo]}}", "defined in the configuration"),
        ("budgets: {tenant/acme: {amount: 1, period: day}}", "team/support"),
        ("policies: {a.cedar: 'permit (principal, action, resource) when { x };'}", "a.cedar:1"),
        ("portals: {a: {tools: [sample/add]}}\ndirectory: {users: {\"a\\u200b\": {}}}", "visible"),
        ("a: [", "team.yaml"),
    ] {
        write(files.path(), "team.yaml", text);
        let (status, _, why) = apply(&gateway, &place, &["-f", path]);
        assert_ne!(status, 0, "{text}");
        assert!(why.contains(said), "{text}: {why}");
    }
    write(files.path(), "team.yaml", "portals: {a: {tools: [sample/add]}}");
    write(files.path(), "twice.yaml", "portals: {a: {tools: [sample/add]}}");
    let (status, _, why) = apply(&gateway, &place, &["-f", path]);
    assert!(status == 3 && why.contains("defined twice"), "{why}");
    let (_, exported, _) = apply(&gateway, &place, &["-f", "/dev/null", "--check"]);
    assert_eq!(exported, "nothing to change\n");
    assert!(!gateway.told(&["export"]).contains("portals"));
}

const ROLES: &str = r#"
permit (principal, action in Action::"use", resource);
permit (principal == User::"ci", action in [Action::"view", Action::"propose"], resource);
permit (principal == User::"ops", action in [Action::"view", Action::"propose", Action::"review",
    Action::"approve", Action::"operate"], resource);
"#;

fn state(gateway: &Gateway, key: &str, name: &str) -> serde_json::Value {
    let bearer = format!("Bearer {key}");
    let path = format!("/admin/v1/servers/{name}");
    let answer = send(&gateway.admin, "GET", &path, &[("authorization", &bearer)], b"").unwrap();
    serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["state"].take()
}

#[test]
fn servers_become_proposals_unless_the_administrator_may_approve_them() {
    let other = Gateway::start("servers: {sample: {sample: true}}");
    let at = other.address.rsplit(':').next().unwrap();
    let server = format!("url: 'http://localhost:{at}/mcp/sample', owner: support");
    for four_eyes in [true, false] {
        let gateway = Gateway::start_with(
            &format!(
                "policy: {{files: [open.cedar, roles.cedar]}}\nreview: {{four_eyes: {four_eyes}}}\n\
                 servers: {{sample: {{sample: true}}}}"
            ),
            &[("roles.cedar", &roles())],
        );
        let ci = gateway.key(&["--user", "ci", "--administer"]);
        let ops = gateway.key(&["--user", "ops", "--administer"]);
        let caller = gateway.key(&["--user", "dave"]);
        let url = format!("http://{}", gateway.admin);
        let of = |key: &str| ["--admin-url".to_owned(), url.clone(), "--key".into(), key.into()];
        let apply = |key: &str, words: &[&str]| {
            let place = of(key);
            apply(&gateway, &place.each_ref().map(String::as_str), words)
        };
        let files = folder();
        let path = files.path().to_str().unwrap();
        let both = format!("servers:\n  tickets: {{{server}}}\n  orders: {{{server}}}\n");
        write(files.path(), "servers.yaml", &both);
        let (status, plan, said) = apply(&ci, &["-f", path, "--check"]);
        assert_eq!(status, 2, "{plan}{said}");
        assert!(plan.contains("+ server tickets (waits for a review)"), "{plan}");
        let (status, _, said) = apply(&ci, &["-f", path]);
        assert!(status == 0 && said.contains("server tickets is proposed: it waits"), "{said}");
        assert_eq!(state(&gateway, &ci, "tickets"), "proposed");
        // Whatever its review state, a proposal matches the file, and so does an export of it.
        let (_, same, _) = apply(&ops, &["-f", path, "--check"]);
        assert_eq!(same, "nothing to change\n");
        let mut export = doorward();
        let exported = export.arg("export").args(of(&ops)).output().unwrap();
        let exported = String::from_utf8_lossy(&exported.stdout).into_owned();
        assert!(exported.contains("tickets") && exported.contains("localhost"), "{exported}");
        write(files.path(), "servers.yaml", &exported);
        let (_, same, _) = apply(&ci, &["-f", path, "--check"]);
        assert_eq!(same, "nothing to change\n");
        // A proposal of another user is not replaced.
        write(files.path(), "servers.yaml", &both.replace("support", "sales"));
        let (status, _, said) = apply(&ops, &["-f", path]);
        assert!(status != 0 && said.contains("already proposed by"), "{said}");
        // A user with all permissions puts the server in use alone, unless review by two people is required.
        write(files.path(), "servers.yaml", &format!("servers:\n  mine: {{{server}}}\n"));
        let (_, plan, _) = apply(&ops, &["-f", path, "--check"]);
        assert_eq!(plan.contains("waits for a review"), four_eyes, "{plan}");
        let (status, _, said) = apply(&ops, &["-f", path, "--allow-private", "--note", "for us"]);
        assert_eq!(status, 0, "{said}");
        let reached = if four_eyes { "proposed" } else { "active" };
        assert!(said.contains(&format!("server mine is {reached}")), "{said}");
        assert_eq!(state(&gateway, &ops, "mine"), reached);
        let client = Modern::new(&gateway, "/mcp").bearing(&caller);
        let add = || client.call("mine__add", json!({ "a": 1, "b": 2 }));
        assert_eq!(add().json()["result"].is_object(), !four_eyes);
        if four_eyes {
            continue;
        }
        // A change takes the server out of use until it is reviewed, which the same user may do.
        let changed = server.replace("support", "sales");
        write(files.path(), "servers.yaml", &format!("servers:\n  mine: {{{changed}}}\n"));
        let (status, _, said) = apply(&ci, &["-f", path]);
        assert!(status != 0 && said.contains("'operate'"), "{said}");
        assert!(add().json()["result"].is_object(), "nothing was changed");
        // A server at a private address is not inspected unless that was allowed.
        let (status, _, said) = apply(&ops, &["-f", path]);
        assert!(status == 0 && said.contains("server mine is in_review:"), "{said}");
        assert!(!add().json()["result"].is_object());
        // Servers that were applied and are no longer in the files are rejected or retired.
        write(files.path(), "servers.yaml", "servers: {}");
        let (_, plan, _) = apply(&ops, &["-f", path, "--prune", "--check"]);
        let gone = ["mine", "orders", "tickets"].map(|name| format!("- server {name}"));
        assert!(gone.iter().all(|line| plan.contains(line)), "{plan}");
        let (status, _, said) = apply(&ops, &["-f", path, "--prune"]);
        assert_eq!((status, state(&gateway, &ops, "tickets")), (0, json!("retired")), "{said}");
    }
}

fn roles() -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apply-roles.cedar");
    std::fs::write(&path, ROLES).unwrap();
    path
}
