//! Corrects invalid schemas whose meaning is plain: a member that is null is absent, type names are written in lower
//! case or as in a programming language, and `required: true` of a property belongs to the object.

use serde_json::{Map, Value, json};

use super::bounds::{DATA, NAMED};

const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "null"];

/// Maximum depth of a repaired schema.
const DEPTH: usize = 64;

/// Repairs a tool's `inputSchema`; `None` if it is valid. A value that is not a schema becomes one that accepts
/// any object, and the type of a schema becomes `object`, as arguments always are objects.
pub fn input(schema: Option<&Value>) -> Option<Value> {
    let Some(Value::Object(members)) = schema else { return Some(json!({ "type": "object" })) };
    let is_of_objects = members.get("type").is_some_and(|kind| kind == "object");
    let repaired = part(schema?);
    if is_of_objects && repaired.is_none() {
        return None;
    }
    let mut repaired = repaired.or_else(|| schema.cloned())?;
    repaired["type"] = "object".into();
    Some(repaired)
}

/// Repairs an `outputSchema`; `None` if it is valid, `Some(None)` if it is not a schema and has to be removed.
pub fn output(schema: &Value) -> Option<Option<Value>> {
    match schema {
        Value::Object(_) => part(schema).map(Some),
        _ => Some(None),
    }
}

fn part(schema: &Value) -> Option<Value> {
    let mut repaired = schema.clone();
    let changed = repair(&mut repaired, true, DEPTH);
    changed.then_some(repaired)
}

/// Repairs a value and everything below it. Returns whether anything was changed.
fn repair(value: &mut Value, is_schema: bool, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let mut changed = false;
    match value {
        Value::Object(members) => {
            if is_schema {
                changed |= repair_members(members);
            } else {
                // A null in place of a subschema: it has no constraints.
                for part in members.values_mut().filter(|part| part.is_null()) {
                    *part = json!({});
                    changed = true;
                }
            }
            for (name, inner) in members {
                if !(is_schema && DATA.contains(&name.as_str())) {
                    changed |= repair(inner, !(is_schema && NAMED.contains(&name.as_str())), depth);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                changed |= repair(item, true, depth);
            }
        }
        _ => {}
    }
    changed
}

fn repair_members(members: &mut Map<String, Value>) -> bool {
    let before = members.len();
    members.retain(|name, value| {
        !value.is_null() || (DATA.contains(&name.as_str()) && name != "required" && name != "enum")
    });
    let mut changed = members.len() != before;
    match members.get_mut("type") {
        Some(Value::String(name)) => changed |= rename(name),
        Some(Value::Array(names)) => {
            for name in names {
                if let Value::String(name) = name {
                    changed |= rename(name);
                }
            }
        }
        _ => {}
    }
    // The keyword of OpenAPI before version 3.1.
    if let Some(Value::Bool(nullable)) = members.get("nullable") {
        if *nullable {
            allow_null(members);
        }
        members.remove("nullable");
        changed = true;
    }
    let mut wrong = |name: &str, is_wrong: &dyn Fn(&Value) -> bool| {
        if members.get(name).is_some_and(is_wrong) {
            members.remove(name);
            changed = true;
        }
    };
    // An empty list, as written by Go: no value would match.
    wrong("enum", &|list| list.as_array().is_none_or(Vec::is_empty));
    // An empty object, as written by PHP.
    wrong("properties", &|properties| !properties.is_object());
    wrong("$schema", &|dialect| !dialect.is_string());
    changed |= repair_required(members);
    changed
}

/// `required` is a list of names. Drafts before the fourth have a boolean in the property instead.
fn repair_required(members: &mut Map<String, Value>) -> bool {
    let mut changed = false;
    let mut required = Vec::new();
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, property) in properties {
            match property {
                Value::Object(property) => {
                    if let Some(Value::Bool(must)) = property.get("required") {
                        required.extend(must.then(|| Value::from(name.clone())));
                        property.remove("required");
                        changed = true;
                    }
                }
                // Some clients accept only objects.
                Value::Bool(false) => {
                    *property = json!({ "not": {} });
                    changed = true;
                }
                Value::String(kind) => {
                    rename(kind);
                    *property = match TYPES.contains(&kind.as_str()) {
                        true => json!({ "type": kind }),
                        false => json!({}),
                    };
                    changed = true;
                }
                _ => {
                    *property = json!({});
                    changed = true;
                }
            }
        }
    }
    match members.get_mut("required") {
        Some(Value::Array(names)) => {
            let before = names.len();
            names.retain(Value::is_string);
            changed |= names.len() != before;
        }
        Some(_) => {
            members.remove("required");
            changed = true;
        }
        None => {}
    }
    if !required.is_empty()
        && let Value::Array(all) =
            members.entry("required").or_insert_with(|| Value::Array(Vec::new()))
    {
        required.retain(|name| !all.contains(name));
        all.extend(required);
    }
    changed
}

