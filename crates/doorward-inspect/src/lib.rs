//! Inspection of what passes through the gateway: pure functions from texts and JSON to findings and rewritten texts.
//!
//! - [`Scanner`] looks for instructions that are hidden in definitions of tools and in results, by a [rule set](rules).
//! - [`strip_json`] removes characters that are not seen.
//! - [`Detectors`] finds secrets and personal data; [`Redactor`] masks, hashes or tokenizes them in JSON and text.
//! - [`written`] cleans what is written to audit records, logs and spans, by the built-in detectors.
//!
//! No I/O, no clock, no state but the detectors of [`written`]. All work is linear in the length of the input, and what a [`Budget`] does not cover is
//! reported as not inspected. Findings are a measured signal, not a promise (`docs/detection.md`); that stripped text
//! contains no invisible characters, and that redacted JSON is JSON, is a promise.

mod block;
mod budget;
mod clean;
pub mod detect;
mod field;
pub mod json;
mod map;
mod place;
pub mod redact;
pub mod rules;
pub mod scan;
pub mod text;
pub mod written;
mod yaml;

pub use budget::Budget;
pub use clean::{Cleaned, strip_json};
pub use detect::{Detectors, Match};
pub use field::{FieldPattern, Opaque};
pub use map::Map;
pub use place::Place;
pub use redact::{Action, Plan, Redactor};
pub use rules::{RuleFile, Rules};
pub use scan::{Finding, Mentions, Report, Scanner, Subject};
pub use yaml::BadFile;
