//! A tool's arguments from the command line: `name=value` pairs, or one JSON object.

use serde_json::{Map, Value};

/// Parses the arguments by the tool's schema. A value without a type is JSON if it is valid JSON,
/// else text.
pub fn read(words: &[String], schema: &Value) -> Result<Value, String> {
    if let [word] = words
        && word.trim_start().starts_with('{')
    {
        let value: Value = serde_json::from_str(word)
            .map_err(|error| format!("the arguments are not a valid JSON object: {error}"))?;
        return Ok(value);
    }
    let mut arguments = Map::new();
    for word in words {
        let Some((name, text)) = word.split_once('=') else {
            return Err(format!("'{word}' is neither NAME=VALUE nor a JSON object"));
        };
        let value = value(text, &schema["properties"][name])
            .map_err(|expected| format!("{name} must be {expected}, not '{text}'"))?;
        if arguments.insert(name.to_owned(), value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(Value::Object(arguments))
}

/// Parses one value. The error says what was expected.
pub fn value(text: &str, schema: &Value) -> Result<Value, String> {
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let parsed = serde_json::from_str::<Value>(text).ok();
    if kinds.is_empty() {
        return Ok(parsed.unwrap_or_else(|| text.into()));
    }
    let fits = |value: &Value| kinds.iter().any(|kind| is(value, kind));
    if let Some(parsed) = parsed.filter(|value| !value.is_string() && fits(value)) {
        return Ok(parsed);
    }
    if kinds.contains(&"string") {
        return Ok(text.into());
    }
    Err(format!("of the type {}", kinds.join(" or ")))
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn values_are_what_the_schema_says() {
        let schema = json!({"properties": {
            "n": {"type": "integer"}, "s": {"type": "string"}, "b": {"type": "boolean"},
            "l": {"type": "array"}, "m": {"type": ["null", "string"]},
        }});
        let read = read(
            &words(&["n=3", "s=3", "b=true", "l=[1]", "m=null", "x={\"a\":1}", "y=z=1"]),
            &schema,
        );
        assert_eq!(
            read.unwrap(),
            json!({"n": 3, "s": "3", "b": true, "l": [1], "m": null, "x": {"a": 1}, "y": "z=1"})
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let schema = json!({"properties": {"n": {"type": "integer"}}});
        for (given, said) in [
            (vec!["n=x"], "n must be of the type integer, not 'x'"),
            (vec!["n=1.5"], "integer"),
            (vec!["n"], "neither NAME=VALUE"),
            (vec!["n=1", "n=2"], "twice"),
            (vec!["{\"n\":"], "not a valid JSON object"),
        ] {
            let problem = read(&words(&given), &schema).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
