//! JSON merge patches (RFC 7396), on objects whose members are raw slices: what a patch does not name stays as it was
//! written.

use doorward_mcp::{Object, Value};

/// Changes an object as a patch says. Both were scanned, so that their depth is bounded.
pub fn merge(target: &mut Object, patch: &Object) {
    for member in patch.members() {
        // Scanned text is UTF-8.
        let Ok(name) = std::str::from_utf8(&member.name) else { continue };
        if member.value.is_null() {
            target.remove(name);
            continue;
        }
        let Some(inner) = member.value.as_object() else {
            target.set(name, member.value.clone());
            continue;
        };
        let mut merged = target.object(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
        merge(&mut merged, &inner);
        target.set(name, Value::Object(merged));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc_come_out_as_it_says() {
        // The cases of RFC 7396, appendix A, in which both are objects.
        for (target, patch, merged) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut object = Object::from_serde(&target).unwrap();
            merge(&mut object, &Object::from_serde(&patch).unwrap());
            assert_eq!(object.to_serde(), merged, "{target} {patch}");
        }
    }

    #[test]
    fn what_a_patch_does_not_name_stays_as_it_was_written() {
        let text = bytes::Bytes::from_static(
            br#"{"n": 12345678901234567890123, "a": {"x": 1.00, "y": 2}}"#,
        );
        let mut object = Object::parse(&text).unwrap();
        merge(&mut object, &Object::from_serde(&json!({"a": {"y": 3}})).unwrap());
        assert_eq!(
            &object.to_bytes()[..],
            br#"{"n":12345678901234567890123,"a":{"x":1.00,"y":3}}"#
        );
    }
}
