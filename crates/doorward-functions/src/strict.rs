//! Schemas for the strict mode of OpenAI: every object is closed, and all of its members are required. What was optional
//! accepts null, which [`Adapted::arguments`](crate::Adapted::arguments) takes out again.
//!
//! A schema is converted only if whatever is valid by the converted one is valid by the tool's own afterwards. Otherwise the
//! reason is returned, and the tool is listed without strict mode.

use bytes::Bytes;
use serde_json::Value;

use crate::node::Node;
use crate::nulls::accepts_null;
use crate::schema::{Adapted, is_about, names, resolve};

/// Limits of strict schemas: levels of objects, members, and values of one `enum`.
const MOST_LEVELS: usize = 10;
const MOST_PROPERTIES: usize = 5_000;
const MOST_VALUES: usize = 1_000;
/// Formats that strict schemas may name. Others are dropped, because a format is no condition of validity.
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
/// Keywords that are passed on as they are.
const KEPT: &[&str] = &[
    "title",
    "description",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
];

impl Adapted {
    /// The schema for strict mode, or why it has none.
    pub fn strict(&self) -> Result<Bytes, String> {
        if !self.is_exact {
            return Err("alternatives at its root have no strict form".into());
        }
        let mut converter = Converter { root: &self.root, properties: 0 };
        let mut made = converter.convert(&self.root, "", 0)?;
        if let Some(definitions) = self.root.get("$defs") {
            let mut all = Vec::new();
            for (name, schema) in definitions.members() {
                all.push((name.clone(), converter.convert(schema, &format!("/$defs/{name}"), 1)?));
            }
            made.set("$defs", Node::Object(all));
        }
        Ok(made.to_bytes())
    }
}

struct Converter<'a> {
    root: &'a Node,
    properties: usize,
}

