//! Input schemas that model APIs accept.
//!
//! The root is an object with `properties`, without `oneOf`, `anyOf` or `allOf`. What is none is merged where all
//! alternatives are objects, or wrapped in an object with the one member `value`; arguments are unwrapped on the way back.
//! The same schema always gives the same result, so nothing has to be stored between a list and a call.

use bytes::Bytes;
use doorward_mcp::{Object, Value};

use crate::clean::clean;
use crate::node::Node;
use crate::nulls;

/// The member that contains the arguments if the schema was wrapped.
pub const VALUE: &str = "value";
/// Longest schema that is adapted, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How many references may lead from one to the next.
pub(crate) const MOST_REFERENCES: usize = 16;

const COMBINED: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// A schema as a model API takes it.
#[derive(Debug, Clone)]
pub struct Adapted {
    pub(crate) root: Node,
    pub(crate) is_wrapped: bool,
    /// It accepts what the tool's own schema accepts, and nothing else.
    pub(crate) is_exact: bool,
    /// What was changed that a reader should know of.
    pub warnings: Vec<String>,
}

impl Adapted {
    /// Adapts the input schema of a tool.
    pub fn of(schema: Option<&Value>) -> Self {
        let text = schema.map(Value::to_bytes).unwrap_or_default();
        let mut warnings = Vec::new();
        let read = match text.len() {
            0 => Some(Node::object()),
            1..=MOST_BYTES => Node::parse(&text),
            _ => None,
        };
        let Some(read) = read.filter(Node::is_object) else {
            if &text[..] != b"true" {
                warnings
                    .push("its input schema cannot be read, so any arguments are described".into());
            }
            return Self { root: empty(), is_wrapped: false, is_exact: false, warnings };
        };
        let mut root = clean(&read, &mut warnings);
        let definitions = root.remove("$defs");
        if let Some(definitions) = &definitions {
            root.set("$defs", definitions.clone());
        }
        root = inlined(root);
        let (mut root, is_wrapped, is_exact) = shaped(root, &mut warnings);
        if !root.get("properties").is_some_and(Node::is_object) {
            root.set("properties", Node::object());
        }
        Self { root, is_wrapped, is_exact, warnings }
    }

    /// The schema, as JSON.
    pub fn to_bytes(&self) -> Bytes {
        self.root.to_bytes()
    }

    /// Arguments of a model in the form of the tool: what a strict schema has made required is absent again where it is
    /// null, and what was wrapped is unwrapped.
    pub fn arguments(&self, sent: &Object) -> Result<Object, String> {
        let sent = nulls::remove(&self.root, sent);
        if !self.is_wrapped {
            return Ok(sent);
        }
        let value = sent.get(VALUE).ok_or("the arguments lack the member 'value'")?;
        let value = value.as_object().ok_or("'value' must be an object")?;
        Ok(value.into_owned())
    }
}

fn empty() -> Node {
    Node::Object(vec![("type".into(), Node::text("object")), ("properties".into(), Node::object())])
}

/// What a reference leads to, within a schema.
pub(crate) fn resolve<'a>(root: &'a Node, reference: &str) -> Option<&'a Node> {
    let path = reference.strip_prefix('#')?;
    if path.is_empty() {
        return Some(root);
    }
    let mut at = root;
    for part in path.strip_prefix('/')?.split('/') {
        let part = part.replace("~1", "/").replace("~0", "~");
        at = match at {
            Node::Object(_) => at.get(&part)?,
            Node::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            Node::Scalar(_) => return None,
        };
    }
    Some(at)
}

/// Follows references that stand alone, but for words about them.
pub(crate) fn followed<'a>(root: &'a Node, mut schema: &'a Node) -> &'a Node {
    for _ in 0..MOST_REFERENCES {
        let Some(to) = schema.get("$ref").and_then(Node::as_str) else { break };
        let Some(found) = resolve(root, to) else { break };
        schema = found;
    }
    schema
}

/// A root that is a reference alone, as generators write it, is what it refers to.
fn inlined(mut root: Node) -> Node {
    let Some(to) = root.get("$ref").and_then(Node::as_str) else { return root };
    if to == "#"
        || root
            .members()
            .iter()
            .any(|(name, _)| !is_about(name) && name != "$ref" && name != "$defs")
    {
        return root;
    }
    let found = followed(&root, &root).clone();
    if !found.is_object() || found.has("$ref") {
        return root;
    }
    let mut made = found;
    for (name, value) in root.members() {
        if name != "$ref" && !made.has(name) {
            made.set(name, value.clone());
        }
    }
    root = made;
    root
}

/// Keywords that say nothing of what is valid.
pub(crate) fn is_about(name: &str) -> bool {
    matches!(
        name,
        "title" | "description" | "default" | "examples" | "deprecated" | "readOnly" | "writeOnly"
    )
}

