use super::*;
use serde_json::json;

#[test]
fn what_a_check_makes_of_arguments_has_one_meaning() {
    let body = Object::from_serde(&json!({"to": "a", "name": "n"})).unwrap();
    let patch = |patch: serde_json::Value| Change::Patch(Object::from_serde(&patch).unwrap());
    let ok = changed(&body, patch(json!({"to": "b", "Name2": 1}))).unwrap();
    assert_eq!(ok.to_serde(), json!({"to": "b", "name": "n", "Name2": 1}));
    // A server that ignores case would read another value than the policies.
    assert!(changed(&body, patch(json!({"TO": "b"}))).is_err());
    assert!(changed(&body, patch(json!({"x": {"a": 1, "A": 2}}))).is_err());
}

#[test]
fn checks_keep_their_place_over_a_reload_only_as_long_as_they_are_the_same() {
    let settings = |timeout: &str| -> ExternalChecks {
        serde_json::from_value(json!({
            "b": {"url": "http://b/", "order": 1},
            "a": {"url": "http://a/", "order": 1, "timeout": timeout},
            "z": {"url": "http://z/"},
        }))
        .unwrap()
    };
    let http = Clients::new(Duration::from_secs(1));
    assert!(Checks::new(&ExternalChecks::new(), &http, None).is_none());
    let first = Checks::new(&settings("1s"), &http, None).unwrap();
    let names: Vec<_> = first.all.iter().map(|check| &*check.name).collect();
    assert_eq!(names, ["z", "a", "b"]);
    let second = Checks::new(&settings("2s"), &http, Some(&first)).unwrap();
    let same: Vec<_> =
        first.all.iter().zip(&second.all).map(|(one, other)| Arc::ptr_eq(one, other)).collect();
    assert_eq!(same, [true, false, true]);
}