impl Converter<'_> {
    fn convert(&mut self, schema: &Node, at: &str, level: usize) -> Result<Node, String> {
        let refused = |why: &str| Err(format!("'{}' {why}", if at.is_empty() { "/" } else { at }));
        let Node::Object(members) = schema else { return refused("has no type") };
        if level > MOST_LEVELS {
            return refused("is nested too deeply");
        }
        if let Some(to) = schema.get("$ref") {
            let to = to.as_str().unwrap_or_default();
            let is_alone = members.iter().all(|(name, _)| is_about(name) || name == "$ref");
            let is_plain =
                to == "#" || to.strip_prefix("#/$defs/").is_some_and(|name| !name.contains('/'));
            if !is_alone || !is_plain || resolve(self.root, to).is_none() {
                return refused("has a reference that strict mode does not accept");
            }
            return Ok(Node::Object(vec![("$ref".into(), Node::text(to))]));
        }
        if let Some(all) = schema.get("allOf") {
            let [one] = all.items() else { return refused("has 'allOf'") };
            let mut both = one.clone();
            for (name, value) in
                members.iter().filter(|(name, _)| name != "allOf" && name != "$defs")
            {
                if !is_about(name) {
                    return refused("has 'allOf' beside other keywords");
                }
                if !both.has("$ref") {
                    both.set(name, value.clone());
                }
            }
            return self.convert(&both, at, level);
        }
        for combined in ["anyOf", "oneOf"] {
            let Some(branches) = schema.get(combined) else { continue };
            let allowed = |name: &str| is_about(name) || name == combined || name == "$defs";
            if members.iter().any(|(name, _)| !allowed(name)) || branches.items().is_empty() {
                return refused(&format!("has '{combined}' beside other keywords"));
            }
            if combined == "oneOf" && !self.are_distinct(branches.items()) {
                return refused("has 'oneOf' with alternatives that may be valid together");
            }
            let mut made = Vec::new();
            for (number, branch) in branches.items().iter().enumerate() {
                made.push(self.convert(branch, &format!("{at}/{combined}/{number}"), level)?);
            }
            let mut node = Node::object();
            for (name, value) in members.iter().filter(|(name, _)| KEPT.contains(&&**name)) {
                node.set(name, value.clone());
            }
            node.set("anyOf", Node::Array(made));
            return Ok(node);
        }
        self.plain(members, schema, at, level)
    }

    /// A schema without references and alternatives.
    fn plain(
        &mut self,
        members: &[(String, Node)],
        schema: &Node,
        at: &str,
        level: usize,
    ) -> Result<Node, String> {
        let place = if at.is_empty() { "/" } else { at };
        let refused = |why: String| Err(format!("'{place}' {why}"));
        let mut made = Node::object();
        let kinds = match (schema.get("type"), schema.get("enum"), schema.get("const")) {
            (Some(Node::Array(_)), ..) => names(schema.get("type")),
            (Some(kind), ..) => kind.as_str().map(str::to_owned).into_iter().collect(),
            (None, Some(values), _) => kinds_of(values.items()),
            (None, None, Some(value)) => kinds_of(std::slice::from_ref(value)),
            (None, None, None) => Vec::new(),
        };
        if kinds.is_empty() {
            return refused("has no type".into());
        }
        let is_one = kinds.len() == 1;
        made.set(
            "type",
            match is_one {
                true => Node::text(&*kinds[0]),
                false => Node::Array(kinds.iter().map(Node::text).collect()),
            },
        );
        for (name, value) in members {
            match &**name {
                "type" | "properties" | "required" | "additionalProperties" | "items" | "$defs" => {
                }
                "enum" => {
                    // A value of another type is never valid.
                    let is_valid = |value: &&Node| {
                        let of = kinds_of(std::slice::from_ref(*value));
                        let is = |kind: &String| {
                            of[0] == *kind || (kind == "number" && of[0] == "integer")
                        };
                        kinds.iter().any(is)
                    };
                    let values: Vec<Node> =
                        value.items().iter().filter(is_valid).cloned().collect();
                    if values.is_empty() || values.len() > MOST_VALUES {
                        return refused(format!("has {} values", values.len()));
                    }
                    made.set(name, Node::Array(values));
                }
                "const" => made.set(name, value.clone()),
                "format" => {
                    if value.as_str().is_some_and(|format| FORMATS.contains(&format)) {
                        made.set(name, value.clone());
                    }
                }
                "uniqueItems" if value.as_bool() == Some(false) => {}
                name if KEPT.contains(&name) => made.set(name, value.clone()),
                name if is_about(name) || name.starts_with("content") => {}
                name => return refused(format!("has '{name}'")),
            }
        }
        let is_limited = schema.has("enum") || schema.has("const");
        if kinds.iter().any(|kind| kind == "array") && !is_limited {
            let Some(items @ Node::Object(_)) = schema.get("items") else {
                return refused("is an array of anything".into());
            };
            made.set("items", self.convert(items, &format!("{at}/items"), level + 1)?);
        }
        if kinds.iter().any(|kind| kind == "object") && !is_limited {
            self.members(schema, &mut made, at, level)?;
        }
        Ok(made)
    }

    /// Closes an object, and requires all of its members.
    fn members(
        &mut self,
        schema: &Node,
        made: &mut Node,
        at: &str,
        level: usize,
    ) -> Result<(), String> {
        let place = if at.is_empty() { "/" } else { at };
        let known = schema.get("properties").map(Node::members).unwrap_or_default();
        let more = schema.get("additionalProperties");
        let is_map = more.is_some_and(|more| more.as_bool().is_none());
        let is_open =
            more.and_then(Node::as_bool) == Some(true) || (more.is_none() && !at.is_empty());
        if is_map && more.is_some_and(|more| !more.members().is_empty())
            || known.is_empty() && (is_open || is_map)
        {
            return Err(format!("'{place}' is a map: it accepts members of any name"));
        }
        let required = names(schema.get("required"));
        if let Some(unknown) =
            required.iter().find(|name| known.iter().all(|(own, _)| own != *name))
        {
            return Err(format!("'{place}' requires '{unknown}', which it does not describe"));
        }
        self.properties += known.len();
        if self.properties > MOST_PROPERTIES {
            return Err("it has too many members".into());
        }
        let mut all = Vec::new();
        for (name, schema) in known {
            let mut member = self.convert(schema, &format!("{at}/{name}"), level + 1)?;
            if !required.contains(name) && !accepts_null(self.root, schema) {
                member = or_null(member);
            }
            all.push((name.clone(), member));
        }
        let needed = all.iter().map(|(name, _)| Node::text(&**name)).collect();
        made.set("properties", Node::Object(all));
        made.set("required", Node::Array(needed));
        made.set("additionalProperties", Node::bool(false));
        Ok(())
    }

    /// Whether no value is valid by two of these schemas, as far as can be seen: they have different types, or require a
    /// member with different constants.
    fn are_distinct(&self, branches: &[Node]) -> bool {
        let mut seen: Vec<Mark> = Vec::new();
        for branch in branches {
            let Some(mark) = Mark::of(crate::schema::followed(self.root, branch)) else {
                return false;
            };
            if seen.iter().any(|other| !mark.excludes(other)) {
                return false;
            }
            seen.push(mark);
        }
        true
    }
}

