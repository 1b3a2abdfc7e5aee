//! Cleans a text that is written line by line, such as what a program says on its standard error.

use std::borrow::Cow;

use super::{Keep, text};

/// Lines of a private key that are masked at most. What has no end is no key.
const LONGEST: usize = 200;

/// Cleans lines in their order: a private key has many, of which only the first says what it is.
#[derive(Debug, Default)]
pub struct Lines {
    /// Lines since a private key began.
    key: Option<usize>,
}

impl Lines {
    /// The next line as it may be written.
    pub fn clean<'a>(&mut self, line: &'a str, keep: Keep) -> Cow<'a, str> {
        if let Some(lines) = self.key {
            let ends = line.contains("-----END ");
            self.key = (!ends && lines < LONGEST).then_some(lines + 1);
            return Cow::Borrowed("[SECRET]");
        }
        if line.contains("-----BEGIN ")
            && line.contains("PRIVATE KEY")
            && !line.contains("-----END ")
        {
            self.key = Some(0);
        }
        text(line, keep)
    }
}
