//! Schemas without what is none of JSON Schema: keywords of vendors, and of documents.

use crate::node::Node;

/// The keywords of JSON Schema that are passed on. All others are of vendors, or concern whoever reads the schema as a
/// document of its own (`$schema`, `$id`, `$comment`).
const KEYWORDS: &[&str] = &[
    "$ref",
    "$defs",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "type",
    "enum",
    "const",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "unevaluatedProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "items",
    "prefixItems",
    "additionalItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "unevaluatedItems",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
];
/// Keywords whose value is a schema.
const ONE: &[&str] = &[
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LISTED: &[&str] = &["prefixItems", "anyOf", "oneOf", "allOf"];
/// Keywords whose value has schemas by name.
const NAMED: &[&str] = &["$defs", "properties", "patternProperties", "dependentSchemas"];

/// The schema without keywords that are not of JSON Schema, with all definitions under `$defs`.
pub(crate) fn clean(schema: &Node, warnings: &mut Vec<String>) -> Node {
    let Node::Object(members) = schema else { return schema.clone() };
    let mut made = Vec::with_capacity(members.len());
    let has_defs = schema.has("$defs");
    for (name, value) in members {
        let name = match &**name {
            "definitions" if !has_defs => "$defs",
            name => name,
        };
        if !KEYWORDS.contains(&name) {
            continue;
        }
        let value = match value {
            Node::Object(_) | Node::Array(_) if ONE.contains(&name) => match value {
                // Of older drafts: a list of items by position.
                Node::Array(items) => {
                    Node::Array(items.iter().map(|item| clean(item, warnings)).collect())
                }
                one => clean(one, warnings),
            },
            Node::Array(items) if LISTED.contains(&name) => {
                Node::Array(items.iter().map(|item| clean(item, warnings)).collect())
            }
            Node::Object(named) if NAMED.contains(&name) => {
                let cleaned = named.iter().map(|(name, of)| (name.clone(), clean(of, warnings)));
                Node::Object(cleaned.collect())
            }
            Node::Scalar(_) if name == "$ref" => match value.as_str() {
                Some(to) if to.starts_with('#') => {
                    Node::text(to.replacen("#/definitions/", "#/$defs/", 1))
                }
                _ => {
                    let to = value.as_str().unwrap_or_default();
                    warnings.push(format!("it refers to '{to}' elsewhere, which is not described"));
                    continue;
                }
            },
            other => other.clone(),
        };
        made.push((name.to_owned(), value));
    }
    Node::Object(made)
}
