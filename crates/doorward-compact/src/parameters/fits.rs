//! Whether a value of a rule is valid, as far as types, constants and members tell.

use super::edit::resolve;
use crate::node::Node;

/// How many schemas are looked at for one value. What is beyond is accepted: arguments are validated in each call.
const MOST_STEPS: usize = 10_000;
const MOST_LEVELS: usize = 64;

/// Why a value does not fit a schema, if that is certain.
pub(super) fn fits(root: &Node, schema: &Node, value: &Node) -> Result<(), &'static str> {
    Check { root, left: MOST_STEPS }.value(schema, value, 0)
}

struct Check<'a> {
    root: &'a Node,
    left: usize,
}

impl Check<'_> {
    fn value(&mut self, schema: &Node, value: &Node, level: usize) -> Result<(), &'static str> {
        if self.left == 0 || level > MOST_LEVELS {
            return Ok(());
        }
        self.left -= 1;
        if schema.is_word("false") {
            return Err("its schema accepts nothing");
        }
        let found =
            schema.get("$ref").and_then(Node::as_text).and_then(|to| resolve(self.root, to));
        if let Some(found) = found {
            self.value(found, value, level + 1)?;
        }
        if !is_of_type(schema.get("type"), value) {
            return Err("it is of another type");
        }
        if let Some(Node::Array(all)) = schema.get("enum")
            && !all.iter().any(|one| one.is_equal(value))
        {
            return Err("it is none of the values in 'enum'");
        }
        if schema.get("const").is_some_and(|one| !one.is_equal(value)) {
            return Err("it is not the value of 'const'");
        }
        for one in schema.get("allOf").map(Node::items).unwrap_or_default() {
            self.value(one, value, level + 1)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(Node::Array(all)) = schema.get(keyword) else { continue };
            if !all.iter().any(|one| self.value(one, value, level + 1).is_ok()) {
                return Err("it fits none of the alternatives");
            }
        }
        match value {
            Node::Object(members) => self.members(schema, members, level),
            Node::Array(items) => {
                let Some(of) = schema.get("items").filter(|_| !schema.has("prefixItems")) else {
                    return Ok(());
                };
                items.iter().try_for_each(|item| self.value(of, item, level + 1))
            }
            Node::Word(_) | Node::Text(_) => Ok(()),
        }
    }

    fn members(
        &mut self,
        schema: &Node,
        members: &[(String, Node)],
        level: usize,
    ) -> Result<(), &'static str> {
        let has = |name: &str| members.iter().any(|(own, _)| own == name);
        let names = schema.get("required").map(Node::items).unwrap_or_default();
        if !names.iter().filter_map(Node::as_text).all(has) {
            return Err("it lacks a member that is required");
        }
        let is_closed = schema.get("additionalProperties").is_some_and(|of| of.is_word("false"))
            && !schema.has("patternProperties");
        for (name, value) in members {
            match schema.get("properties").and_then(|of| of.get(name)) {
                Some(of) => self.value(of, value, level + 1)?,
                None if is_closed => return Err("it has a member that its schema does not have"),
                None => {}
            }
        }
        Ok(())
    }
}

fn is_of_type(kinds: Option<&Node>, value: &Node) -> bool {
    let is_of = |kind: &str| match (kind, value) {
        ("null", Node::Word(word)) => word == "null",
        ("boolean", Node::Word(word)) => word == "true" || word == "false",
        ("number", Node::Word(word)) => is_number(word),
        ("integer", Node::Word(word)) => is_number(word) && is_whole(word),
        ("string", Node::Text(_)) | ("array", Node::Array(_)) | ("object", Node::Object(_)) => true,
        ("null" | "boolean" | "number" | "integer" | "string" | "array" | "object", _) => false,
        // No type of JSON Schema.
        _ => true,
    };
    match kinds {
        Some(Node::Text(kind)) => is_of(kind),
        Some(Node::Array(kinds)) => kinds.iter().filter_map(Node::as_text).any(is_of),
        _ => true,
    }
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn is_whole(word: &str) -> bool {
    let is_digits = word.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    is_digits || word.parse::<f64>().is_ok_and(|number| number.fract() == 0.0)
}
