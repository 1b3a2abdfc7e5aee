//! Values of the wrong type with a clear meaning, as models write them: `"5"` for 5, `"true"` for true, an object as
//! its JSON text.
//!
//! Only values that fail validation are converted, so that valid ones are never changed.

use jsonschema::JsonType;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::metered::{Node, Spent, Until, within};
use super::{REPORT_LOOKS, Schema};

/// A converted value may contain further values to convert.
const ROUNDS: usize = 4;
const MOST: usize = 100;

pub fn coerce(schema: &Schema, value: &mut Value, bytes: usize, until: &Until) -> Option<bool> {
    let fits = |value: &Value| match schema.fits(value, bytes, until) {
        Ok(fits) => Some(fits),
        Err(Spent::Looks) => Some(false),
        Err(Spent::Time) => None,
    };
    if fits(value)? {
        return Some(true);
    }
    let mut changed = value.clone();
    for _ in 0..ROUNDS {
        let wanted = wanted(schema, &changed, until);
        let mut any = false;
        for (path, types) in wanted {
            if let Some(place) = changed.pointer_mut(&path)
                && let Some(other) = types.iter().find_map(|one| converted(place, *one))
            {
                *place = other;
                any = true;
            }
        }
        if !any {
            return Some(false);
        }
        if fits(&changed)? {
            *value = changed;
            return Some(true);
        }
    }
    Some(false)
}

/// The places where another type is expected, and the expected types.
fn wanted(schema: &Schema, value: &Value, until: &Until) -> Vec<(String, Vec<JsonType>)> {
    let mut wanted = Vec::new();
    // If the limit is reached, what was found before is used.
    _ = within(schema.allowed(REPORT_LOOKS, until), || {
        for error in schema.validator.iter_errors(Node(value)).take(MOST) {
            let types = match error.kind() {
                ValidationErrorKind::Type { kind: TypeKind::Single(one) } => vec![*one],
                ValidationErrorKind::Type { kind: TypeKind::Multiple(several) } => {
                    several.iter().collect()
                }
                // If any of several types is allowed: the first that the value can be converted to.
                ValidationErrorKind::AnyOf { context }
                | ValidationErrorKind::OneOfNotValid { context } => context
                    .iter()
                    .filter_map(|errors| match errors.first()?.kind() {
                        ValidationErrorKind::Type { kind: TypeKind::Single(one) } => Some(*one),
                        _ => None,
                    })
                    .collect(),
                _ => continue,
            };
            wanted.push((error.instance_path().as_str().to_owned(), types));
        }
    });
    wanted
}

fn converted(value: &Value, wanted: JsonType) -> Option<Value> {
    match (value, wanted) {
        (Value::String(text), JsonType::Integer) => {
            let text = text.trim();
            match text.parse::<i64>() {
                Ok(number) => Some(number.into()),
                Err(_) => text.parse::<u64>().ok().map(Value::from),
            }
        }
        (Value::String(text), JsonType::Number) => {
            let number: Value = serde_json::from_str(text.trim()).ok()?;
            number.is_number().then_some(number)
        }
        (Value::String(text), JsonType::Boolean) => match text.trim() {
            "true" | "True" => Some(true.into()),
            "false" | "False" => Some(false.into()),
            _ => None,
        },
        (Value::String(text), JsonType::Null) => {
            matches!(text.trim(), "null" | "None").then_some(Value::Null)
        }
        (Value::String(text), JsonType::Object) => {
            serde_json::from_str(text).ok().filter(Value::is_object)
        }
        (Value::String(text), JsonType::Array) => {
            serde_json::from_str(text).ok().filter(Value::is_array)
        }
        (Value::Number(number), JsonType::String) => Some(number.to_string().into()),
        (Value::Bool(bool), JsonType::String) => Some(bool.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Effort, Schema};
    use serde_json::json;

    #[test]
    fn values_with_a_clear_meaning_are_converted() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer"}, "x": {"type": "number"}, "b": {"type": "boolean"},
            "s": {"type": "string"}, "o": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "a": {"type": "array", "items": {"type": "integer"}},
            "m": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        }, "additionalProperties": false});
        let schema = Schema::of(&schema).unwrap();
        for (original, becomes) in [
            (json!({"n": "5"}), json!({"n": 5})),
            (json!({"n": "-5", "x": "1.5e2"}), json!({"n": -5, "x": 150.0})),
            (json!({"b": "true"}), json!({"b": true})),
            (json!({"s": 7}), json!({"s": "7"})),
            (json!({"o": "{\"n\": \"3\"}"}), json!({"o": {"n": 3}})),
            (json!({"a": "[1, 2]"}), json!({"a": [1, 2]})),
            (json!({"a": ["1", 2]}), json!({"a": [1, 2]})),
            (json!({"m": "12"}), json!({"m": 12})),
            (json!({"m": "null"}), json!({"m": null})),
        ] {
            let mut value = original.clone();
            assert_eq!(schema.coerce(&mut value, 100, Effort::Full), Some(true), "{original}");
            assert_eq!(value, becomes);
        }
        for original in [
            json!({"n": "5.5"}),
            json!({"n": "five"}),
            json!({"n": "0x10"}),
            json!({"b": "yes"}),
            json!({"o": "[]"}),
            json!({"n": "5", "other": 1}),
        ] {
            let mut value = original.clone();
            assert_eq!(schema.coerce(&mut value, 100, Effort::Full), Some(false), "{original}");
            assert_eq!(value, original, "an invalid value is not changed");
        }
    }
}
