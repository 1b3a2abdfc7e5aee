//! The rule set of the [`Scanner`](crate::Scanner): signals, each with an id, a weight, an explanation and examples.
//!
//! Rules are YAML files ([`RuleFile`]); `docs/detection.md` describes the format. The ready-made rules are part of the
//! gateway. A file of the operator adds concepts and signals, replaces signals by their ids, or turns them off.

mod compile;
mod file;

pub use compile::{BadRule, Rules};
pub(crate) use compile::{Chain, Compiled};
pub use file::{
    Builtin, Examples, Field, Pattern, RuleFile, Sequence, Signal, Subject, Thresholds,
};
