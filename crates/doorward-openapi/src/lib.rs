//! OpenAPI descriptions as tools: which operations become tools, under which names, with which arguments; and the
//! requests that calls of them become (OpenAPI 3.0 and 3.1).
//!
//! Pure functions: descriptions come from whoever publishes an API, so nothing in them is fetched or followed
//! out of the document, and what is built of arguments cannot leave the place it is for (attack T29).

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
