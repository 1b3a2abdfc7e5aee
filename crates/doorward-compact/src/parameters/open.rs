//! What a schema is once the references and wrappers around it are gone.

use super::edit::resolve;
use crate::node::Node;

/// How many references and wrappers are opened at one place.
const MOST: usize = 16;

/// Keywords that say nothing of what is valid, at any place or at the root.
fn is_about(name: &str) -> bool {
    name.starts_with("x-")
        || matches!(
            name,
            "title"
                | "description"
                | "default"
                | "examples"
                | "example"
                | "deprecated"
                | "readOnly"
                | "writeOnly"
                | "$comment"
                | "$schema"
                | "$id"
                | "$defs"
                | "definitions"
        )
}

/// Writes out what a schema refers to or wraps: a `$ref`, an `allOf` of one schema, and an `anyOf` or `oneOf` of one
/// schema and null, each beside nothing but annotations. The meaning is the same. `copy` is called with each schema that
/// is copied, and may refuse it.
pub(super) fn open(
    schema: &mut Node,
    root: &Node,
    mut copy: impl FnMut(&Node) -> Result<(), String>,
) -> Result<(), String> {
    let mut is_nullable = false;
    for _ in 0..MOST {
        let wraps = |name: &&str| matches!(*name, "$ref" | "allOf" | "anyOf" | "oneOf");
        let mut names =
            schema.members().iter().map(|(name, _)| &**name).filter(|name| !is_about(name));
        let (Some(wrapper), None) = (names.next().filter(wraps), names.next()) else { break };
        let (wrapper, inner) = (wrapper.to_owned(), schema.get(wrapper));
        let inner = match inner {
            Some(Node::Text(to)) if wrapper == "$ref" => {
                let found = resolve(root, to);
                let found = found.ok_or_else(|| {
                    format!("its reference '{to}' leads nowhere within the schema")
                })?;
                copy(found)?;
                found.clone()
            }
            Some(Node::Array(all)) => match (&all[..], &*wrapper) {
                ([one], "allOf" | "anyOf" | "oneOf") => one.clone(),
                ([one, null] | [null, one], "anyOf" | "oneOf")
                    if is_null(null) && !is_null(one) =>
                {
                    is_nullable = true;
                    one.clone()
                }
                _ => break,
            },
            _ => break,
        };
        let Node::Object(_) = inner else { break };
        let mut made = inner;
        for (name, value) in schema.members() {
            if *name != wrapper {
                made.set(name, value.clone());
            }
        }
        *schema = made;
    }
    if is_nullable {
        add_null(schema);
    }
    Ok(())
}

fn is_null(schema: &Node) -> bool {
    schema.get("type").and_then(Node::as_text) == Some("null")
        && schema.members().iter().all(|(name, _)| name == "type" || is_about(name))
}

/// Keywords of objects and arrays do not concern null. What has others, or no type, does not accept it.
fn add_null(schema: &mut Node) {
    let null = Node::text("null");
    let Some(kinds) = schema.get_mut("type") else { return };
    match kinds {
        Node::Text(kind) if matches!(&**kind, "object" | "array") => {
            *kinds = Node::Array(vec![kinds.clone(), null]);
        }
        Node::Array(kinds) if !kinds.contains(&null) => kinds.push(null),
        _ => {}
    }
}