/// What tells an alternative from others.
struct Mark {
    kinds: Vec<String>,
    /// The constants of required members, by name.
    constants: Vec<(String, Vec<Value>)>,
}

impl Mark {
    fn of(schema: &Node) -> Option<Self> {
        let kinds = match schema.get("type") {
            Some(Node::Array(_)) => names(schema.get("type")),
            Some(kind) => vec![kind.as_str()?.to_owned()],
            None => kinds_of(&values_of(schema)?),
        };
        let required = names(schema.get("required"));
        let members = schema.get("properties").map(Node::members).unwrap_or_default();
        let mut constants: Vec<(String, Vec<Value>)> = members
            .iter()
            .filter(|(name, _)| required.contains(name))
            .filter_map(|(name, of)| {
                let values = values_of(of)?;
                Some((name.clone(), values.iter().map(Node::to_serde).collect()))
            })
            .collect();
        // Of the value itself.
        if let Some(values) = values_of(schema) {
            constants.push((String::new(), values.iter().map(Node::to_serde).collect()));
        }
        Some(Self { kinds, constants })
    }

    fn excludes(&self, other: &Self) -> bool {
        let clashes = |one: &str, other: &str| {
            one == other || matches!((one, other), ("integer", "number") | ("number", "integer"))
        };
        let differs = self.kinds.iter().all(|one| !other.kinds.iter().any(|it| clashes(one, it)));
        differs
            || self.constants.iter().any(|(name, values)| {
                other.constants.iter().any(|(of, others)| {
                    of == name && values.iter().all(|value| !others.contains(value))
                })
            })
    }
}

fn values_of(schema: &Node) -> Option<Vec<Node>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Node::Array(values)), _) => Some(values.clone()),
        (_, Some(value)) => Some(vec![value.clone()]),
        _ => None,
    }
}

/// The types of values, each once.
fn kinds_of(values: &[Node]) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for value in values {
        let kind = match value {
            Node::Array(_) => "array",
            Node::Object(_) => "object",
            Node::Scalar(Value::Null) => "null",
            Node::Scalar(Value::Bool(_)) => "boolean",
            Node::Scalar(Value::Number(number)) if number.is_f64() => "number",
            Node::Scalar(Value::Number(_)) => "integer",
            Node::Scalar(_) => "string",
        };
        if !kinds.iter().any(|known| known == kind) {
            kinds.push(kind.to_owned());
        }
    }
    kinds
}

/// A converted schema that accepts null as well.
fn or_null(mut schema: Node) -> Node {
    let is_fixed = schema.has("const") || schema.has("$ref");
    if let Some(Node::Array(branches)) = schema.get("anyOf") {
        let mut branches = branches.clone();
        branches.push(Node::null_type());
        schema.set("anyOf", Node::Array(branches));
        return schema;
    }
    if is_fixed {
        return Node::Object(vec![("anyOf".into(), Node::Array(vec![schema, Node::null_type()]))]);
    }
    let mut kinds = match schema.get("type") {
        Some(Node::Array(kinds)) => kinds.clone(),
        Some(kind) => vec![kind.clone()],
        None => Vec::new(),
    };
    kinds.push(Node::text("null"));
    schema.set("type", Node::Array(kinds));
    if let Some(Node::Array(values)) = schema.get("enum") {
        let mut values = values.clone();
        values.push(Node::null());
        schema.set("enum", Node::Array(values));
    }
    schema
}
