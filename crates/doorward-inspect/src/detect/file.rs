//! The format of detector files.

use serde::Deserialize;

use crate::rules::Examples;

/// A file of detectors.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorFile {
    /// A detector with the id of an earlier one replaces it.
    pub detectors: Vec<DetectorRule>,
    /// Ids of detectors, built-in ones among them, that are turned off.
    pub off: Vec<String>,
}

/// A detector by literals, a regular expression, fields or hashes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorRule {
    pub id: String,
    /// What it finds: `secret`, `email` or any other name of letters, digits and underscores.
    pub class: String,
    /// Without a regular expression: what is found, as whole words in any case. With one: at least one of them is in or
    /// before every match, in any case.
    #[serde(default)]
    pub literals: Vec<String>,
    #[serde(default)]
    pub regex: Option<String>,
    #[serde(default)]
    pub position: Position,
    /// Most bytes of a match (or, for `before`, between the literal and the end of the match). At most 8192.
    #[serde(default = "default_reach")]
    pub reach: usize,
    /// Least entropy of a match, in bits per byte.
    #[serde(default)]
    pub entropy: f64,
    /// Pointers (RFC 6901) of values that are found whatever they contain; `*` stands for any one name or index.
    #[serde(default)]
    pub fields: Vec<String>,
    /// SHA-256 of values, in hexadecimal. Compared with whole strings and words of them.
    #[serde(default)]
    pub hashes: Vec<String>,
    /// Lengths of the values behind the hashes, least and most, in bytes.
    #[serde(default = "default_lengths")]
    pub lengths: (usize, usize),
    #[serde(default)]
    pub examples: Examples,
}

pub(super) fn default_reach() -> usize {
    256
}

pub(super) fn default_lengths() -> (usize, usize) {
    (6, 128)
}

/// Where the literal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The match begins with it.
    #[default]
    Start,
    /// The match contains it, at most 128 bytes behind its start.
    Inside,
    /// It is before the match, which begins within 64 bytes behind it, and is assigned: behind `=`, `:`, `>`, `is` and
    /// the like.
    Before,
    /// It is before the match, which begins within 64 bytes behind it.
    Near,
}
