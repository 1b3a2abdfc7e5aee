//! Patterns of schemas are programs of untrusted authors: only an engine whose time grows with the text alone may run
//! them.
//!
//! Patterns that this engine does not support (lookaround, backreferences) are not validated. The schema is relaxed
//! accordingly: whatever matches the original matches the rest.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jsonschema::PatternOptions;
use serde_json::{Map, Value, json};

use super::bounds::{DATA, NAMED, REFERENCES};
use super::metered::Metered;
use super::mismatch::clipped;

/// Maximum size of one compiled pattern, and of its cache while it runs, in bytes.
pub const SIZE: usize = 1 << 18;
/// Size classes of compiled patterns.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, SIZE];
/// The worst-case cost of a match is text length times program size. Up to this value, it may run on a thread
/// that serves calls.
const QUICK_COST: usize = 1 << 28;
/// Maximum of text length times program size. The larger the program, the shorter the texts it is applied to.
const MAX_COST: usize = 1 << 36;
/// Backtracking limit of the engine that is only used to find out whether a pattern is valid.
const BACKTRACKS: usize = 1;
/// Maximum number of patterns named in a message.
const NAMED_AT_MOST: usize = 3;

/// Properties of a schema's patterns.
#[derive(Debug)]
pub struct Patterns {
    /// Size class of the largest compiled pattern.
    largest: usize,
    /// Patterns that are not validated.
    unchecked: Vec<String>,
}

impl Patterns {
    /// Maximum size in bytes of values that may be validated on a thread that serves calls.
    pub fn quick(&self) -> usize {
        QUICK_COST / self.largest.max(SIZES[0])
    }

    /// Longer strings are not matched at all, because a match cannot be stopped.
    pub fn longest(&self) -> usize {
        if self.largest <= SIZES[1] { usize::MAX } else { MAX_COST / self.largest }
    }

    /// A message for the operator.
    pub fn note(&self) -> Option<String> {
        let first = self.unchecked.first()?;
        let named =
            self.unchecked.iter().take(NAMED_AT_MOST).map(|one| format!("'{}'", clipped(one)));
        let named = if self.unchecked.len() == 1 {
            format!("the pattern '{}'", clipped(first))
        } else {
            let more = if self.unchecked.len() > NAMED_AT_MOST { " and others" } else { "" };
            format!("the patterns {}{more}", named.collect::<Vec<_>>().join(", "))
        };
        let why = match is_literal(first) {
            true => "it is written as a JavaScript literal",
            false => "it needs lookaround or backreferences",
        };
        Some(format!("{named} is not validated: {why}"))
    }
}

pub fn options() -> PatternOptions<jsonschema::Regex> {
    of_size(SIZE)
}

fn of_size(size: usize) -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex().size_limit(size).dfa_size_limit(SIZE)
}

/// The schema without the patterns that cannot be validated.
pub fn checkable(schema: &Value) -> (Cow<'_, Value>, Patterns) {
    let mut found = HashSet::new();
    collect_patterns(schema, true, &mut found);
    let mut sizes: HashMap<&str, Option<usize>> = HashMap::new();
    for pattern in found {
        sizes.insert(pattern, SIZES.into_iter().find(|size| is_linear(pattern, *size)));
    }
    let largest = sizes.values().copied().flatten().max().unwrap_or_default();
    // Patterns that no engine accepts are invalid and are reported when the schema is compiled.
    let mut unchecked: Vec<String> = sizes
        .into_iter()
        .filter(|(pattern, size)| is_literal(pattern) || (size.is_none() && is_known(pattern)))
        .map(|(pattern, _)| pattern.to_owned())
        .collect();
    unchecked.sort_unstable();
    let schema = if unchecked.is_empty() {
        Cow::Borrowed(schema)
    } else {
        let mut relaxed = schema.clone();
        let without = unchecked.iter().map(String::as_str).collect();
        relax(&mut relaxed, true, &without);
        Cow::Owned(relaxed)
    };
    (schema, Patterns { largest, unchecked })
}

/// Whether a pattern is written as a JavaScript literal, with slashes and flags, and so would not match as
/// intended.
fn is_literal(pattern: &str) -> bool {
    let parts = pattern.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    let Some((inner, flags)) = parts else { return false };
    let is_anchored = inner.starts_with('^') || inner.ends_with('$');
    let is_pattern = inner.contains(['^', '$', '[', '(', '\\', '+', '*', '?', '|']);
    flags.bytes().all(|flag| b"dgimsuvy".contains(&flag))
        && (is_anchored || (is_pattern && !flags.is_empty()))
}

fn is_linear(pattern: &str, size: usize) -> bool {
    jsonschema::options_for::<Metered>()
        .with_pattern_options(of_size(size))
        .should_validate_formats(false)
        .offline()
        .build(&json!({ "pattern": pattern }))
        .is_ok()
}

/// Whether it is a valid pattern for a backtracking engine.
fn is_known(pattern: &str) -> bool {
    let options = PatternOptions::fancy_regex()
        .backtrack_limit(BACKTRACKS)
        .size_limit(SIZE)
        .dfa_size_limit(SIZE);
    jsonschema::options_for::<Metered>()
        .with_pattern_options(options)
        .should_validate_formats(false)
        .offline()
        .build(&json!({ "pattern": pattern }))
        .is_ok()
}

fn patterns_of(members: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let named = members.get("patternProperties").and_then(Value::as_object);
    let named = named.into_iter().flatten().map(|(pattern, _)| pattern.as_str());
    named.chain(members.get("pattern").and_then(Value::as_str))
}

