//! Takes out the nulls by which a strict schema has a model say that an argument is absent.
//!
//! A null is taken out where a member is optional and does not accept it: as it stands, it could only be refused. Everything
//! else stays as it was sent, byte for byte.

use std::cell::Cell;

use doorward_mcp::{Object, Value};
use serde_json::Value as Json;

use crate::node::Node;
use crate::schema::{followed, names};

/// How many bytes are looked at for one call, beside eight times its own. What is beyond stays as it was sent.
const MOST_BYTES: usize = 4 << 20;
/// What a look costs at least, in bytes.
const LOOK: usize = 64;
const MOST_LEVELS: usize = 128;

/// Arguments without such nulls.
pub(crate) fn remove(root: &Node, sent: &Object) -> Object {
    let walk = Walk { root, left: Cell::new(MOST_BYTES + 8 * sent.size_hint()) };
    walk.object(root, sent, 0).unwrap_or_else(|| sent.clone())
}

/// Whether a schema accepts null, as far as can be seen without validating.
pub(crate) fn accepts_null(root: &Node, schema: &Node) -> bool {
    fn accepts(root: &Node, schema: &Node, level: usize) -> bool {
        let schema = followed(root, schema);
        if level > MOST_LEVELS {
            return false;
        }
        let Node::Object(_) = schema else { return schema.as_bool() == Some(true) };
        if schema.has("$ref") {
            return false;
        }
        let by_type = match schema.get("type") {
            None => true,
            Some(Node::Array(kinds)) => kinds.iter().any(|kind| kind.as_str() == Some("null")),
            Some(kind) => kind.as_str() == Some("null"),
        };
        let by_values = match (schema.get("enum"), schema.get("const")) {
            (Some(values), _) => values.items().iter().any(Node::is_null),
            (None, Some(value)) => value.is_null(),
            (None, None) => true,
        };
        let by_any = ["anyOf", "oneOf"].iter().all(|name| {
            schema
                .get(name)
                .is_none_or(|of| of.items().iter().any(|one| accepts(root, one, level + 1)))
        });
        let by_all = schema
            .get("allOf")
            .is_none_or(|of| of.items().iter().all(|one| accepts(root, one, level + 1)));
        by_type && by_values && by_any && by_all
    }
    accepts(root, schema, 0)
}

struct Walk<'a> {
    root: &'a Node,
    /// Bytes that may still be looked at.
    left: Cell<usize>,
}

