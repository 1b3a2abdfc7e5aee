//! The OpenAPI description that is checked in.

use std::collections::BTreeSet;
use std::path::Path;

use doorward_portal::{description, routes};

#[test]
fn the_description_that_is_checked_in_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/portal-api.json");
    let current = format!("{:#}\n", description());
    if std::env::var_os("DOORWARD_WRITE_DESCRIPTION").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == current,
        "docs/portal-api.json is out of date: run the test with DOORWARD_WRITE_DESCRIPTION=1"
    );
}

#[test]
fn operations_are_the_callers_own_and_below_one_path() {
    for route in routes() {
        assert!(route.is_own, "{route:?}: it would need an action of administrators");
        assert!(route.path.starts_with("/portal/v1/"), "{route:?}");
        let input = (route.input)(&mut schemars::SchemaGenerator::default());
        for name in route.path_parameters() {
            assert!(input.pointer(&format!("/properties/{name}")).is_some(), "{route:?}: {name}");
        }
    }
    let ids: Vec<&str> = routes().iter().map(|route| route.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}
