//! Search among the tools of a snapshot. The index is built when a snapshot is searched for the first time, and shared by all
//! snapshots that are filtered from it; what ranks for a caller depends on what it may see alone.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use doorward_mcp::{Object, Value};
use doorward_search::{Document, Index, Request, Tool, View};

use super::kinds::TOOLS;
use super::snapshot::Snapshot;

/// Where a tool comes from: the indexes of its server, and of the tool in the server's list.
pub(super) type Place = (usize, usize);

/// What is needed to search a snapshot.
#[derive(Debug, Default)]
pub(super) struct Searching {
    /// Of the whole snapshot.
    index: OnceLock<Indexed>,
    seen: OnceLock<Seen>,
}

#[derive(Debug)]
struct Indexed {
    index: Arc<Index>,
    positions: HashMap<Place, usize>,
}

/// Which of the indexed tools a snapshot has.
#[derive(Debug)]
struct Seen {
    view: View,
    /// The position in the snapshot, by that in the index.
    positions: HashMap<usize, usize>,
}

impl Seen {
    /// Positions in the snapshot.
    fn found(&self, view: &View, question: &str, limit: usize) -> Vec<usize> {
        let hits = view.search(&Request { question, limit, ..Request::default() });
        hits.iter().filter_map(|hit| self.positions.get(&hit.position).copied()).collect()
    }
}

impl Snapshot {
    /// The positions among the snapshot's tools of those that fit a question, best first, at most
    /// [`MAX_LIMIT`](doorward_search::MAX_LIMIT). The first search of a snapshot reads all its tools: call it where that may
    /// take a second.
    pub fn search(&self, question: &str, limit: usize) -> Vec<usize> {
        let (_, seen) = self.indexes();
        seen.found(&seen.view, question, limit)
    }

    /// The same among some of the snapshot's tools, by position.
    pub fn search_among(
        &self,
        question: &str,
        limit: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let (indexed, seen) = self.indexes();
        let wanted = |position: usize| seen.positions.get(&position).is_some_and(|at| wanted(*at));
        seen.found(&indexed.index.view(wanted), question, limit)
    }

    fn indexes(&self) -> (&Indexed, &Seen) {
        let whole = self.whole.as_deref().unwrap_or(self);
        let indexed = whole.searching.index.get_or_init(|| whole.indexed());
        let seen = self.searching.seen.get_or_init(|| {
            let known = self.places(TOOLS).enumerate();
            let known = known.filter_map(|(at, place)| Some((*indexed.positions.get(&place)?, at)));
            let positions: HashMap<usize, usize> = known.collect();
            Seen {
                view: indexed.index.view(|position| positions.contains_key(&position)),
                positions,
            }
        });
        (indexed, seen)
    }

    fn indexed(&self) -> Indexed {
        let documents = self.items(TOOLS).map(|(_, definition, (server, _), own)| {
            let definition = Object::parse(definition).unwrap_or_default();
            let text = |member: &str| definition.string(member).unwrap_or_default();
            let schema = definition.get("inputSchema").map(Value::to_bytes).unwrap_or_default();
            Document::new(&Tool {
                server: &server.name,
                name: own,
                title: &text("title"),
                description: &text("description"),
                input_schema: std::str::from_utf8(&schema).unwrap_or_default(),
            })
        });
        let documents: Vec<Document> = documents.collect();
        let positions = self.places(TOOLS).enumerate().map(|(at, place)| (place, at)).collect();
        Indexed { index: Arc::new(Index::new(&documents)), positions }
    }
}
