//! Arguments that an approver has set: validated, run once in the place of the caller's, told and recorded.

use super::world::{HOLD, World, id_of, url};
use crate::support::doorward;
use crate::support::login::sealed;
use serde_json::{Value, json};

fn policies() -> String {
    let hold = HOLD.replace("@id(\"hold\")", "@id(\"hold\") @approval_edit(\"url, note\")");
    format!(
        "{hold}@id(\"evil\") @arguments(\"url?: String\")\n\
         forbid (principal, action == Action::\"call\", resource == Tool::\"s/get\")\n\
         when {{ context.arguments has url && context.arguments.url == \"evil\" }};\n\
         permit (principal in Role::\"lead\", action == Action::\"view\", resource);\n"
    )
}

#[test]
fn what_an_approver_sets_runs_once_in_the_place_of_the_callers() {
    let world = World::new(&policies());
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.key(&["--user", "dana", "--role", "lead", "--administer"]);
    let id = id_of(&ann.call("get", url("<a>")));
    // At the page: a field for each argument that may be edited.
    let mut browser = world.browser(&gateway, &dana, &id);
    let path = format!("/approvals/{id}");
    let page = browser.get(&gateway, &path);
    for part in
        ["name=\"edit.url\" value=\"&lt;a&gt;\"", "url (text)", "name=\"edit.note\" value=\"\""]
    {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let form = sealed(&page.body);
    let decide = |browser: &mut crate::support::login::Browser, more: &[(&str, &str)]| {
        let fields = [("request", &*form), ("decision", "approve"), ("edits", "yes")];
        browser.post(&gateway, &path, &[&fields[..], more].concat(), &[])
    };
    // What does not fit the tool, and what is no JSON, is not approved.
    let wrong = decide(&mut browser, &[("edit.url", "<a>"), ("edit.note", "not JSON")]);
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    assert!(wrong.body.contains("is not JSON"), "{}", wrong.body);
    let done = decide(&mut browser, &[("edit.url", "b")]);
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(browser.get(&gateway, &path).body.contains("url = &quot;b&quot;"));
    let answer = ann.call("get", url("<a>"));
    let result = answer.result();
    assert_eq!(result["_meta"]["doorward/approval"]["edited"], url("b"), "{result}");
    let told = result["content"][1]["text"].as_str().unwrap();
    assert_eq!(told, "An approver has changed arguments of this call: url = \"b\"");
    assert_eq!(world.called()[0]["arguments"], url("b"));
    // Once.
    assert_ne!(id_of(&ann.call("get", url("<a>"))), id);
    assert_eq!(world.called().len(), 1);
    let records = world.told(&["audit", "search", "--json"]);
    let of = |name: &str| -> Value {
        let line =
            records.lines().find(|line| line.contains(&format!("\"act\":\"{name}\""))).unwrap();
        serde_json::from_str(line).unwrap()
    };
    assert_eq!(of("approval.approve")["details"]["edited"], json!(["url"]));
    let used = of("approval.use");
    let digests = [&used["details"]["digest"], &used["details"]["edited_digest"]];
    assert!(digests.iter().all(|digest| digest.is_string()) && digests[0] != digests[1], "{used}");
    assert!(records.contains("\"edited\":[\"url\"]"), "{records}");
}

#[test]
fn what_is_edited_is_held_against_the_tool_and_the_policies_again() {
    let world = World::new(&policies());
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.known_key(&gateway, &["--user", "dana", "--role", "lead", "--administer"]);
    let id = id_of(&ann.call("get", url("a")));
    let approve = |id: &str, edits: Value| {
        let path = format!("/admin/v1/approvals/{id}/approve");
        gateway.administer(&dana, "POST", &path, &json!({ "edits": edits }))
    };
    let (status, seen) =
        gateway.administer(&dana, "GET", &format!("/admin/v1/approvals/{id}"), &Value::Null);
    assert_eq!((status, &seen["editable"]), (200, &json!(["url", "note"])), "{seen}");
    for (edits, status, said) in
        [(json!({ "url": 5 }), 400, "/url"), (json!({ "other": "x" }), 409, "@approval_edit")]
    {
        let (found, problem) = approve(&id, edits);
        assert!(found == status && problem.to_string().contains(said), "{found} {problem}");
    }
    assert_eq!(approve(&id, json!({ "url": "evil" })).0, 200);
    // The policies do not permit it: nothing runs, and the approval has ended.
    let denied = ann.call("get", url("a"));
    assert!(denied.json().get("result").is_none(), "{}", denied.body);
    assert!(world.called().is_empty());
    assert!(world.told(&["approvals", "show", &id]).contains("ended"));
    let next = id_of(&ann.call("get", url("a")));
    assert_ne!(next, id);
    // On the database alone nobody knows the tool: nothing is decided, whatever is set.
    for edit in ["url=5", "url=\"c\""] {
        let alone = ["approvals", "approve", &next, "--set", edit];
        let refused = doorward().args(alone).env("DOORWARD_STORE", &world.store).output().unwrap();
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && why.contains("--admin-url"), "{why}");
    }
    assert_eq!(id_of(&ann.call("get", url("a"))), next);
    let admin = format!("http://{}", gateway.admin);
    let edits = ["--set", "url=\"c\"", "--set", "note={\"x\":1}", "--admin-url", &admin];
    let approve = ["approvals", "approve", &next];
    world.told(&[&approve[..], &edits[..], &["--key", &dana][..]].concat());
    assert!(world.told(&["approvals", "show", &next]).contains("url = \"c\""));
    assert_eq!(ann.call("get", url("a")).text(), "get");
    assert_eq!(world.called()[0]["arguments"], json!({ "url": "c", "note": { "x": 1 } }));
}

#[test]
fn what_is_edited_is_inspected_again() {
    let world = World::new(&format!(
        "{}@id(\"mail\") forbid (principal, action == Action::\"call\", resource)\n\
         when {{ context.data.contains(\"email\") }};\n",
        policies()
    ));
    let gateway = world.start_with("inspection: {arguments: {data: {classes: {card: refuse}}}}\n");
    let ann = world.client(&gateway, &["--user", "ann"]);
    // The policies ask what the edited arguments contain, and what is not to pass does not.
    let dana = world.known_key(&gateway, &["--user", "dana", "--role", "lead", "--administer"]);
    for edited in ["ann.lee@acme.example", "4111 1111 1111 1111"] {
        let id = id_of(&ann.call("get", url("a")));
        let path = format!("/admin/v1/approvals/{id}/approve");
        let edits = json!({ "edits": { "url": edited } });
        assert_eq!(gateway.administer(&dana, "POST", &path, &edits).0, 200);
        let refused = ann.call("get", url("a"));
        assert!(refused.json().get("result").is_none(), "{edited}: {}", refused.body);
        assert!(world.told(&["approvals", "show", &id]).contains("ended"), "{edited}");
    }
    assert!(world.called().is_empty());
}
