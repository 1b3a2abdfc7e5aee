//! Schemas as they are in the wild, put right where their meaning is plain: a member that is null is absent, types have
//! their names in small letters or those of a language's, and `required: true` on a property is the object's to say.

use serde_json::{Map, Value, json};

use super::bounds::{DATA, NAMED};

/// How deep a schema is looked at.
const DEPTH: usize = 64;

/// A tool's `inputSchema` put right; `None` if it is right as it is. What is no schema at all takes any object.
pub fn input(schema: Option<&Value>) -> Option<Value> {
    match schema {
        Some(Value::Object(_)) => part(schema?),
        _ => Some(json!({ "type": "object" })),
    }
}

/// An `outputSchema` put right; nothing if it is none.
pub fn output(schema: &Value) -> Option<Option<Value>> {
    match schema {
        Value::Object(_) => part(schema).map(Some),
        _ => Some(None),
    }
}

fn part(schema: &Value) -> Option<Value> {
    let mut mended = schema.clone();
    let changed = mend(&mut mended, true, DEPTH);
    changed.then_some(mended)
}

/// Puts a value and all below right. Returns whether anything was changed.
fn mend(value: &mut Value, is_schema: bool, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let mut changed = false;
    match value {
        Value::Object(members) => {
            if is_schema {
                changed |= mend_members(members);
            } else {
                // No schema at all where one is named: nothing is said of it.
                for part in members.values_mut().filter(|part| part.is_null()) {
                    *part = json!({});
                    changed = true;
                }
            }
            for (name, inner) in members {
                if !(is_schema && DATA.contains(&name.as_str())) {
                    changed |= mend(inner, !(is_schema && NAMED.contains(&name.as_str())), depth);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                changed |= mend(item, true, depth);
            }
        }
        _ => {}
    }
    changed
}

fn mend_members(members: &mut Map<String, Value>) -> bool {
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
    // As drafts before the fourth had it: the property says that the object must have it.
    let mut required = Vec::new();
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, property) in properties {
            let Value::Object(property) = property else { continue };
            if let Some(Value::Bool(must)) = property.get("required") {
                required.extend(must.then(|| Value::from(name.clone())));
                property.remove("required");
                changed = true;
            }
        }
    }
    if members.get("required").is_some_and(Value::is_boolean) {
        members.remove("required");
        changed = true;
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

/// Gives a type the name that it has in JSON Schema.
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
        "string" | "integer" | "number" | "boolean" | "array" | "object" | "null" => &lower,
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
    fn what_is_plainly_meant_is_put_right() {
        for (schema, expected) in [
            (json!(null), json!({ "type": "object" })),
            (json!("a string"), json!({ "type": "object" })),
            (json!({ "type": "object", "properties": null }), json!({ "type": "object" })),
            (json!({ "type": "OBJECT", "required": null }), json!({ "type": "object" })),
            (
                json!({ "properties": { "a": { "type": "STRING", "required": true }, "b": { "type": "int", "required": false } } }),
                json!({ "properties": { "a": { "type": "string" }, "b": { "type": "integer" } }, "required": ["a"] }),
            ),
            (
                json!({ "properties": { "a": { "type": ["str", "null"], "items": null } }, "required": true }),
                json!({ "properties": { "a": { "type": ["string", "null"] } } }),
            ),
            (
                json!({ "properties": { "a": null, "b": { "anyOf": [{ "type": "Bool", "enum": null }] } } }),
                json!({ "properties": { "a": {}, "b": { "anyOf": [{ "type": "boolean" }] } } }),
            ),
        ] {
            assert_eq!(input(Some(&schema)), Some(expected), "{schema}");
        }
        assert_eq!(input(None), Some(json!({ "type": "object" })));
        assert_eq!(output(&json!(null)), Some(None));
    }

    #[test]
    fn what_is_right_or_unknown_stays() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "type": "nonsense" }),
            json!({ "properties": { "type": { "const": null }, "required": { "default": null } } }),
            json!({ "properties": { "a": { "enum": [null, "x"], "default": null } }, "required": ["a"] }),
            json!({ "required": ["a"], "properties": { "a": true } }),
        ] {
            assert_eq!(input(Some(&schema)), None, "{schema}");
        }
    }
}