impl Walk<'_> {
    fn may_look(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes + LOOK);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// A value without such nulls; `None` if it has none.
    fn value(&self, schema: &Node, value: &Value, level: usize) -> Option<Value> {
        let schema = followed(self.root, schema);
        if level > MOST_LEVELS || !schema.is_object() || !self.may_look(length(value)) {
            return None;
        }
        if let Some(object) = value.as_object() {
            return self.object(schema, &object, level).map(Value::Object);
        }
        let items = value.as_array()?;
        if let Some(of) = schema.get("items").filter(|of| of.is_object()) {
            let made: Vec<Option<Value>> =
                items.iter().map(|item| self.value(of, item, level + 1)).collect();
            if made.iter().any(Option::is_some) {
                let all: Vec<Value> =
                    made.into_iter().zip(items).map(|(made, item)| made.unwrap_or(item)).collect();
                return Some(Value::array(&all));
            }
            return None;
        }
        self.alternative(schema, value, level)
    }

    fn object(&self, schema: &Node, sent: &Object, level: usize) -> Option<Object> {
        let schema = followed(self.root, schema);
        let mut made: Option<Object> = None;
        let required = names(schema.get("required"));
        for (name, of) in schema.get("properties").map(Node::members).unwrap_or_default() {
            if !self.may_look(0) {
                break;
            }
            let Some(value) = sent.get(name) else { continue };
            if value.is_null() {
                if !required.contains(name) && !accepts_null(self.root, of) {
                    made.get_or_insert_with(|| sent.clone()).remove(name);
                }
            } else if let Some(changed) = self.value(of, value, level + 1) {
                made.get_or_insert_with(|| sent.clone()).set(name, changed);
            }
        }
        for one in schema.get("allOf").map(Node::items).unwrap_or_default() {
            let now = made.as_ref().unwrap_or(sent);
            if level < MOST_LEVELS
                && let Some(changed) = self.object(one, now, level + 1)
            {
                made = Some(changed);
            }
        }
        let now = Value::Object(made.clone().unwrap_or_else(|| sent.clone()));
        match self.alternative(schema, &now, level) {
            Some(changed) => changed.as_object().map(std::borrow::Cow::into_owned),
            None => made,
        }
    }

    /// As the first alternative has it that the value fits, or would fit without such nulls.
    fn alternative(&self, schema: &Node, value: &Value, level: usize) -> Option<Value> {
        let branches = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(name))?.items();
        if level > MOST_LEVELS {
            return None;
        }
        for branch in branches {
            let changed = self.value(branch, value, level + 1);
            let now = changed.as_ref().unwrap_or(value);
            if !self.may_look(length(now)) {
                return None;
            }
            let parsed = serde_json::from_slice(&now.to_bytes()).ok()?;
            if self.fits(branch, &parsed, level + 1) {
                return changed;
            }
        }
        None
    }

    /// Whether a value is valid, as far as types, constants and members tell.
    fn fits(&self, schema: &Node, value: &Json, level: usize) -> bool {
        let schema = followed(self.root, schema);
        if level > MOST_LEVELS || !self.may_look(0) {
            return false;
        }
        let Node::Object(_) = schema else { return schema.as_bool() != Some(false) };
        let is_kind = |kind: &str| match kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            "number" => value.is_number(),
            _ => true,
        };
        let by_type = match schema.get("type") {
            None => true,
            Some(Node::Array(kinds)) => kinds.iter().filter_map(Node::as_str).any(is_kind),
            Some(kind) => kind.as_str().is_none_or(is_kind),
        };
        let by_values = match (schema.get("enum"), schema.get("const")) {
            (Some(values), _) => values.items().iter().any(|one| one.to_serde() == *value),
            (None, Some(one)) => one.to_serde() == *value,
            (None, None) => true,
        };
        let by_branches = ["anyOf", "oneOf"].iter().all(|name| {
            schema
                .get(name)
                .is_none_or(|of| of.items().iter().any(|one| self.fits(one, value, level + 1)))
        });
        by_type && by_values && by_branches && self.fits_within(schema, value, level)
    }

    fn fits_within(&self, schema: &Node, value: &Json, level: usize) -> bool {
        match value {
            Json::Array(items) => schema
                .get("items")
                .is_none_or(|of| items.iter().all(|item| self.fits(of, item, level + 1))),
            Json::Object(members) => {
                let known = schema.get("properties").map(Node::members).unwrap_or_default();
                let of = |name: &str| known.iter().find(|(own, _)| own == name).map(|(_, of)| of);
                let is_closed =
                    schema.get("additionalProperties").and_then(Node::as_bool) == Some(false);
                let required = names(schema.get("required"));
                required.iter().all(|name| members.contains_key(name))
                    && members.iter().all(|(name, value)| match of(name) {
                        Some(schema) => self.fits(schema, value, level + 1),
                        None => !is_closed,
                    })
            }
            _ => true,
        }
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::Raw(text) => text.len(),
        Value::Object(object) => object.size_hint(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Adapted;
    use bytes::Bytes;

    fn back(schema: &str, sent: &str) -> String {
        let schema = Value::Raw(Bytes::copy_from_slice(schema.as_bytes()));
        let sent = Object::parse(&Bytes::copy_from_slice(sent.as_bytes())).unwrap();
        let made = Adapted::of(Some(&schema)).arguments(&sent).unwrap();
        String::from_utf8(made.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn nulls_go_where_they_mean_that_an_argument_is_absent() {
        let schema = r##"{"type":"object","required":["a"],"properties":{
            "a":{"type":"string"},"b":{"type":"string"},"c":{"type":["string","null"]},"d":{},
            "e":{"type":"object","properties":{"f":{"type":"integer"}}},
            "g":{"type":"array","items":{"$ref":"#/$defs/G"}},
            "h":{"anyOf":[
                {"type":"object","properties":{"kind":{"const":"x"},"n":{"type":"integer"}},"required":["kind"]},
                {"type":"object","properties":{"kind":{"const":"y"},"n":{"type":["integer","null"]}},"required":["kind","n"]}]}},
            "$defs":{"G":{"type":"object","properties":{"i":{"enum":[1,2]}}}}}"##;
        for (sent, made) in [
            (r#"{"a":null,"b":null,"c":null,"d":null}"#, r#"{"a":null,"c":null,"d":null}"#),
            (r#"{"e":{"f":null},"b":"x"}"#, r#"{"e":{},"b":"x"}"#),
            (r#"{"g":[{"i":null},{"i":1}]}"#, r#"{"g":[{},{"i":1}]}"#),
            (r#"{"h":{"kind":"x","n":null}}"#, r#"{"h":{"kind":"x"}}"#),
            (r#"{"h":{"kind":"y","n":null}}"#, r#"{"h":{"kind":"y","n":null}}"#),
            (r#"{"unknown":null,"b": 1.00}"#, r#"{"unknown":null,"b": 1.00}"#),
        ] {
            assert_eq!(back(schema, sent), made);
        }
    }

    #[test]
    fn the_work_for_one_call_is_bounded() {
        // Each level doubles what there is to try.
        let mut schema = r#"{"type":"string"}"#.to_owned();
        for _ in 0..40 {
            schema = format!(
                r#"{{"anyOf":[{{"type":"array","items":{schema}}},{{"type":"array","items":{{"type":"null"}}}}]}}"#
            );
        }
        let schema = format!(r#"{{"type":"object","properties":{{"a":{schema}}}}}"#);
        let sent = format!(r#"{{"a":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
        assert_eq!(back(&schema, &sent), sent);
    }
}
