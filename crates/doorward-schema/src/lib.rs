//! JSON Schemas of untrusted servers: compiled once and applied within limits, whatever a schema and a value combine
//! to.
//!
//! The cost of a schema alone is limited by `bounds`: its size, its patterns, and the paths through its references.
//! The cost with a value is counted and timed during validation (`metered`). Patterns are run by an engine whose time
//! grows with the text alone (`patterns`). Validations that may take longer than a moment run on other threads than
//! calls ([`Checks`]). Nothing is ever fetched: a `$ref` refers to the schema itself or to one of the specification's
//! own.

mod bounds;
mod checks;
mod coerce;
mod metered;
mod mismatch;
mod patterns;
pub mod repair;

use std::fmt;
use std::time::Duration;

use jsonschema::Validator;
use serde_json::Value;

use self::metered::{Allowed, Metered, Node, Spent, Until, within};
use self::patterns::Patterns;

pub use self::checks::{Checks, NoTurn};
pub use self::mismatch::Mismatches;

/// Maximum number of accesses to a value during validation, to which [`LOOKS_PER_BYTE`] is added; and during the
/// collection of errors.
const LOOKS: u32 = 100_000;
const LOOKS_PER_BYTE: u32 = 8;
const REPORT_LOOKS: u32 = 30_000;
/// Maximum number of errors reported for one value.
const MOST: usize = 50;

/// How long a validation may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Briefly, on a thread that serves calls. If the time is not sufficient, [`Mismatches::late`] is set.
    Glance,
    /// Longer, on a separate thread.
    Full,
}

impl Effort {
    fn until(self) -> Until {
        Until::after(match self {
            Self::Glance => Duration::from_millis(20),
            Self::Full => Duration::from_secs(2),
        })
    }
}

/// Why a schema cannot be used; a message for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// A compiled schema: JSON Schema 2020-12, or an earlier draft if `$schema` names one.
pub struct Schema {
    validator: Validator<Metered>,
    patterns: Patterns,
    /// The required members of the object.
    required: Vec<String>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// Compiles a schema from its JSON text. `format` is only an annotation in every dialect, as it is in 2020-12.
    pub fn compile(text: &[u8]) -> Result<Self, Unusable> {
        check_size(text.len())?;
        Self::of(&read(text)?)
    }

    /// Compiles a schema whose text size has been [checked](check_size).
    pub fn of(schema: &Value) -> Result<Self, Unusable> {
        let draft = bounds::check(schema)?;
        let (checkable, patterns) = patterns::checkable(schema);
        let built = jsonschema::options_for::<Metered>()
            .with_draft(draft)
            .with_pattern_options(patterns::options())
            .should_validate_formats(false)
            .offline()
            .build(&checkable);
        let validator = built.map_err(|error| {
            let place = error.instance_path().as_str();
            let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
            Unusable(format!(
                "is not a JSON Schema{place}: {}",
                mismatch::clipped(&error.to_string())
            ))
        })?;
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        Ok(Self { validator, patterns, required: required.map(str::to_owned).collect() })
    }

    /// The parts that are not validated, as a message for the operator; `None` if there are none.
    pub fn note(&self) -> Option<String> {
        self.patterns.note()
    }

    /// Whether a value of this many bytes may be validated with [`Effort::Glance`].
    pub fn is_quick(&self, bytes: usize) -> bool {
        bytes <= self.patterns.quick()
    }

    /// Validates a value of `bytes` bytes. Returns every error, as far as the limits allow.
    pub fn check(&self, value: &Value, bytes: usize, effort: Effort) -> Result<(), Mismatches> {
        self.check_until(value, bytes, &effort.until())
    }

