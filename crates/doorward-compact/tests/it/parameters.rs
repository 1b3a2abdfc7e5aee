//! A caller cannot set what a portal fixes or hides, and what comes of valid arguments is valid.

use doorward_compact::parameters::{Action, Rule, check};
use doorward_mcp::{Object, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const NAMES: [&str; 4] = ["a", "b", "ccc", "d_e"];

fn object(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let names = prop::sample::subsequence(NAMES.to_vec(), 1..=4);
    let members = prop::collection::vec((inner, any::<bool>()), 4);
    (names, members, prop::option::of(any::<bool>())).prop_map(|(names, members, is_open)| {
        let mut made = json!({ "type": "object", "properties": {}, "required": [] });
        for (name, (schema, is_required)) in names.into_iter().zip(members) {
            made["properties"][name] = schema;
            if is_required {
                made["required"].as_array_mut().unwrap().push(name.into());
            }
        }
        if let Some(is_open) = is_open {
            made["additionalProperties"] = is_open.into();
        }
        made["examples"] = json!([{ "a": { "b": 1 } }]);
        made
    })
}

fn schema() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        3 => Just(json!({ "type": "integer" })),
        1 => Just(json!({})),
        1 => Just(json!(true)),
        1 => Just(json!({ "enum": [1, "x", null] })),
        2 => Just(json!({ "$ref": "#/$defs/D", "description": "d" })),
        1 => Just(json!({ "anyOf": [{ "$ref": "#/$defs/D" }, { "type": "null" }], "default": { "a": 1 } })),
        1 => Just(json!({ "allOf": [{ "$ref": "#/$defs/D" }] })),
        1 => Just(json!({ "$ref": "#/$defs/E" })),
    ];
    let nested = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            4 => object(inner.clone()),
            2 => inner.clone().prop_map(|items| json!({ "type": ["array", "null"], "items": items })),
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "anyOf": all })),
            1 => object(inner).prop_map(|mut one| { one["type"] = json!(["object", "null", "string"]); one }),
        ]
    });
    object(nested)
}

fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![4 => prop::sample::select(NAMES.to_vec()), 1 => Just("[]")];
    (prop::sample::select(NAMES.to_vec()), prop::collection::vec(step, 0..3)).prop_map(
        |(first, rest)| {
            rest.into_iter().fold(first.to_owned(), |path, step| match step {
                "[]" => path + "[]",
                name => path + "." + name,
            })
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let action = prop_oneof![
        3 => Just(Action::Fix(Value::number(1))),
        1 => Just(Action::Fix(Value::from_serde(&json!({ "a": 1, "b": 1 })))),
        3 => Just(Action::Hide),
        2 => Just(Action::Default(Value::number(1))),
        1 => Just(Action::Describe("d".into())),
    ];
    (path(), action).prop_map(|(path, action)| Rule { path: path.parse().unwrap(), action })
}

/// Arguments, with names that a server may read as others.
fn arguments() -> impl Strategy<Value = Json> {
    let name = || prop_oneof![6 => prop::sample::select(NAMES.to_vec()), 1 => prop::sample::select(vec!["A", "dE", "d-e", "b[]", "ccc ", "other"])];
    let leaf = prop_oneof![3 => Just(json!(1)), 1 => Just(json!(2)), 1 => Just(json!(null)), 1 => Just(json!("x"))];
    let nested = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            4 => prop::collection::btree_map(name().prop_map(str::to_owned), inner.clone(), 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
            1 => prop::collection::vec(inner, 0..3).prop_map(Json::Array),
        ]
    });
    let name =
        prop_oneof![8 => prop::sample::select(NAMES.to_vec()), 1 => Just("B"), 1 => Just("x")];
    prop::collection::btree_map(name.prop_map(str::to_owned), nested, 0..4)
        .prop_map(|members| Json::Object(members.into_iter().collect()))
}

/// All values at a path; for a place that cannot have it, nothing.
fn at<'a>(value: &'a Json, path: &str) -> Vec<&'a Json> {
    let mut all = vec![value];
    for step in path.replace("[]", ".[]").split('.') {
        all = match step {
            "[]" => all.into_iter().filter_map(Json::as_array).flatten().collect(),
            name => all.into_iter().filter_map(|one| one.get(name)).collect(),
        };
    }
    all
}

