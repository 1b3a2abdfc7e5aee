//! Which tools of a catalogue fit a question.
//!
//! Pure functions: no I/O, no clock. A [`Document`] is made of each tool once, an [`Index`] of the documents of one version
//! of a catalogue, a [`View`] of what a caller may see of it; [`View::search`] ranks. Definitions come from servers and
//! questions from callers: the work and the memory for each are limited.
//!
//! ```
//! use doorward_search::{Document, Index, Request, Tool};
//! use std::sync::Arc;
//!
//! let tools = [
//!     Tool { server: "weather", name: "get_forecast", description: "The weather of the next days.", ..Tool::default() },
//!     Tool { server: "tracker", name: "create_issue", description: "Opens an issue in a project.", ..Tool::default() },
//! ];
//! let documents: Vec<Document> = tools.iter().map(Document::new).collect();
//! let index = Arc::new(Index::new(&documents));
//! let view = index.view(|position| position != 1);
//! let hits = view.search(&Request { question: "Wie wird das Wetter?", limit: 5, ..Request::default() });
//! assert_eq!(hits[0].position, 0);
//! assert_eq!(hits.len(), 1);
//! ```

mod concepts;
mod document;
mod index;
mod postings;
#[cfg(test)]
mod properties;
mod rank;
#[cfg(test)]
mod recall;
mod schema;
mod score;
mod stem;
mod terms;
mod text;

pub use document::{Document, Tool};
pub use index::{Index, MAX_TOOLS, View};
pub use rank::{Hit, MAX_LIMIT, MAX_RECENT, Request};
pub use score::MAX_QUESTION;