    fn check_until(&self, value: &Value, bytes: usize, until: &Until) -> Result<(), Mismatches> {
        match self.fits(value, bytes, until) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.mismatches(value, until)),
            Err(spent) => Err(Mismatches::spent(spent)),
        }
    }

    /// Validates arguments. An optional argument that is null is removed, as are the headers that mirror it (spec
    /// 2026-07-28 basic/transports/streamable-http).
    pub fn check_arguments(
        &self,
        value: &mut Value,
        bytes: usize,
        effort: Effort,
    ) -> Result<(), Mismatches> {
        let until = effort.until();
        let checked = self.check_until(value, bytes, &until);
        match value {
            Value::Object(members) if checked.is_err() && members.values().any(Value::is_null) => {
                members.retain(|name, value| !value.is_null() || self.required.contains(name));
                self.check_until(value, bytes, &until)
            }
            _ => checked,
        }
    }

    fn allowed<'a>(&self, looks: u32, until: &'a Until) -> Allowed<'a> {
        Allowed { looks, until, longest: self.patterns.longest() }
    }

    fn fits(&self, value: &Value, bytes: usize, until: &Until) -> Result<bool, Spent> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let looks = LOOKS.saturating_add(bytes.saturating_mul(LOOKS_PER_BYTE));
        within(self.allowed(looks, until), || self.validator.is_valid(Node(value)))
    }

    fn mismatches(&self, value: &Value, until: &Until) -> Mismatches {
        let mut mismatches = Mismatches::default();
        let all = within(self.allowed(REPORT_LOOKS, until), || {
            for error in self.validator.iter_errors(Node(value)) {
                if !mismatches.add(&error, MOST) {
                    return false;
                }
            }
            true
        });
        mismatches.more = all != Ok(true);
        mismatches.late = all == Err(Spent::Time);
        mismatches.failures.sort_by(|one, other| one.path.cmp(&other.path));
        mismatches
    }

    /// Converts values of the wrong type with a clear meaning, such as `"5"` for an integer. Returns whether the
    /// value is now valid; it is changed only in that case. Returns `None` if the time was not sufficient.
    pub fn coerce(&self, value: &mut Value, bytes: usize, effort: Effort) -> Option<bool> {
        coerce::coerce(self, value, bytes, &effort.until())
    }
}

/// Rejects a schema whose text is too large.
pub fn check_size(bytes: usize) -> Result<(), Unusable> {
    if bytes > bounds::TEXT {
        return Err(Unusable(format!("is larger than {} KiB", bounds::TEXT >> 10)));
    }
    Ok(())
}

