//! What makes tools cheap for a model's context, and parameters of a tool that a portal fixes, hides or describes.
//!
//! Everything here is a pure function: no sockets, no clock, no log. Whoever calls it knows the settings, the tools and
//! the caller. Each function is total: text that cannot be read (no JSON, repeated names, more than [`MOST_LEVELS`]
//! levels) is returned unchanged or refused, as its documentation says, and never panics.
//!
//! | module | content |
//! |---|---|
//! | [`schemas`] | input and output schemas without what a model can do without, with the same meaning |
//! | [`results`] | text results in pieces, and arrays of objects as tables |
//! | [`parameters`] | input schemas and arguments by a portal's rules |
//! | [`Path`] | the notation of a place within JSON: `a.b`, `list[].name`, `"a.b".c` |

mod node;
pub mod parameters;
mod path;
pub mod results;
pub mod schemas;
mod shorten;

pub use node::MOST_LEVELS;
pub use path::Path;
pub use shorten::shorten;
