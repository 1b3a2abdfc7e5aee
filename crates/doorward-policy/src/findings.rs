//! Problems of policies: where, what, and what to do.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub file: String,
    /// From 1; 0 where no line is to blame.
    pub line: usize,
    pub problem: String,
    /// The policies are taken all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
}

impl Finding {
    pub fn new(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { file: file.into(), line, problem: problem.into(), warning: false }
    }

    /// Something that is allowed, and hardly meant.
    pub(crate) fn warning(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(file, line, problem) }
    }

    /// With the line in which a byte of the text stands.
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
