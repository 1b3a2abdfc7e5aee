//! `doorward approvals` and the admin API.

use super::world::{HOLD, World, id_of, url};
use crate::support::wait_for;
use serde_json::Value;

#[test]
fn the_machine_and_administrators_decide() {
    let policies = format!(
        "{HOLD}permit (principal in Role::\"lead\", action == Action::\"view\", resource);\n\
         permit (principal in Role::\"viewer\", action == Action::\"view\", resource);"
    );
    let world = World::new(&policies);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let id = id_of(&ann.call("get", url("a")));
    let list = world.told(&["approvals", "list"]);
    assert!(list.contains(&id) && list.contains("role:lead") && list.contains("ann"), "{list}");
    let shown = world.told(&["approvals", "show", &id]);
    assert!(shown.contains("{\"url\":\"a\"}") && shown.contains("Getting needs a lead"), "{shown}");
    let done = world.told(&["approvals", "approve", &id, "--reason", "fine"]);
    assert!(done.contains("get: approved"), "{done}");
    assert_eq!(ann.call("get", url("a")).text(), "get");
    let shown: Value =
        serde_json::from_str(&world.told(&["approvals", "show", &id, "--json"])).unwrap();
    assert_eq!(shown["state"], "used");
    assert!(shown["votes"][0]["by"].as_str().unwrap().starts_with("machine:"), "{shown}");
    // At the admin API, those whom the policy names decide; others who may see it do not, and see no arguments.
    let dana = world.key(&["--user", "dana", "--role", "lead", "--administer"]);
    let vic = world.key(&["--user", "vic", "--role", "viewer", "--administer"]);
    let id = id_of(&ann.call("get", url("b")));
    let path = format!("/admin/v1/approvals/{id}");
    wait_for("the keys are known", || world.admin(&gateway, &vic, "GET", &path).0 == 200);
    let (_, seen) = world.admin(&gateway, &vic, "GET", &path);
    assert_eq!((&seen["can_decide"], seen.get("arguments")), (&Value::Bool(false), None));
    let refuse = format!("{path}/refuse");
    assert_eq!(world.admin(&gateway, &vic, "POST", &refuse).0, 403);
    let (_, seen) = world.admin(&gateway, &dana, "GET", &path);
    assert_eq!(seen["arguments"], "{\"url\":\"b\"}");
    let admin = format!("http://{}", gateway.admin);
    let at = ["--admin-url", &admin, "--key", &dana];
    let done =
        world.told(&[&["approvals", "refuse", &id, "--reason", "not today"], &at[..]].concat());
    assert!(done.contains("get: refused"), "{done}");
    assert!(ann.call("get", url("b")).body.contains("not today"));
    assert_eq!(world.admin(&gateway, &dana, "POST", &format!("{path}/approve")).0, 409);
    let (_, list) = world.admin(&gateway, &vic, "GET", "/admin/v1/approvals?state=all");
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(world.admin(&gateway, &vic, "GET", "/admin/v1/approvals?state=x").0, 400);
    assert_eq!(world.called().len(), 1);
}

#[test]
fn so_many_calls_of_a_caller_wait() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    for number in 0..20 {
        id_of(&ann.call("get", url(&number.to_string())));
    }
    let more = ann.call("get", url("more"));
    assert_eq!(more.kind(), "overloaded", "{}", more.body);
    assert!(more.body.contains("20 calls are waiting"), "{}", more.body);
    let bob = world.client(&gateway, &["--user", "bob"]);
    id_of(&bob.call("get", url("more")));
    assert!(world.called().is_empty());
}
