//! `doorward apply` and `doorward export`, on the store and over the admin API.
#![allow(clippy::unwrap_used)]

use std::path::Path;

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
        // What is exported is applied without a change.
        let mut export = doorward();
        export.arg("export").args(place).env("DOORWARD_STORE", store_in(gateway.folder.path()));
        let exported = export.output().unwrap();
        write(files.path(), "exported.yaml", &String::from_utf8_lossy(&exported.stdout));
        let exported = files.path().join("exported.yaml");
        let (status, nothing, said) =
            apply(&gateway, place, &["-f", exported.to_str().unwrap(), "--check"]);
        assert_eq!((status, nothing.as_str()), (0, "nothing to change\n"), "{said}");
        std::fs::remove_file(&exported).unwrap();
        // An update says what differs; what is not named any more goes only when asked to.
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
        ("listen: 127.0.0.1:1", "listen"),
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
