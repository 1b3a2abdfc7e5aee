//! Schemas of OpenAPI documents as JSON Schemas of tools: referenced schemas are included under `$defs`, so that each
//! is self-contained; constructs of OpenAPI 3.0 are translated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use crate::description::Description;

/// The direction of a value: `readOnly` properties are not sent, `writeOnly` properties are not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Sent,
    Received,
}

/// Keywords that are of no use to a caller of the tool.
const IGNORED: [&str; 6] =
    ["xml", "externalDocs", "example", "examples", "discriminator", "deprecated"];
/// Keywords whose members have arbitrary names.
const NAMED: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const DEEPEST: usize = 64;

/// Collects the definitions that schemas refer to.
pub struct Definitions<'a> {
    description: &'a Description,
    way: Way,
    /// Names under `$defs`, by reference.
    names: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    waiting: VecDeque<String>,
}

impl<'a> Definitions<'a> {
    pub fn new(description: &'a Description, way: Way) -> Self {
        let (names, taken, waiting) = Default::default();
        Self { description, way, names, taken, waiting }
    }

    /// Converts a schema for a tool. The error names what cannot be converted.
    pub fn converted(&mut self, schema: &Value) -> Result<Value, String> {
        self.convert(schema, 0)
    }

    /// All referenced schemas, for `$defs`.
    pub fn all(mut self) -> Result<Map<String, Value>, String> {
        let mut all = Map::new();
        while let Some(reference) = self.waiting.pop_front() {
            let found = self.description.at(&reference);
            let found = found.ok_or_else(|| {
                format!(
                    "'{reference}' is not part of the document; external references are not fetched"
                )
            })?;
            let schema = self.convert(found, 0)?;
            all.insert(self.names[&reference].clone(), schema);
        }
        Ok(all)
    }

    fn refer(&mut self, reference: &str) -> Result<String, String> {
        if !reference.starts_with("#/") {
            return Err(format!(
                "'{reference}' is not part of the document; external references are not fetched"
            ));
        }
        if let Some(name) = self.names.get(reference) {
            return Ok(name.clone());
        }
        let last = reference.rsplit('/').next().unwrap_or_default();
        let plain: String = last
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' })
            .collect();
        let mut name = plain.clone();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        self.names.insert(reference.to_owned(), name.clone());
        self.waiting.push_back(reference.to_owned());
        Ok(name)
    }

    fn convert(&mut self, schema: &Value, depth: usize) -> Result<Value, String> {
        let Value::Object(members) = schema else { return Ok(schema.clone()) };
        if depth > DEEPEST {
            return Err(format!("a schema nests more than {DEEPEST} deep"));
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let name = self.refer(reference)?;
            let mut out = Map::new();
            out.insert("$ref".into(), format!("#/$defs/{name}").into());
            // Siblings of `$ref` apply in 3.1; usually it is a description.
            if let Some(described) = members.get("description") {
                out.insert("description".into(), described.clone());
            }
            return Ok(Value::Object(out));
        }
        let mut out = Map::new();
        for (name, value) in members {
            if IGNORED.contains(&name.as_str()) || name.starts_with("x-") {
                continue;
            }
            let converted = match value {
                _ if matches!(name.as_str(), "enum" | "const" | "default" | "required") => {
                    value.clone()
                }
                Value::Object(named) if NAMED.contains(&name.as_str()) => {
                    let mut all = Map::new();
                    for (key, inner) in named {
                        if name == "properties" && self.is_omitted(inner) {
                            continue;
                        }
                        all.insert(key.clone(), self.convert(inner, depth + 1)?);
                    }
                    Value::Object(all)
                }
                Value::Object(_) => self.convert(value, depth + 1)?,
                Value::Array(items) => {
                    let items = items.iter().map(|item| self.convert(item, depth + 1));
                    Value::Array(items.collect::<Result<_, _>>()?)
                }
                other => other.clone(),
            };
            out.insert(name.clone(), converted);
        }
        self.remove_omitted(members, &mut out);
        if self.description.is_3_0 {
            from_3_0(&mut out);
        }
        // They concern a property, not its value.
        out.remove("readOnly");
        out.remove("writeOnly");
        Ok(Value::Object(out))
    }

    /// Whether a property is omitted in this direction.
    fn is_omitted(&self, property: &Value) -> bool {
        let property = self.description.resolved(property).unwrap_or(property);
        let says = |name: &str| property.get(name).and_then(Value::as_bool) == Some(true);
        match self.way {
            Way::Sent => says("readOnly"),
            Way::Received => says("writeOnly"),
        }
    }

    /// Omitted properties are not required.
    fn remove_omitted(&self, members: &Map<String, Value>, out: &mut Map<String, Value>) {
        let Some(properties) = members.get("properties").and_then(Value::as_object) else { return };
        if let Some(required) = out.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| {
                let property = name.as_str().and_then(|name| properties.get(name));
                property.is_none_or(|property| !self.is_omitted(property))
            });
        }
    }
}

/// Converts `nullable` and boolean exclusive bounds to JSON Schema 2020-12.
fn from_3_0(schema: &mut Map<String, Value>) {
    for (bound, excludes) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match schema.get(excludes).and_then(Value::as_bool) {
            Some(true) => {
                let limit = schema.remove(bound);
                schema.remove(excludes);
                if let Some(limit) = limit {
                    schema.insert(excludes.into(), limit);
                }
            }
            Some(false) => _ = schema.remove(excludes),
            None => {}
        }
    }
    if schema.remove("nullable").and_then(|it| it.as_bool()) != Some(true) {
        return;
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    match schema.get("type").cloned() {
        Some(Value::String(one)) => _ = schema.insert("type".into(), json!([one, "null"])),
        _ if ["allOf", "anyOf", "oneOf"].iter().any(|name| schema.contains_key(*name)) => {
            let mut described = Map::new();
            if let Some(text) = schema.remove("description") {
                described.insert("description".into(), text);
            }
            let inner = Value::Object(std::mem::take(schema));
            *schema = described;
            schema.insert("anyOf".into(), json!([inner, { "type": "null" }]));
        }
        _ => {}
    }
}
