//! Whatever a model may return by a strict schema is valid by the tool's own schema, once it has come back.

use bytes::Bytes;
use doorward_functions::Adapted;
use doorward_mcp::{Object, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// A schema, at random.
fn schema() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string" })),
        Just(json!({ "type": "string", "minLength": 1, "x-vendor": 1, "default": "d" })),
        Just(json!({ "type": ["string", "null"] })),
        Just(json!({ "type": "integer", "minimum": 0, "maximum": 9 })),
        Just(json!({ "type": "number" })),
        Just(json!({ "type": "boolean", "description": "d" })),
        Just(json!({ "enum": ["a", "b"] })),
        Just(json!({ "type": "string", "enum": ["a", null, "b"] })),
        Just(json!({ "const": 7 })),
        Just(json!({ "$ref": "#/$defs/D" })),
        Just(json!({ "$ref": "#/$defs/N", "description": "d" })),
        Just(json!({})),
        Just(json!({ "type": "null" })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            2 => (inner.clone(), 0usize..2).prop_map(|(items, least)| {
                json!({ "type": "array", "items": items, "minItems": least, "maxItems": 3 })
            }),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({ "anyOf": all })),
            1 => (object(inner.clone()), object(inner.clone())).prop_map(|(mut one, mut other)| {
                for (number, of) in [&mut one, &mut other].into_iter().enumerate() {
                    of["properties"]["kind"] = json!({ "const": number });
                    of["required"].as_array_mut().unwrap().push("kind".into());
                }
                json!({ "oneOf": [one, other] })
            }),
            1 => inner.prop_map(|one| json!({ "allOf": [one], "description": "d" })),
        ]
    })
}

fn object(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let names = prop::sample::subsequence(vec!["a", "b", "x-c", "$id", "properties"], 0..=5);
    let members = prop::collection::vec((inner, any::<bool>()), 5);
    (names, members, any::<bool>()).prop_map(|(names, members, is_closed)| {
        let mut made = json!({ "type": "object", "properties": {}, "required": [] });
        for (name, (schema, is_required)) in names.into_iter().zip(members) {
            made["properties"][name] = schema;
            if is_required {
                made["required"].as_array_mut().unwrap().push(name.into());
            }
        }
        if is_closed {
            made["additionalProperties"] = false.into();
        }
        made
    })
}

/// A valid value of a strict schema, by a list of choices.
fn value(
    root: &Json,
    schema: &Json,
    choices: &mut impl Iterator<Item = usize>,
    level: usize,
) -> Json {
    let mut pick = |most: usize| choices.next().unwrap_or(0) % most.max(1);
    if let Some(to) = schema["$ref"].as_str() {
        let of = root.pointer(&to[1..]).unwrap();
        return value(root, of, choices, level + 1);
    }
    if let Some(all) = schema["anyOf"].as_array() {
        let at = pick(all.len());
        return value(root, &all[at], choices, level + 1);
    }
    if let Some(all) = schema["enum"].as_array() {
        return all[pick(all.len())].clone();
    }
    if let Some(one) = schema.get("const") {
        return one.clone();
    }
    let kinds = match &schema["type"] {
        Json::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    // Far down, whatever ends soonest.
    let at = if level > 12 { kinds.len() - 1 } else { pick(kinds.len()) };
    match kinds[at].as_str().unwrap() {
        "null" => Json::Null,
        "string" => ["x", "a", "é"][pick(3)].into(),
        "integer" => json!(pick(10)),
        "number" => json!(pick(10) as f64 / 2.0),
        "boolean" => (pick(2) == 0).into(),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            let count = least + pick(2);
            (0..count).map(|_| value(root, &schema["items"], choices, level + 1)).collect()
        }
        "object" => {
            let members = schema["properties"].as_object().unwrap();
            let made = members
                .iter()
                .map(|(name, of)| (name.clone(), value(root, of, choices, level + 1)));
            Json::Object(made.collect())
        }
        other => panic!("{other}"),
    }
}

fn adapted(schema: &Json) -> Adapted {
    Adapted::of(Some(&Value::Raw(Bytes::from(serde_json::to_vec(schema).unwrap()))))
}

