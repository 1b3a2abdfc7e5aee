//! What a request says, as one JSON object: the parameters of its path and query, and the members of its body.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::strict;

/// What a member of an input is, where it comes as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Boolean,
    /// Of texts: the parameter may be repeated.
    List,
}

/// The members that an input may have.
#[derive(Debug, Clone, Default)]
pub struct Kinds(BTreeMap<String, Kind>);

impl Kinds {
    /// Reads them from the schema of a type.
    pub fn of<I: JsonSchema>() -> Self {
        let schema = I::json_schema(&mut SchemaGenerator::default());
        let properties = schema.get("properties").and_then(Value::as_object);
        let kinds = properties.into_iter().flatten();
        Self(kinds.map(|(name, schema)| (name.clone(), kind_of(schema))).collect())
    }

    fn of_member(&self, name: &str) -> Result<Kind, Problem> {
        self.0.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let why = format!("there is no parameter '{}'; known: {known}", name.escape_debug());
            Problem::invalid(why)
        })
    }

    /// Takes a parameter of the path or query.
    pub fn put(
        &self,
        input: &mut Map<String, Value>,
        name: &str,
        text: &str,
    ) -> Result<(), Problem> {
        let kind = self.of_member(name)?;
        let wrong = |expected: &str| {
            let text = text.escape_debug();
            Problem::invalid(format!("'{name}' must be {expected}, not '{text}'"))
        };
        let value = match kind {
            Kind::Text => Value::from(text),
            Kind::Number => text.parse::<i64>().map_err(|_| wrong("a whole number"))?.into(),
            Kind::Boolean => text.parse::<bool>().map_err(|_| wrong("true or false"))?.into(),
            Kind::List => {
                let list = input.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(text.into());
                }
                return Ok(());
            }
        };
        if input.insert(name.to_owned(), value).is_some() {
            return Err(Problem::invalid(format!("'{name}' appears twice")));
        }
        Ok(())
    }

    /// Adds the members of a body. What the path says, the body cannot say otherwise.
    pub fn put_body(&self, input: &mut Map<String, Value>, body: &[u8]) -> Result<(), Problem> {
        if body.is_empty() {
            return Ok(());
        }
        let members = strict::object(body).map_err(|error| {
            Problem::invalid(format!("the body must be a JSON object: {error}"))
        })?;
        for (name, value) in members {
            self.of_member(&name)?;
            if input.get(&name).is_some_and(|said| *said != value) {
                let why = format!("'{}' in the body differs from the path", name.escape_debug());
                return Err(Problem::invalid(why));
            }
            input.insert(name, value);
        }
        Ok(())
    }
}

fn kind_of(schema: &Value) -> Kind {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if types.contains(&"integer") || types.contains(&"number") {
        Kind::Number
    } else if types.contains(&"boolean") {
        Kind::Boolean
    } else if types.contains(&"array") {
        Kind::List
    } else {
        Kind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code)]
    struct Input {
        name: String,
        limit: Option<usize>,
        all: Option<bool>,
        tags: Vec<String>,
    }

    #[test]
    fn parameters_become_what_the_type_says() {
        let kinds = Kinds::of::<Input>();
        let mut input = Map::new();
        for (name, text) in
            [("name", "7"), ("limit", "7"), ("all", "true"), ("tags", "a"), ("tags", "b")]
        {
            kinds.put(&mut input, name, text).unwrap();
        }
        let expected =
            serde_json::json!({ "name": "7", "limit": 7, "all": true, "tags": ["a", "b"] });
        assert_eq!(Value::Object(input.clone()), expected);
        for (name, text) in [("limit", "x"), ("all", "1"), ("nope", ""), ("name", "again")] {
            assert!(kinds.put(&mut input.clone(), name, text).is_err(), "{name}");
        }
    }

    #[test]
    fn a_body_does_not_contradict_the_path() {
        let kinds = Kinds::of::<Input>();
        let mut input = Map::from_iter([("name".to_owned(), Value::from("a"))]);
        assert!(kinds.put_body(&mut input.clone(), br#"{"name":"b"}"#).is_err());
        assert!(kinds.put_body(&mut input.clone(), br#"{"nope":1}"#).is_err());
        assert!(kinds.put_body(&mut input.clone(), b"[1]").is_err());
        kinds.put_body(&mut input, br#"{"name":"a","limit":1}"#).unwrap();
        assert_eq!(input.len(), 2);
    }
}