/// Whether a schema only accepts objects, or says nothing else of what it accepts.
fn is_of_objects(root: &Node, schema: &Node) -> bool {
    let schema = followed(root, schema);
    let Node::Object(_) = schema else { return false };
    if COMBINED.iter().any(|name| schema.has(name)) || schema.has("$ref") {
        return false;
    }
    match schema.get("type") {
        Some(of) => of.as_str() == Some("object"),
        None => schema.has("properties") || schema.has("required"),
    }
}

/// The root as an object; whether it was wrapped, and whether it still means the same.
fn shaped(mut root: Node, warnings: &mut Vec<String>) -> (Node, bool, bool) {
    let kind = root.get("type").cloned();
    let is_object = match &kind {
        None => true,
        Some(Node::Array(kinds)) if kinds.len() == 1 => kinds[0].as_str() == Some("object"),
        Some(kind) => kind.as_str() == Some("object"),
    };
    let combined: Vec<&str> = COMBINED.into_iter().filter(|name| root.has(name)).collect();
    let plain = !root.has("$ref") && (kind.is_some() || !root.has("enum") && !root.has("const"));
    if !is_object || !plain {
        return (wrapped(root), true, true);
    }
    if combined.is_empty() {
        let mut made = Node::Object(vec![("type".into(), Node::text("object"))]);
        root.remove("type");
        for (name, value) in root.members() {
            made.set(name, value.clone());
        }
        return (made, false, true);
    }
    let mergeable = combined.iter().all(|name| {
        root.get(name).is_some_and(|of| of.items().iter().all(|one| is_of_objects(&root, one)))
    });
    if !mergeable {
        let names = combined.join("', '");
        warnings.push(format!(
            "its '{names}' has alternatives that are no objects, so the arguments are in 'value'"
        ));
        return (wrapped(root), true, true);
    }
    let names = combined.join("', '");
    warnings.push(format!("its '{names}' is described as one object with all members"));
    (merged(&root, &combined), false, false)
}

/// The schema as the member `value` of an object.
fn wrapped(mut schema: Node) -> Node {
    let definitions = schema.remove("$defs");
    let mut moved = moved(&schema);
    let description = moved.remove("description");
    let properties = Node::Object(vec![(VALUE.to_owned(), moved)]);
    let mut made = Node::Object(vec![("type".into(), Node::text("object"))]);
    if let Some(description) = description {
        made.set("description", description);
    }
    made.set("properties", properties);
    made.set("required", Node::Array(vec![Node::text(VALUE)]));
    made.set("additionalProperties", Node::bool(false));
    if let Some(definitions) = definitions {
        made.set("$defs", self::moved(&definitions));
    }
    made
}

/// With references to the former root.
fn moved(node: &Node) -> Node {
    match node {
        Node::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let to = value.as_str().filter(|to| {
                    name == "$ref"
                        && (*to == "#" || to.starts_with("#/"))
                        && !to.starts_with("#/$defs/")
                });
                let value = match to {
                    Some(to) => Node::text(format!("#/properties/{VALUE}{}", &to[1..])),
                    None => moved(value),
                };
                (name.clone(), value)
            });
            Node::Object(members.collect())
        }
        Node::Array(items) => Node::Array(items.iter().map(moved).collect()),
        Node::Scalar(_) => node.clone(),
    }
}

/// One object with the members of all alternatives: those are required that every call needs.
fn merged(root: &Node, combined: &[&str]) -> Node {
    let mut made = Node::Object(vec![("type".into(), Node::text("object"))]);
    for (name, value) in root.members() {
        if !combined.contains(&&**name) && name != "type" {
            made.set(name, value.clone());
        }
    }
    let mut properties = made.remove("properties").unwrap_or_else(Node::object);
    let mut required = names(made.get("required"));
    for name in combined {
        let branches: Vec<&Node> = root
            .get(name)
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .map(|it| followed(root, it))
            .collect();
        for branch in &branches {
            for (name, schema) in branch.get("properties").map(Node::members).unwrap_or_default() {
                let both = match properties.get(name) {
                    Some(known) if known != schema => either(known, schema),
                    _ => schema.clone(),
                };
                properties.set(name, both);
            }
        }
        let needed: Vec<Vec<String>> =
            branches.iter().map(|branch| names(branch.get("required"))).collect();
        for name in needed.iter().flatten() {
            let is_needed = *combined == ["allOf"] || needed.iter().all(|of| of.contains(name));
            if is_needed && !required.contains(name) {
                required.push(name.clone());
            }
        }
    }
    made.set("properties", properties);
    made.remove("additionalProperties");
    made.remove("unevaluatedProperties");
    made.remove("required");
    if !required.is_empty() {
        made.set("required", Node::Array(required.into_iter().map(Node::text).collect()));
    }
    made
}