/// The tool's schema with what its references lead to.
fn whole(mut schema: Json) -> Json {
    schema["$defs"] = json!({
        "D": { "type": "object", "properties": { "p": { "type": "integer" }, "q": { "type": ["boolean", "null"] } }, "required": [] },
        "N": { "type": "string", "pattern": "^[a-zé]$" },
    });
    schema
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_strict_mode_accepts_is_valid_once_it_is_back(
        schema in object(schema()),
        choices in prop::collection::vec(0usize..12, 0..200),
    ) {
        let own = whole(schema);
        let adapted = adapted(&own);
        let Ok(strict) = adapted.strict() else { return Ok(()) };
        let strict: Json = serde_json::from_slice(&strict).unwrap();
        let sent = value(&strict, &strict, &mut choices.into_iter(), 0);
        let problem = |schema: &Json, value: &Json| {
            jsonschema::validator_for(schema).unwrap().iter_errors(value).next().map(|it| it.to_string())
        };
        prop_assert_eq!(problem(&strict, &sent), None, "{} by {}", sent, strict);
        let back = adapted.arguments(&Object::from_serde(&sent).unwrap()).unwrap().to_serde();
        prop_assert_eq!(problem(&own, &back), None, "{} of {} by {}", back, sent, own);
    }

    #[test]
    fn what_is_valid_without_strict_mode_stays_valid(
        schema in object(schema()),
        choices in prop::collection::vec(0usize..12, 0..200),
    ) {
        // Values of the strict form without nulls are values of a model that leaves arguments out.
        let own = whole(schema);
        let adapted = adapted(&own);
        let Ok(strict) = adapted.strict() else { return Ok(()) };
        let strict: Json = serde_json::from_slice(&strict).unwrap();
        let sent = value(&strict, &strict, &mut choices.into_iter(), 0);
        let once = adapted.arguments(&Object::from_serde(&sent).unwrap()).unwrap();
        let twice = adapted.arguments(&once).unwrap();
        prop_assert_eq!(once.to_bytes(), twice.to_bytes());
    }
}

#[test]
fn most_schemas_of_tools_have_a_strict_form_and_others_say_why_not() {
    let convertible = |schema: Json| adapted(&schema).strict().map(|_| ());
    let one = |of: Json| json!({ "type": "object", "properties": { "a": of } });
    for schema in [
        json!({ "type": "object" }),
        one(json!({ "type": "string", "format": "uri" })),
        one(json!({ "type": "array", "items": { "type": "string" } })),
        one(json!({ "oneOf": [{ "type": "string" }, { "type": "integer" }] })),
        json!({ "type": "array", "items": { "type": "string" } }),
    ] {
        assert_eq!(convertible(schema.clone()), Ok(()), "{schema}");
    }
    for (schema, why) in [
        (one(json!({})), "has no type"),
        (one(json!({ "type": "object" })), "map"),
        (one(json!({ "type": "object", "additionalProperties": { "type": "string" } })), "map"),
        (one(json!({ "type": "array" })), "anything"),
        (
            one(json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true })),
            "uniqueItems",
        ),
        (
            one(json!({ "type": "object", "patternProperties": { "^a": { "type": "string" } } })),
            "patternProperties",
        ),
        (
            one(
                json!({ "type": "object", "properties": { "b": { "type": "string" } }, "patternProperties": {} }),
            ),
            "patternProperties",
        ),
        (one(json!({ "oneOf": [{ "type": "number" }, { "type": "integer" }] })), "oneOf"),
        (one(json!({ "not": { "type": "string" }, "type": "string" })), "not"),
        (json!({ "type": "object", "required": ["x"] }), "requires"),
        (
            json!({ "type": "object", "anyOf": [{ "required": ["a"] }], "properties": { "a": { "type": "string" } } }),
            "root",
        ),
    ] {
        let refused = convertible(schema.clone()).unwrap_err();
        assert!(refused.contains(why), "{schema}: {refused}");
    }
    let mut deep = json!({ "type": "string" });
    for _ in 0..12 {
        deep = one(deep);
    }
    assert!(convertible(deep).unwrap_err().contains("deeply"));
}