fn collect_patterns<'a>(value: &'a Value, is_schema: bool, found: &mut HashSet<&'a str>) {
    match value {
        Value::Object(members) => {
            if is_schema {
                found.extend(patterns_of(members));
            }
            for (name, inner) in members {
                if !(is_schema && DATA.contains(&name.as_str())) {
                    collect_patterns(inner, !(is_schema && NAMED.contains(&name.as_str())), found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_patterns(item, true, found)),
        _ => {}
    }
}

/// Removes patterns, and with them the keywords that could then reject a valid value: those that negate their
/// subschemas, and those that depend on what other keywords evaluated.
fn relax(value: &mut Value, is_schema: bool, without: &HashSet<&str>) {
    let members = match value {
        Value::Object(members) => members,
        Value::Array(items) => {
            items.iter_mut().for_each(|item| relax(item, true, without));
            return;
        }
        _ => return,
    };
    if is_schema {
        let depends = |name: &str, members: &Map<String, Value>| {
            members.get(name).is_some_and(|part| depends_on(part, without))
        };
        if depends("not", members) {
            members.remove("not");
        }
        if depends("if", members) {
            for name in ["if", "then", "else"] {
                members.remove(name);
            }
        }
        if depends("contains", members) {
            members.remove("maxContains");
        }
        if depends("oneOf", members)
            && let Some(forms) = members.remove("oneOf")
            && !members.contains_key("anyOf")
        {
            members.insert("anyOf".into(), forms);
        }
        for name in ["unevaluatedProperties", "unevaluatedItems"] {
            members.remove(name);
        }
        if members.get("pattern").and_then(Value::as_str).is_some_and(|it| without.contains(it)) {
            members.remove("pattern");
        }
        if let Some(Value::Object(named)) = members.get_mut("patternProperties") {
            let before = named.len();
            named.retain(|pattern, _| !without.contains(pattern.as_str()));
            if named.len() < before {
                // The names that it would have matched are unknown, so no name counts as additional.
                named.insert(String::new(), Value::Bool(true));
            }
        }
    }
    for (name, inner) in members {
        if !(is_schema && DATA.contains(&name.as_str())) {
            relax(inner, !(is_schema && NAMED.contains(&name.as_str())), without);
        }
    }
}

/// Whether a subschema may accept more values without these patterns.
fn depends_on(part: &Value, without: &HashSet<&str>) -> bool {
    match part {
        Value::Object(members) => {
            REFERENCES.iter().any(|name| members.contains_key(*name))
                || patterns_of(members).any(|pattern| without.contains(pattern))
                || members.values().any(|inner| depends_on(inner, without))
        }
        Value::Array(items) => items.iter().any(|item| depends_on(item, without)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effort, Schema};

    const AHEAD: &str = "^(?!x)[a-z]+$";

    #[test]
    fn unsupported_patterns_are_not_validated_and_reject_nothing() {
        let ahead = json!({ "type": "string", "pattern": AHEAD });
        for (schema, value, fits) in [
            (ahead.clone(), json!("x1"), true),
            (ahead.clone(), json!(1), false),
            (json!({ "pattern": "^(a)\\1$" }), json!("b"), true),
            (json!({ "not": ahead }), json!("abc"), true),
            (json!({ "if": ahead, "then": false }), json!("abc"), true),
            (json!({ "oneOf": [ahead, { "type": "string" }] }), json!("x1"), true),
            (json!({ "oneOf": [ahead, { "type": "null" }] }), json!(1), false),
            (json!({ "$defs": { "a": ahead }, "not": { "$ref": "#/$defs/a" } }), json!("x1"), true),
            (json!({ "contains": ahead, "maxContains": 1 }), json!(["a", "x1"]), true),
            (json!({ "propertyNames": ahead }), json!({ "x1": 1 }), true),
            (
                json!({ "patternProperties": { AHEAD: { "type": "string" } }, "additionalProperties": false }),
                json!({ "abc": "a" }),
                true,
            ),
            (
                json!({ "patternProperties": { AHEAD: {}, "^n": { "type": "null" } } }),
                json!({ "n": 1 }),
                false,
            ),
            (
                json!({ "allOf": [{ "patternProperties": { AHEAD: {} } }], "unevaluatedProperties": false }),
                json!({ "abc": "a" }),
                true,
            ),
            // Named like a keyword, but data.
            (
                json!({ "properties": { "pattern": { "const": AHEAD } } }),
                json!({ "pattern": 1 }),
                false,
            ),
        ] {
            let compiled = Schema::of(&schema).unwrap();
            let checked = compiled.check(&value, 100, Effort::Full);
            assert_eq!(checked.is_ok(), fits, "{schema} {value}");
        }
        let note = Schema::of(&ahead).unwrap().note().unwrap();
        assert!(note.contains(AHEAD) && note.contains("lookaround"), "{note}");
        assert_eq!(Schema::of(&json!({ "pattern": "^[a-z]+$" })).unwrap().note(), None);
    }

    #[test]
    fn larger_programs_match_shorter_texts() {
        let of = |pattern: &str| checkable(&json!({ "pattern": pattern })).1;
        let small = of("^[a-z]+$");
        assert_eq!((small.quick(), small.longest()), (64 << 10, usize::MAX));
        let large = of("^([a-z]{1,60}[0-9]{1,60}){1,9}$");
        assert!(large.quick() < 16 << 10 && large.longest() <= 1 << 20, "{large:?}");
    }
}
