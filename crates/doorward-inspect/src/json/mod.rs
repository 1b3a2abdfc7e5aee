//! JSON texts with places: a walk over every string and number, and edits of them that leave valid JSON.
//!
//! The walk is strict about syntax (RFC 8259), iterative, and linear in the length of the text. Texts from peers have been
//! validated before by [`doorward_mcp::json::scan_object`], which is stricter; the walk adds what that scan does not give:
//! the place of each value.

mod edit;
mod unescape;
mod walk;

pub use edit::Edits;
pub use unescape::{Unescaped, unescape};
pub use walk::{NotJson, Path, Visitor, walk};
