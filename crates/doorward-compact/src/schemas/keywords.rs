//! Where schemas stand within a schema.

use crate::node::Node;

/// Keywords whose value is a schema, or in older drafts a list of schemas.
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
    "prefixItems",
    "anyOf",
    "oneOf",
    "allOf",
];
/// Keywords whose value has schemas by name.
const NAMED: &[&str] = &[
    "$defs",
    "definitions",
    "properties",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
];

/// The kind of place that a keyword has.
pub(crate) enum Place {
    /// One schema, or a list of them.
    Schema,
    Named,
    /// No schema.
    Other,
}

pub(crate) fn place(keyword: &str) -> Place {
    if ONE.contains(&keyword) {
        Place::Schema
    } else if NAMED.contains(&keyword) {
        Place::Named
    } else {
        Place::Other
    }
}

/// Calls a function on a schema, and then on each schema within.
pub(crate) fn each_schema_mut(schema: &mut Node, change: &mut impl FnMut(&mut Node)) {
    change(schema);
    let Node::Object(members) = schema else { return };
    for (keyword, value) in members {
        match (place(keyword), value) {
            (Place::Schema, Node::Array(items)) => {
                items.iter_mut().for_each(|item| each_schema_mut(item, change));
            }
            (Place::Schema, one) => each_schema_mut(one, change),
            (Place::Named, Node::Object(named)) => {
                named.iter_mut().for_each(|(_, one)| each_schema_mut(one, change));
            }
            (Place::Named | Place::Other, _) => {}
        }
    }
}

/// A copy in which each schema directly within is replaced.
pub(crate) fn with_inner<'a>(schema: &'a Node, made: &mut impl FnMut(&'a Node) -> Node) -> Node {
    let Node::Object(members) = schema else { return schema.clone() };
    let members = members.iter().map(|(keyword, value)| {
        let value = match (place(keyword), value) {
            (Place::Schema, Node::Array(items)) => {
                Node::Array(items.iter().map(&mut *made).collect())
            }
            (Place::Schema, one) => made(one),
            (Place::Named, Node::Object(named)) => {
                Node::Object(named.iter().map(|(name, one)| (name.clone(), made(one))).collect())
            }
            (Place::Named | Place::Other, other) => other.clone(),
        };
        (keyword.clone(), value)
    });
    Node::Object(members.collect())
}

/// The schemas directly within.
pub(crate) fn inner(schema: &Node) -> Vec<&Node> {
    let mut all = Vec::new();
    for (keyword, value) in schema.members() {
        match (place(keyword), value) {
            (Place::Schema, Node::Array(items)) => all.extend(items),
            (Place::Schema, one) => all.push(one),
            (Place::Named, Node::Object(named)) => all.extend(named.iter().map(|(_, one)| one)),
            (Place::Named | Place::Other, _) => {}
        }
    }
    all
}
