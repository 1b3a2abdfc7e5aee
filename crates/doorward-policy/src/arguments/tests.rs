use super::*;
use serde_json::json;

#[test]
fn declarations_are_read_and_written() {
    for (text, written) in [
        ("amount: decimal", "\"amount\"?: decimal"),
        ("b?: Bool , a: Set< Set<Long> >", "\"a\"?: Set<Set<Long>>, \"b\"?: Bool"),
        (
            "to: { city?: String, \"post-code\": Long }",
            "\"to\"?: {\"city\"?: String, \"post-code\"?: Long}",
        ),
        (
            "to: Emails, at: Set<{x: Url}>",
            "\"at\"?: Set<{\"x\"?: {\"scheme\": String, \"host\": String, \"port\": Long, \"path\": String, \
             \"query\": String}}>, \"to\"?: {\"addresses\": Set<String>, \"domains\": Set<String>}",
        ),
    ] {
        assert_eq!(Declared(&read(text).unwrap()).to_string(), written);
    }
    for wrong in [
        "",
        "a",
        "a:",
        "a: Int",
        "a: Long,",
        "a: Long b: Long",
        "a: Set<Long",
        "a: {b: Long",
        "a: Long, a: Bool",
        "\"a\\\": Long",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(read(&format!("a: {}Long{}", "Set<".repeat(50), ">".repeat(50))).is_err());
}

#[test]
fn an_argument_of_another_type_is_not_overlooked() {
    let declared = read("n: Long, d: decimal, s: Set<String>, r: {x: Bool}").unwrap();
    for (good, given) in [
        (true, json!({})),
        (true, json!({ "other": [1] })),
        (true, json!({ "n": null })),
        (true, json!({ "n": -5, "d": 99.5, "s": ["a"], "r": { "x": true, "y": 1 } })),
        (true, json!({ "d": "100.0000" })),
        (true, json!({ "d": 922337203685477.5_f64 })),
        (false, json!({ "n": "5" })),
        (false, json!({ "n": 5.0 })),
        (false, json!({ "n": 18446744073709551615_u64 })),
        (false, json!({ "N": 5 })),
        (false, json!({ "\u{17f}": ["a"] })),
        (false, json!({ "n\0": 5 })),
        (false, json!({ "n\0x": 5, "d": 1.5 })),
        (false, json!({ " d": 1.5 })),
        (false, json!({ "s[]": "a" })),
        (false, json!({ "\u{ff4e}": 5 })),
        (false, json!({ "r": { "x\u{200b}": true } })),
        (true, json!({ "n_": 5, "my n": 1 })),
        (false, json!({ "d": 0.00001 })),
        (false, json!({ "d": 1e300 })),
        (false, json!({ "d": "0x10" })),
        (false, json!({ "d": "9999999999999999" })),
        (false, json!({ "d": true })),
        (false, json!({ "s": "a" })),
        (false, json!({ "s": ["a", 1] })),
        (false, json!({ "r": { "x": 1 } })),
        (false, json!({ "r": { "X": true } })),
    ] {
        let Value::Object(map) = &given else { unreachable!() };
        assert_eq!(values(&declared, map).is_ok(), good, "{given}");
    }
    let Value::Object(map) = json!({ "r": { "x": 1 } }) else { unreachable!() };
    let mismatch = values(&declared, &map).unwrap_err();
    assert_eq!((mismatch.path.as_str(), mismatch.expected.as_str()), ("r.x", "Bool"));
}

#[test]
fn types_of_several_policies_must_agree() {
    let mut all = read("a: Long, r: {x: Bool}").unwrap();
    assert_eq!(join(&mut all, &read("r: {y: Bool}, b: Long").unwrap()), Ok(()));
    assert_eq!(
        Declared(&all).to_string(),
        "\"a\"?: Long, \"b\"?: Long, \"r\"?: {\"x\"?: Bool, \"y\"?: Bool}"
    );
    assert_eq!(join(&mut all, &read("r: {y: Long}").unwrap()), Err("r.y".into()));
}
