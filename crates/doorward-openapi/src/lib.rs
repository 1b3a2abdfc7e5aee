//! OpenAPI documents as tools: which operations become tools, with which names and arguments; and the requests of
//! their calls (OpenAPI 3.0 and 3.1).
//!
//! Pure functions. Documents are untrusted, so nothing outside the document is fetched or followed, and arguments
//! cannot leave their place in a request (attack T29).

mod body;
mod build;
mod description;
mod request;
mod schema;
mod security;
mod select;
mod slot;
mod tool;

pub use body::Media;
pub use build::tools;
pub use description::{Description, Unreadable};
pub use request::{BadArguments, Request};
pub use security::{NoScheme, Scheme};
pub use select::{Selection, fits};
pub use slot::is_same_slot;
pub use tool::{Annotations, LeftOut, Place, Tool};
