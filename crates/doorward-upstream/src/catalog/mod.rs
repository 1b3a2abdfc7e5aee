//! What one server offers: its four lists, fetched page by page within limits, cached, and fetched again when the
//! server announces a change or they expire.

mod approved;
mod cells;
pub(crate) mod fetch;
mod kinds;
mod learn;
mod lists;
mod refresh;
mod searching;
mod snapshot;
mod tool;
mod view;

pub use self::cells::ViewBytes;
pub use self::kinds::{KINDS, Kind, PROMPTS, RESOURCES, TEMPLATES, TOOLS, kind_of};
pub use self::lists::Catalog;
pub use self::snapshot::{Snapshot, Snapshots, Source, ViewKey, Viewer};
pub use self::tool::{Schemas, ToolEntry};
pub use self::view::{Item, List, View};
pub use doorward_identity::exposed;