/// Parses a schema's text as JSON.
pub fn read(text: &[u8]) -> Result<Value, Unusable> {
    serde_json::from_slice(text).map_err(|error| Unusable(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Value, value: &Value) -> Result<(), Mismatches> {
        Schema::of(schema).unwrap().check(value, value.to_string().len(), Effort::Full)
    }

    /// A chain of definitions, each of which refers to the next in several ways.
    fn chain(length: usize, link: impl Fn(String) -> Value, end: Value) -> Value {
        let mut defs: serde_json::Map<_, _> = (0..length)
            .map(|at| (format!("d{at}"), link(format!("#/$defs/d{}", at + 1))))
            .collect();
        defs.insert(format!("d{length}"), end);
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    }

    #[test]
    fn every_error_has_its_path_and_what_was_expected() {
        let schema = json!({
            "type": "object",
            "properties": {
                "title": {"type": "string", "maxLength": 5},
                "labels": {"type": "array", "items": {"enum": ["a", "b"]}},
                "when": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]+$"}]},
                "count": {"type": "integer", "minimum": 1},
            },
            "required": ["title", "owner"],
            "additionalProperties": false,
        });
        let value = json!({
            "title": "far too long", "labels": ["a", "c"], "when": true, "count": 0, "what": 1,
        });
        let mismatches = check(&schema, &value).unwrap_err();
        insta::assert_snapshot!(mismatches.to_string(), @r#"
        /count: must be at least 1
        /labels/1: must be one of "a", "b"
        /owner: is missing
        /title: must have at most 5 characters
        /what: is not a known property
        /when: must match one of 2 schemas: must be null, not a boolean; or must be a string, not a boolean
        "#);
        assert!(!mismatches.more);
    }

    #[test]
    fn an_optional_argument_that_is_null_counts_as_absent() {
        let schema = Schema::of(&json!({
            "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
            "required": ["a"],
        }));
        let schema = schema.unwrap();
        for (mut value, path) in [
            (json!({ "a": "x", "b": null }), None),
            (json!({ "a": "x", "c": null }), None),
            (json!({ "a": null, "b": null }), Some("/a")),
            (json!({ "a": 1, "b": null }), Some("/a")),
        ] {
            let told = schema.check_arguments(&mut value, 100, Effort::Full).err();
            let paths: Vec<String> =
                told.into_iter().flat_map(|it| it.failures).map(|it| it.path).collect();
            assert_eq!(paths, Vec::from_iter(path.map(str::to_owned)));
        }
    }

    #[test]
    fn only_known_dialects_are_accepted() {
        // In draft-07, siblings of `$ref` are ignored.
        let beside = |dialect: Value| {
            let mut schema = json!({
                "definitions": {"any": true}, "$ref": "#/definitions/any", "type": "string",
            });
            if !dialect.is_null() {
                schema["$schema"] = dialect;
            }
            check(&schema, &json!(1)).is_ok()
        };
        for (dialect, ignored) in [
            (json!(null), false),
            (json!("https://json-schema.org/draft/2020-12/schema"), false),
            (json!("https://json-schema.org/draft/2019-09/schema#"), false),
            (json!("http://json-schema.org/draft-07/schema#"), true),
            (json!("http://json-schema.org/draft-07/schema"), true),
        ] {
            assert_eq!(beside(dialect.clone()), ignored, "{dialect}");
        }
        for other in [json!("https://example.com/mine"), json!(7)] {
            let why = Schema::of(&json!({"$schema": other})).unwrap_err();
            assert!(why.0.contains("dialect"), "{why}");
        }
    }

    #[test]
    fn references_are_not_fetched_and_costly_schemas_are_refused() {
        let many = |number: usize| {
            let one = |at| (format!("p{at}"), json!({"type": "string", "pattern": "a+b"}));
            json!({"properties": (0..number).map(one).collect::<serde_json::Map<_, _>>()})
        };
        let twice = |next: String| json!({"allOf": [{"$ref": next}, {"$ref": next}]});
        let unevaluated = |next: String| json!({"allOf": [{"$ref": next}, {"$ref": next}], "unevaluatedProperties": false});
        for (schema, why) in [
            (json!({"$ref": "http://127.0.0.1:1/x.json"}), "$ref"),
            (json!({"$ref": "file:///etc/passwd"}), "$ref"),
            (json!({"properties": {"a": {"$ref": "other.json#/a"}}}), "$ref"),
            (json!({"$ref": "#"}), "itself"),
            (json!({"allOf": [{"not": {"$ref": "#"}}]}), "itself"),
            (json!({"$dynamicAnchor": "n", "anyOf": [{"$dynamicRef": "#n"}]}), "itself"),
            (chain(40, twice, json!(true)), "paths"),
            (chain(40, unevaluated, json!({})), "paths"),
            (json!({"pattern": "(((a{1,1000}){1,1000}){1,1000})"}), "regex"),
            (json!({"pattern": "a".repeat(100_000)}), "patterns"),
            (many(10_000), "patterns"),
            (json!({"type": "nonsense"}), "not a JSON Schema at /type"),
            (json!("a string"), "object or a boolean"),
        ] {
            let began = std::time::Instant::now();
            let told = Schema::of(&schema).unwrap_err();
            assert!(told.0.contains(why), "{told}: {why}");
            assert!(began.elapsed().as_secs() < 2);
        }
        assert!(Schema::compile(&vec![b'['; 1_000]).is_err());
        assert!(Schema::compile(&vec![b' '; 2 << 20]).unwrap_err().0.contains("larger"));
    }

    #[test]
    fn validation_ends_for_any_schema() {
        let nested =
            |depth: usize| (0..depth).fold(json!({"leaf": 1}), |inner, _| json!({"x": inner}));
        let branch = json!({"properties": {"x": {"$ref": "#"}, "leaf": {"type": "string"}}});
        for keyword in ["anyOf", "oneOf", "allOf"] {
            let schema = json!({keyword: [branch, branch], "type": "object"});
            let began = std::time::Instant::now();
            let mismatches = check(&schema, &nested(60));
            assert!(began.elapsed().as_secs() < 2, "{keyword}");
            assert!(mismatches.is_err() || keyword == "allOf", "{keyword}");
        }
        for (pattern, fits) in [("^(a+)+(a|aa)+$", false), ("^(?=(a+)+$)(a|aa)+$", true)] {
            let stubborn = json!({"type": "string", "pattern": pattern});
            let began = std::time::Instant::now();
            let checked = check(&stubborn, &json!("a".repeat(200_000) + "b"));
            assert!(began.elapsed().as_secs() < 5, "{pattern}");
            assert_eq!(checked.is_ok(), fits, "{pattern}: lookaround is not checked");
        }
        // The limits of one validation do not affect the next.
        assert!(check(&json!({"type": "object"}), &json!({})).is_ok());
    }

    #[test]
    fn recursive_schemas_of_trees_are_accepted() {
        let schema = json!({
            "$defs": {"filter": {"anyOf": [
                {"type": "object", "properties": {"and": {"type": "array", "items": {"$ref": "#/$defs/filter"}}}, "required": ["and"]},
                {"type": "object", "properties": {"not": {"$ref": "#/$defs/filter"}}, "required": ["not"]},
                {"type": "object", "properties": {"field": {"type": "string"}}, "required": ["field"]},
            ]}},
            "type": "object", "properties": {"filter": {"$ref": "#/$defs/filter"}},
        });
        let good = json!({"filter": {"and": [{"not": {"field": "a"}}, {"field": "b"}]}});
        assert!(check(&schema, &good).is_ok());
        let bad = json!({"filter": {"and": [{"not": {"field": 1}}, {"field": "b"}]}});
        assert!(check(&schema, &bad).is_err());
    }
}