/// Adds null to the types and values that a schema allows.
fn allow_null(members: &mut Map<String, Value>) {
    match members.get_mut("type") {
        Some(Value::Array(names)) if !names.contains(&"null".into()) => names.push("null".into()),
        Some(name @ Value::String(_)) if *name != "null" => *name = json!([name, "null"]),
        _ => {}
    }
    if let Some(Value::Array(values)) = members.get_mut("enum")
        && !values.is_empty()
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// Replaces a type name by that of JSON Schema.
fn rename(name: &mut String) -> bool {
    let lower = name.to_ascii_lowercase();
    let known = match lower.as_str() {
        "str" | "text" => "string",
        "int" | "long" => "integer",
        "float" | "double" | "decimal" => "number",
        "bool" => "boolean",
        "list" | "tuple" => "array",
        "dict" | "map" => "object",
        "none" | "nil" => "null",
        known if TYPES.contains(&known) => known,
        _ => return false,
    };
    if *name == known {
        return false;
    }
    *name = known.to_owned();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_with_a_plain_meaning_are_repaired() {
        for (schema, expected) in [
            (json!(null), json!({ "type": "object" })),
            (json!("a string"), json!({ "type": "object" })),
            (json!({ "type": "object", "properties": null }), json!({ "type": "object" })),
            (json!({ "type": "OBJECT", "required": null }), json!({ "type": "object" })),
            (json!({}), json!({ "type": "object" })),
            (json!({ "type": "string" }), json!({ "type": "object" })),
            (json!({ "type": ["object", "null"] }), json!({ "type": "object" })),
            (json!({ "type": "object", "properties": [] }), json!({ "type": "object" })),
            (json!({ "type": "object", "required": {} }), json!({ "type": "object" })),
            (json!({ "type": "object", "required": "text" }), json!({ "type": "object" })),
            (
                json!({ "type": "object", "required": ["a", 1, null] }),
                json!({ "type": "object", "required": ["a"] }),
            ),
            (
                json!({ "type": "object", "properties": { "a": "string", "b": "what", "c": true, "d": false, "e": [] } }),
                json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": {}, "c": {}, "d": { "not": {} }, "e": {} } }),
            ),
            (
                json!({ "type": "object", "properties": { "a": { "enum": [] }, "b": { "type": "string", "enum": ["x"], "nullable": true }, "c": { "nullable": false } } }),
                json!({ "type": "object", "properties": { "a": {}, "b": { "type": ["string", "null"], "enum": ["x", null] }, "c": {} } }),
            ),
            (
                json!({ "properties": { "a": { "type": "STRING", "required": true }, "b": { "type": "int", "required": false } } }),
                json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "integer" } }, "required": ["a"] }),
            ),
            (
                json!({ "properties": { "a": { "type": ["str", "null"], "items": null } }, "required": true }),
                json!({ "type": "object", "properties": { "a": { "type": ["string", "null"] } } }),
            ),
            (
                json!({ "properties": { "a": null, "b": { "anyOf": [{ "type": "Bool", "enum": null }] } } }),
                json!({ "type": "object", "properties": { "a": {}, "b": { "anyOf": [{ "type": "boolean" }] } } }),
            ),
        ] {
            assert_eq!(input(Some(&schema)), Some(expected), "{schema}");
        }
        assert_eq!(input(None), Some(json!({ "type": "object" })));
        assert_eq!(output(&json!(null)), Some(None));
    }

    #[test]
    fn valid_and_unknown_schemas_are_not_changed() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "type": "object", "properties": { "type": { "const": null }, "required": { "default": null } } }),
            json!({ "type": "object", "properties": { "a": { "enum": [null, "x"], "default": null } }, "required": ["a"] }),
            json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "nonsense" } } }),
        ] {
            assert_eq!(input(Some(&schema)), None, "{schema}");
        }
    }
}
