//! Validation errors that let a model correct its arguments: the path and what was expected. The value itself is
//! not repeated.

use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde::Serialize;
use serde_json::Value;

use super::metered::Spent;

/// Maximum length of a path or message, in characters.
const LONGEST: usize = 300;
/// Maximum number of alternatives listed in a message.
const FEW: usize = 8;

/// One error: its place in the value and the problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// A JSON Pointer (RFC 6901).
    pub path: String,
    pub problem: String,
}

/// The errors of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatches {
    pub failures: Vec<Mismatch>,
    /// There may be further errors.
    pub more: bool,
    /// The time was not sufficient for the validation.
    pub late: bool,
}

impl Mismatches {
    pub fn one(path: impl Into<String>, problem: impl Into<String>) -> Self {
        let failure = Mismatch { path: path.into(), problem: problem.into() };
        Self { failures: vec![failure], more: false, late: false }
    }

    /// For a value that takes too long to validate.
    pub fn too_costly() -> Self {
        Self::one("", "takes too long to validate against the schema; send less data")
    }

    pub(super) fn spent(spent: Spent) -> Self {
        Self { late: spent == Spent::Time, ..Self::too_costly() }
    }

    /// Adds an error. Returns `false` if the maximum is reached.
    pub(super) fn add(&mut self, error: &ValidationError<'_>, most: usize) -> bool {
        let path = error.instance_path().as_str();
        let below = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        let problems: Vec<(String, String)> = match error.kind() {
            ValidationErrorKind::Required { property } => {
                vec![(below(property.as_str().unwrap_or_default()), "is missing".into())]
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
                .iter()
                .map(|name| (below(name), "is not a known property".into()))
                .collect(),
            _ => vec![(path.to_owned(), problem(error))],
        };
        for (path, problem) in problems {
            if self.failures.len() >= most {
                return false;
            }
            self.failures.push(Mismatch { path: clipped(&path), problem: clipped(&problem) });
        }
        true
    }
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, failure) in self.failures.iter().enumerate() {
            let path = if failure.path.is_empty() { "(all of it)" } else { &failure.path };
            let end = if at + 1 < self.failures.len() || self.more { "\n" } else { "" };
            write!(f, "{path}: {}{end}", failure.problem)?;
        }
        if self.more {
            f.write_str("and there may be more")?;
        }
        Ok(())
    }
}

/// Truncates a text to [`LONGEST`] characters.
pub fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn problem(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    match error.kind() {
        Kind::Type { kind } => {
            let wanted: Vec<String> = match kind {
                TypeKind::Single(one) => vec![noun(&one.to_string()).into()],
                TypeKind::Multiple(several) => {
                    several.iter().map(|one| noun(&one.to_string()).into()).collect()
                }
            };
            format!("must be {}, not {}", wanted.join(" or "), type_of(error.instance()))
        }
        Kind::Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            let mut problems: Vec<_> = options.iter().take(FEW * 4).map(Value::to_string).collect();
            if options.len() > problems.len() {
                problems.push("…".into());
            }
            format!("must be one of {}", problems.join(", "))
        }
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::Pattern { pattern } => format!("must match the pattern {pattern}"),
        Kind::UniqueItems => "must not contain duplicate items".into(),
        Kind::Contains => "does not contain a required item".into(),
        Kind::FalseSchema => "is not allowed".into(),
        Kind::Not { .. } => "has a form that is not allowed here".into(),
        Kind::PropertyNames { error } => format!("has a property whose name {}", problem(error)),
        Kind::OneOfMultipleValid { .. } => "matches several schemas of which it must match \
            exactly one"
            .into(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let first = context.iter().take(FEW).filter_map(|errors| errors.first());
            let problems: Vec<_> = first.map(|error| within(error)).collect();
            format!("must match one of {} schemas: {}", context.len(), problems.join("; or "))
        }
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            "takes too long to match against the pattern".into()
        }
        _ => error.masked_with("it").to_string(),
    }
}

/// The message for one of several alternatives.
fn within(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Required { property } => format!("must have {property}"),
        _ => problem(error),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn noun(word: &str) -> &str {
    match word {
        "null" => "null",
        "boolean" => "a boolean",
        "number" => "a number",
        "integer" => "an integer",
        "string" => "a string",
        "array" => "an array",
        "object" => "an object",
        other => other,
    }
}
