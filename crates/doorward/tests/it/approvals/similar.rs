//! What approvers see of similar calls.

use super::world::{HOLD, World, id_of, url};
use crate::support::wait_for;
use serde_json::json;

#[test]
fn approvers_see_what_similar_calls_did() {
    let policies = format!(
        "{HOLD}permit (principal in Role::\"lead\", action == Action::\"view\", resource);\n\
         permit (principal in Role::\"viewer\", action == Action::\"view\", resource);"
    );
    let world = World::new(&policies);
    let gateway = world.start();
    let dana = world.key(&["--user", "dana", "--role", "lead", "--administer"]);
    let vic = world.key(&["--user", "vic", "--role", "viewer", "--administer"]);
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let ann = crate::support::client::Modern::new(&gateway, "/mcp/s").bearing(&key);
    let refused = id_of(&ann.call("get", url("a-secret-value")));
    world.decide(&gateway, &dana, &refused, "refuse", 200);
    let made = id_of(&ann.call("get", url("b")));
    assert!(!world.page(&gateway, &dana, &made).body.contains("a-secret-value"));
    world.decide(&gateway, &dana, &made, "approve", 200);
    assert_eq!(ann.call("get", url("b")).text(), "get");
    let id = id_of(&ann.call("get", url("c")));
    let page = world.page(&gateway, &dana, &id);
    assert_eq!(page.body.matches("Similar call").count(), 2, "{}", page.body);
    let newest = "approved by dana; outcome: ok; other values of url";
    let older = "refused by dana; other values of url";
    let (first, second) = (page.body.find(newest), page.body.find(older));
    assert!(first.is_some() && first < second, "{}", page.body);
    // Not the values, and nothing for the caller.
    assert!(!page.body.contains("a-secret-value"), "{}", page.body);
    let own = world.page(&gateway, &key, &id);
    assert!(own.status == 200 && !own.body.contains("Similar call"), "{}", own.body);
    // On the command line, and at the admin API for whoever sees the arguments.
    let shown = world.told(&["approvals", "show", &id]);
    assert!(shown.contains(newest) && shown.contains(older), "{shown}");
    let path = format!("/admin/v1/approvals/{id}");
    wait_for("the key is known", || world.admin(&gateway, &vic, "GET", &path).0 == 200);
    assert!(world.admin(&gateway, &vic, "GET", &path).1.get("similar").is_none());
    let (_, seen) = world.admin(&gateway, &dana, "GET", &path);
    let ids: Vec<_> = seen["similar"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(made), &json!(refused)], "{seen}");
    let first = &seen["similar"][0];
    assert_eq!((&first["approved"], &first["outcome"]), (&json!(true), &json!("ok")));
    assert_eq!((&first["by"], &first["differs"]), (&json!(["dana"]), &json!(["url"])));
    // Another caller has no history.
    let bob = world.client(&gateway, &["--user", "bob"]);
    let id = id_of(&bob.call("get", url("c")));
    assert!(!world.page(&gateway, &dana, &id).body.contains("Similar call"));
}
