//! JSON files of editors, with comments and trailing commas: where everything stands, so that one entry can be added or
//! taken out without touching the rest of the file.

mod edit;
mod scan;

pub use edit::{insert_item, insert_member, remove_item, remove_member, style};
pub use scan::{Node, parse};

/// Why a file cannot be edited, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Offset in bytes.
    pub at: usize,
    pub what: String,
}

impl Wrong {
    pub fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}
