//! The cost of a schema before it is applied to a value: its size, the number of its patterns, and the number of paths
//! through its references that do not descend into the value.

use std::collections::HashMap;

use jsonschema::Draft;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::Unusable;

/// Maximum size of a schema's text, in bytes.
pub const TEXT: usize = 1 << 20;
const SUBSCHEMAS: usize = 50_000;
const PATTERNS: usize = 200;
const PATTERN_BYTES: usize = 16 << 10;
/// Maximum number of subschemas that are applied to the same value, counting every path to them.
const PATHS: usize = 2_000;
/// The same, as a sum over all subschemas.
const ALL_PATHS: usize = 500_000;

/// Keywords whose subschemas apply to the same value.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SINGLES: [&str; 4] = ["not", "if", "then", "else"];
const MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
pub const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords whose values are not schemas.
pub const DATA: [&str; 5] = ["enum", "const", "default", "examples", "required"];
/// Keywords whose members are subschemas under arbitrary names.
pub const NAMED: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

const DIALECTS: [(&str, Draft); 5] = [
    ("json-schema.org/draft/2020-12/schema", Draft::Draft202012),
    ("json-schema.org/draft/2019-09/schema", Draft::Draft201909),
    ("json-schema.org/draft-07/schema", Draft::Draft7),
    ("json-schema.org/draft-06/schema", Draft::Draft6),
    ("json-schema.org/draft-04/schema", Draft::Draft4),
];

/// Checks the cost of a schema before it is compiled, and returns its dialect.
pub fn check(schema: &Value) -> Result<Draft, Unusable> {
    if !(schema.is_object() || schema.is_boolean()) {
        return Err(Unusable("must be an object or a boolean".into()));
    }
    let draft = dialect(schema)?;
    let mut survey = Survey::new(schema);
    survey.visit(schema, true)?;
    let places = std::mem::take(&mut survey.places);
    let mut all = 0_usize;
    for place in places {
        all += survey.paths(place)?;
        if all > ALL_PATHS {
            return Err(Unusable("has too many paths through its references".into()));
        }
    }
    Ok(draft)
}

fn dialect(schema: &Value) -> Result<Draft, Unusable> {
    let Some(named) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let text = named.as_str().unwrap_or_default();
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let bare = bare.map(|bare| bare.strip_suffix('#').unwrap_or(bare));
    let known = DIALECTS.iter().find(|(name, _)| Some(*name) == bare);
    known.map(|(_, draft)| *draft).ok_or_else(|| {
        let clipped = super::mismatch::clipped(&named.to_string());
        Unusable(format!("uses the dialect {clipped}, which is not supported"))
    })
}

/// The parts of a schema, by address.
struct Survey<'a> {
    root: &'a Value,
    subschemas: usize,
    patterns: usize,
    pattern_bytes: usize,
    /// All subschemas.
    places: Vec<&'a Value>,
    /// Subschemas by anchor, and by `$id`.
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    ids: Vec<(&'a str, &'a Value)>,
    /// The number of paths from a subschema; `None` while it is being counted.
    counted: HashMap<*const Value, Option<usize>>,
}