/// One of two schemas.
fn either(one: &Node, other: &Node) -> Node {
    let mut all = match one.members() {
        [(name, Node::Array(all))] if name == "anyOf" => all.clone(),
        _ => vec![one.clone()],
    };
    if !all.contains(other) {
        all.push(other.clone());
    }
    Node::Object(vec![("anyOf".into(), Node::Array(all))])
}

/// The texts in a list.
pub(crate) fn names(list: Option<&Node>) -> Vec<String> {
    let items = list.map(Node::items).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(schema: &str) -> (String, bool, usize) {
        let schema = Value::Raw(Bytes::copy_from_slice(schema.as_bytes()));
        let made = Adapted::of(Some(&schema));
        let text = String::from_utf8(made.to_bytes().to_vec()).unwrap();
        (text, made.is_wrapped, made.warnings.len())
    }

    #[test]
    fn the_root_is_an_object_with_properties_and_nothing_of_vendors() {
        for (schema, made, is_wrapped, warnings) in [
            ("{}", r#"{"type":"object","properties":{}}"#, false, 0),
            ("true", r#"{"type":"object","properties":{}}"#, false, 0),
            ("7", r#"{"type":"object","properties":{}}"#, false, 1),
            (
                r#"{"$schema":"s","$id":"i","type":"object","x-order":1,"properties":{"x-a":{"type":"string","x-b":1,"nullable":true},"$id":{"type":"integer"}}}"#,
                r#"{"type":"object","properties":{"x-a":{"type":"string"},"$id":{"type":"integer"}}}"#,
                false,
                0,
            ),
            (
                r##"{"$ref":"#/definitions/A","definitions":{"A":{"type":"object","properties":{"b":{"$ref":"#/definitions/B"}}},"B":{"enum":[1]}}}"##,
                r##"{"type":"object","properties":{"b":{"$ref":"#/$defs/B"}},"$defs":{"A":{"type":"object","properties":{"b":{"$ref":"#/$defs/B"}}},"B":{"enum":[1]}}}"##,
                false,
                0,
            ),
            (
                r##"{"type":"array","description":"d","items":{"$ref":"#"}}"##,
                r##"{"type":"object","description":"d","properties":{"value":{"type":"array","items":{"$ref":"#/properties/value"}}},"required":["value"],"additionalProperties":false}"##,
                true,
                0,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"oneOf":[{"required":["b","c"],"properties":{"b":{"type":"string"},"c":{"type":"string"}}},{"type":"object","required":["b"],"properties":{"b":{"type":"integer"}}}]}"#,
                r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"anyOf":[{"type":"string"},{"type":"integer"}]},"c":{"type":"string"}},"required":["a","b"]}"#,
                false,
                1,
            ),
            (
                r#"{"allOf":[{"type":"object","required":["a"],"properties":{"a":{}}},{"type":"object","required":["b"],"properties":{"b":{}}}]}"#,
                r#"{"type":"object","properties":{"a":{},"b":{}},"required":["a","b"]}"#,
                false,
                1,
            ),
            (
                r#"{"anyOf":[{"type":"object"},{"type":"string"}]}"#,
                r#"{"type":"object","properties":{"value":{"anyOf":[{"type":"object"},{"type":"string"}]}},"required":["value"],"additionalProperties":false}"#,
                true,
                1,
            ),
        ] {
            assert_eq!(adapted(schema), (made.to_owned(), is_wrapped, warnings), "{schema}");
        }
    }

    #[test]
    fn references_to_other_documents_are_named_and_dropped() {
        let (made, _, warnings) = adapted(
            r#"{"type":"object","properties":{"a":{"$ref":"https://evil.example/schema"}}}"#,
        );
        assert_eq!((made.contains("evil"), warnings), (false, 1));
    }

    #[test]
    fn what_is_too_long_or_refers_in_a_circle_comes_to_an_end() {
        let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(MOST_BYTES));
        assert_eq!(adapted(&long).2, 1);
        let circle =
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##;
        assert!(adapted(circle).1);
    }

    #[test]
    fn wrapped_arguments_are_unwrapped() {
        let schema = Value::Raw(Bytes::from_static(br#"{"type":["object","null"]}"#));
        let made = Adapted::of(Some(&schema));
        let sent =
            |text: &'static str| Object::parse(&Bytes::from_static(text.as_bytes())).unwrap();
        let back = made.arguments(&sent(r#"{"value":{"a":1.0}}"#)).unwrap();
        assert_eq!(back.to_bytes(), r#"{"a":1.0}"#);
        assert!(made.arguments(&sent(r#"{"value":7}"#)).is_err());
        assert!(made.arguments(&sent("{}")).is_err());
    }
}
