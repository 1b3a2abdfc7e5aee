//! A compact schema accepts what the schema accepts, and nothing else.

use doorward_compact::schemas::{SchemaRules, compact};
use doorward_mcp::Value;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// A schema, at random: with annotations, with properties that are named like keywords, with references.
pub fn schema() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string", "title": "T", "default": "d" })),
        Just(
            json!({ "type": "string", "description": "A text that is long. It has two sentences.", "minLength": 2 })
        ),
        Just(
            json!({ "type": "integer", "minimum": 1, "examples": [1, 2], "description": "How many there are, at most" })
        ),
        Just(json!({ "enum": ["a", { "title": "a", "default": 1 }, 1] })),
        Just(json!({ "const": { "title": "t", "examples": [] } })),
        // Within something, so that no circle is without an end.
        Just(json!({ "properties": { "a": { "$ref": "#/$defs/A" } } })),
        Just(
            json!({ "properties": { "$ref": { "$ref": "#/$defs/B", "description": "Another of the same kind" } } })
        ),
        Just(json!({ "items": { "$ref": "#" } })),
        Just(json!({ "additionalProperties": { "$ref": "#/definitions/C" } })),
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({})),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let names = prop::sample::subsequence(vec!["title", "default", "examples", "$ref", "a"], 0..=5);
        let members = prop::collection::vec(inner.clone(), 5);
        prop_oneof![
            4 => (names, members, any::<bool>()).prop_map(|(names, members, is_closed)| {
                let mut made = json!({ "type": "object", "title": "O", "properties": {}, "required": names.iter().take(1).collect::<Vec<_>>() });
                for (name, schema) in names.into_iter().zip(members) {
                    made["properties"][name] = schema;
                }
                if is_closed {
                    made["additionalProperties"] = false.into();
                }
                made
            }),
            1 => inner.clone().prop_map(|items| json!({ "type": "array", "items": items, "title": "L" })),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({ "anyOf": all })),
            1 => inner.clone().prop_map(|one| json!({ "not": one, "default": { "title": "x" } })),
            1 => inner.prop_map(|one| json!({ "patternProperties": { "^t": one }, "description": "Names with t. And more." })),
        ]
    })
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!("a")),
        Just(json!("ab")),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(null)),
        Just(json!({ "title": "a", "default": 1 })),
        Just(json!({ "title": "t", "examples": [] })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names =
            prop::sample::subsequence(vec!["title", "default", "examples", "$ref", "a"], 0..=5);
        let members = prop::collection::vec(inner.clone(), 5);
        prop_oneof![
            3 => (names, members).prop_map(|(names, members)| {
                Json::Object(names.into_iter().map(str::to_owned).zip(members).collect())
            }),
            1 => prop::collection::vec(inner, 0..3).prop_map(Json::Array),
        ]
    })
}

fn rules() -> impl Strategy<Value = SchemaRules> {
    (any::<[bool; 5]>(), prop::option::of(0usize..40)).prop_map(|(flags, description_chars)| {
        let [drops_examples, drops_defaults, drops_titles, drops_unused_definitions, shares_equal] =
            flags;
        SchemaRules {
            drops_examples,
            drops_defaults,
            drops_titles,
            drops_unused_definitions,
            shares_equal,
            description_chars,
        }
    })
}

fn read(value: &Value) -> Json {
    serde_json::from_slice(&value.to_bytes()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_compact_schema_accepts_the_same(
        root in schema(), defs in prop::collection::vec(schema(), 3), rules in rules(),
        values in prop::collection::vec(value(), 8),
    ) {
        let Json::Object(_) = root else { return Ok(()) };
        let mut root = root;
        root["$defs"] = json!({ "A": defs[0], "B": defs[1], "U": defs[2] });
        root["definitions"] = json!({ "C": { "type": "array", "items": defs[0], "description": "A list of them, and nothing else. In order." } });
        let made = compact(&Value::from_serde(&root), &rules);
        prop_assert!(made.to_bytes().len() <= root.to_string().len());
        // Done twice, it is the same.
        prop_assert_eq!(compact(&made, &rules).to_bytes(), made.to_bytes());
        let made = read(&made);
        let (before, after) = (jsonschema::validator_for(&root).unwrap(), jsonschema::validator_for(&made).unwrap());
        for value in values {
            let (was, is) = (before.is_valid(&value), after.is_valid(&value));
            prop_assert_eq!(was, is, "{} by {} and {}", value, root, made);
        }
    }
}
