//! Edits of a JSON text.

use std::ops::Range;

use bytes::BytesMut;
use doorward_mcp::json::quote_into;

/// Replacements in a text, in ascending order of their places.
#[derive(Debug, Default)]
pub struct Edits {
    edits: Vec<(Range<usize>, String)>,
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Replaces the contents of a string, between its quotes, by another value.
    pub fn string(&mut self, range: Range<usize>, value: &str) {
        let mut quoted = BytesMut::with_capacity(value.len() + 2);
        quote_into(&mut quoted, value);
        let contents = quoted[1..quoted.len() - 1].to_vec();
        // It is a text, for it was made of one.
        let contents = String::from_utf8(contents)
            .unwrap_or_else(|other| String::from_utf8_lossy(other.as_bytes()).into_owned());
        self.raw(range, contents);
    }

    /// Replaces a part of the text as it is.
    pub fn raw(&mut self, range: Range<usize>, text: String) {
        self.edits.push((range, text));
    }

    /// The text with all replacements. Replacements that overlap an earlier one are left out.
    pub fn apply(mut self, text: &str) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for (range, replacement) in &self.edits {
            if range.start < done {
                continue;
            }
            out.push_str(&text[done..range.start]);
            out.push_str(replacement);
            done = range.end;
        }
        out.push_str(&text[done..]);
        out
    }
}