impl<'a> Survey<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            subschemas: 0,
            patterns: 0,
            pattern_bytes: 0,
            places: Vec::new(),
            anchors: HashMap::new(),
            ids: Vec::new(),
            counted: HashMap::new(),
        }
    }

    /// Visits a value and everything below it. `is_schema` is false if its members are arbitrary names.
    fn visit(&mut self, value: &'a Value, is_schema: bool) -> Result<(), Unusable> {
        match value {
            Value::Object(members) => {
                self.subschemas += 1;
                if self.subschemas > SUBSCHEMAS {
                    return Err(Unusable(format!("has more than {SUBSCHEMAS} parts")));
                }
                if is_schema {
                    self.note(value, members)?;
                }
                for (name, inner) in members {
                    if is_schema && DATA.contains(&name.as_str()) {
                        continue;
                    }
                    self.visit(inner, !(is_schema && NAMED.contains(&name.as_str())))?;
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.visit(item, true)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, value: &'a Value, members: &'a Map<String, Value>) -> Result<(), Unusable> {
        self.places.push(value);
        let by_name = members.get("patternProperties").and_then(Value::as_object);
        let patterns = by_name.into_iter().flatten().map(|(pattern, _)| pattern.as_str());
        for pattern in patterns.chain(members.get("pattern").and_then(Value::as_str)) {
            self.patterns += 1;
            self.pattern_bytes += pattern.len();
        }
        if self.patterns > PATTERNS || self.pattern_bytes > PATTERN_BYTES {
            let most = PATTERN_BYTES >> 10;
            let why = format!("has more than {PATTERNS} patterns, or more than {most} KiB of them");
            return Err(Unusable(why));
        }
        for name in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = members.get(name).and_then(Value::as_str) {
                self.anchors.entry(anchor).or_default().push(value);
            }
        }
        for name in ["$id", "id"] {
            if let Some(id) = members.get(name).and_then(Value::as_str) {
                self.ids.push((id, value));
                // The anchor syntax of draft-07.
                if let Some(anchor) = id.strip_prefix('#') {
                    self.anchors.entry(anchor).or_default().push(value);
                }
            }
        }
        Ok(())
    }

    /// The number of subschemas applied to a value that is validated against this one.
    fn paths(&mut self, schema: &'a Value) -> Result<usize, Unusable> {
        let Some(members) = schema.as_object() else { return Ok(1) };
        match self.counted.get(&std::ptr::from_ref(schema)) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => {
                let why = "refers to itself without descending into the value";
                return Err(Unusable(why.into()));
            }
            None => {}
        }
        self.counted.insert(schema, None);
        let mut next = Vec::new();
        for name in LISTS {
            next.extend(members.get(name).and_then(Value::as_array).into_iter().flatten());
        }
        next.extend(SINGLES.iter().filter_map(|name| members.get(*name)));
        for name in MAPS {
            let map = members.get(name).and_then(Value::as_object);
            next.extend(map.into_iter().flatten().map(|(_, schema)| schema));
        }
        for name in REFERENCES {
            if let Some(reference) = members.get(name).and_then(Value::as_str) {
                next.extend(self.targets(reference)?);
            }
        }
        let mut paths = 1_usize;
        for schema in next {
            paths += self.paths(schema)?;
            if paths > PATHS {
                return Err(Unusable("has too many paths through its references".into()));
            }
        }
        self.counted.insert(schema, Some(paths));
        Ok(paths)
    }

    /// All possible targets of a reference: rather too many than too few.
    fn targets(&self, reference: &str) -> Result<Vec<&'a Value>, Unusable> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let ids = self.ids.iter();
        let mut documents: Vec<&Value> = if document.is_empty() {
            // If a subschema has an identifier, references within it are resolved against it.
            ids.map(|(_, value)| *value).chain([self.root]).collect()
        } else {
            let same = |id: &str| id.trim_end_matches('#').ends_with(document);
            ids.filter(|(id, _)| same(id)).map(|(_, value)| *value).collect()
        };
        documents.sort_by_key(|value| std::ptr::from_ref(*value));
        documents.dedup_by_key(|value| std::ptr::from_ref(*value));
        if documents.is_empty() {
            // The meta-schemas are built in and do not refer back to this schema.
            if reference.contains("://json-schema.org/draft") {
                return Ok(Vec::new());
            }
            let clipped = super::mismatch::clipped(reference);
            let why = format!(
                "has a $ref to '{clipped}', which is not part of the schema; external \
                references are not fetched"
            );
            return Err(Unusable(why));
        }
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(documents.iter().filter_map(|value| value.pointer(&fragment)).collect());
        }
        Ok(self.anchors.get(fragment.as_ref()).cloned().unwrap_or_default())
    }
}
