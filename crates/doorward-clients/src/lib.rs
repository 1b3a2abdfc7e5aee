//! MCP clients of today: where each keeps its servers, in which form, and how it gets a key. Points a client at
//! Doorward by editing its real file, takes that out again, and makes the snippets that people copy.

pub mod catalog;
pub mod client;
pub mod diff;
mod disk;
mod document;
pub mod entry;
mod error;
mod jsonc;
pub mod others;
pub mod places;
pub mod receipts;
pub mod setup;
pub mod snippet;
pub mod status;
mod toml;
pub mod undo;
mod value;

pub use client::{Client, Scope};
pub use entry::{Key, Wanted, entry_name};
pub use error::Error;
pub use places::{Os, Surroundings};
pub use value::Json;
