//! Problems of policies: where, what, and what to do.

use std::fmt;

use serde::Serialize;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub file: String,
    /// From 1; 0 if the problem has no line.
    pub line: usize,
    pub problem: String,
    /// A warning: the policies are accepted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
}

impl Finding {
    pub fn new(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { file: file.into(), line, problem: problem.into(), warning: false }
    }

    /// Creates a warning: permitted, but probably not intended.
    pub(crate) fn warning(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(file, line, problem) }
    }

    /// Sets the line from a byte offset into the text.
    pub(crate) fn at(file: &str, text: &str, offset: usize, problem: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..offset.min(text.len())).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self::new(file, line, problem)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.warning { "warning: " } else { "" };
        match self.line {
            0 => write!(f, "{}: {word}{}", self.file, self.problem),
            line => write!(f, "{}:{line}: {word}{}", self.file, self.problem),
        }
    }
}
