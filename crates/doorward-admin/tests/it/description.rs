//! The OpenAPI description that is checked in.

use std::collections::BTreeSet;
use std::path::Path;

use doorward_admin::{openapi, routes};
use serde_json::Value;

#[test]
fn the_description_that_is_checked_in_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin-api.json");
    let current = format!("{:#}\n", openapi::description());
    if std::env::var_os("DOORWARD_WRITE_DESCRIPTION").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == current,
        "docs/admin-api.json is out of date: run the test with DOORWARD_WRITE_DESCRIPTION=1"
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_one_id() {
    let description = openapi::description();
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
    let ids: Vec<&str> = routes::all().iter().map(|route| route.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
fn every_parameter_of_a_path_is_a_member_of_the_input() {
    for route in routes::all() {
        let input = (route.input)(&mut schemars::SchemaGenerator::default());
        for name in route.path_parameters() {
            assert!(input.pointer(&format!("/properties/{name}")).is_some(), "{route:?}: {name}");
        }
    }
}

#[test]
fn every_code_of_problems_and_every_action_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let api = std::fs::read_to_string(docs.join("admin-api.md")).unwrap();
    for code in doorward_admin::Code::ALL {
        let (code, status, _) = code.parts();
        let row = format!("| `{code}` | {} |", status.as_u16());
        assert!(api.contains(&row), "docs/admin-api.md lacks {row}");
    }
    let roles = std::fs::read_to_string(docs.join("administrators.md")).unwrap();
    for action in doorward_policy::Action::ADMINISTER {
        assert!(roles.contains(&format!("| `{}` |", action.as_str())), "{action:?}");
    }
}