/// Objects that the last name of a path is in.
fn around<'a>(value: &'a Json, path: &str) -> Vec<&'a Json> {
    match path.rsplit_once('.') {
        Some((outer, _)) => at(value, outer),
        None => vec![value],
    }
}

/// Whether a schema describes a path.
fn describes(root: &Json, schema: &Json, steps: &[&str]) -> bool {
    if let Some(to) = schema["$ref"].as_str() {
        return describes(root, root.pointer(&to[1..]).unwrap(), steps);
    }
    let inner =
        ["anyOf", "oneOf", "allOf"].iter().filter_map(|name| schema[*name].as_array()).flatten();
    if inner.into_iter().any(|one| describes(root, one, steps)) {
        return true;
    }
    match steps {
        [] => true,
        ["[]", rest @ ..] => schema.get("items").is_some_and(|items| describes(root, items, rest)),
        [name, rest @ ..] => {
            let is_required = rest.is_empty()
                && schema["required"]
                    .as_array()
                    .is_some_and(|names| names.iter().any(|own| own == name));
            is_required
                || schema["properties"].get(name).is_some_and(|of| describes(root, of, rest))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_fixed_or_hidden_is_beyond_the_caller(
        root in schema(), d in object(Just(json!({ "type": "integer" }))), e in schema(),
        rules in prop::collection::vec(rule(), 1..4), sent in prop::collection::vec(arguments(), 12),
    ) {
        let mut root = root;
        root["$defs"] = json!({ "D": d, "E": e, "F": { "type": "null" } });
        // Rules that do not fit are left out, to be left with some that do.
        let schema = Value::from_serde(&root);
        let mut fitting: Vec<Rule> = Vec::new();
        for rule in rules {
            fitting.push(rule);
            if let Err(problems) = check(&schema, &fitting) {
                prop_assert!(problems.iter().all(|it| it.path.is_some() && !it.why.is_empty()));
                fitting.pop();
            }
        }
        let adapted = check(&schema, &fitting).unwrap();
        let shown: Json = serde_json::from_slice(&adapted.schema().to_bytes()).unwrap();
        let by_shown = jsonschema::validator_for(&shown).unwrap();
        let by_own = jsonschema::validator_for(&root).unwrap();
        for rule in &fitting {
            if matches!(rule.action, Action::Fix(_) | Action::Hide) {
                let path = rule.path.to_string().replace("[]", ".[]");
                let steps: Vec<&str> = path.split('.').collect();
                prop_assert!(!describes(&shown, &shown, &steps), "{} is in {}", rule.path, shown);
            }
        }
        for sent in sent {
            let Ok(made) = adapted.arguments(&Object::from_serde(&sent).unwrap()) else { continue };
            let made = made.to_serde();
            for rule in &fitting {
                let path = rule.path.to_string();
                match &rule.action {
                    Action::Fix(value) => {
                        let value: Json = serde_json::from_slice(&value.to_bytes()).unwrap();
                        let found = at(&made, &path);
                        prop_assert!(found.iter().all(|own| **own == value), "{path} in {made}");
                        prop_assert_eq!(found.len(), around(&made, &path).len(), "{} in {}", path, made);
                        prop_assert!(path.contains("[]") || found.len() == 1, "{path} in {made}");
                    }
                    Action::Hide => prop_assert!(at(&made, &path).is_empty(), "{path} in {made}"),
                    Action::Default(_) => {
                        let in_objects = around(&made, &path).into_iter().filter(|own| own.is_object()).count();
                        prop_assert_eq!(at(&made, &path).len(), in_objects, "{} in {}", path, made);
                    }
                    Action::Describe(_) => {}
                }
            }
            // What is valid for the caller is valid for the tool.
            if by_shown.is_valid(&sent) {
                prop_assert!(by_own.is_valid(&made), "{} of {} by {} and {} with {:?}", made, sent, shown, root, fitting);
            }
        }
    }
}
