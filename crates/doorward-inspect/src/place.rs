//! Where something was found.

use std::ops::Range;

/// A place in an inspected text or JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The JSON pointer of the value (RFC 6901); for a member name, that of the member. Empty for plain text.
    pub pointer: String,
    /// In bytes of the inspected text, escapes included.
    pub range: Range<usize>,
    /// The place is in the name of the member, not in its value.
    pub in_name: bool,
}
