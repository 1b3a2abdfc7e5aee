//! The names of servers' tools, to find definitions that name another server's tool, or look like it (attack T4).

use std::collections::{BTreeMap, BTreeSet};

use doorward_governance::names::{self, How, Pair};
use doorward_inspect::Mentions;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Names that are known of one server.
const MOST: usize = 10_000;

/// The names of the tools of all servers.
#[derive(Debug, Default)]
pub struct Names {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// By server in lower case.
    servers: BTreeMap<String, BTreeSet<String>>,
    /// Counts changes.
    generation: u64,
    /// Servers whose names have changed since that was last asked.
    changed: BTreeSet<String>,
}

/// The names of the tools of all servers but one.
#[derive(Debug)]
pub struct Others {
    pub(super) generation: u64,
    pub(super) mentions: Option<Mentions>,
    /// Names that are more than ASCII, or that such a name may look like.
    names: BTreeSet<String>,
}

impl Names {
    /// Takes the names of a server's tools, and wakes who waits if some are new. Others may be listed to other callers, so
    /// none is forgotten while the server is there.
    pub fn note<'a>(&self, server: &str, names: impl IntoIterator<Item = &'a str>) {
        let key = server.to_ascii_lowercase();
        let mut known = self.known.lock();
        let all = known.servers.entry(key.clone()).or_default();
        let before = all.len();
        for name in names {
            if all.len() < MOST && !all.contains(name) {
                all.insert(name.to_owned());
            }
        }
        if all.len() == before {
            return;
        }
        known.generation += 1;
        known.changed.insert(key);
        drop(known);
        self.changed.notify_one();
    }

    /// Forgets servers that are not there any more.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut known = self.known.lock();
        let before = known.servers.len();
        known.servers.retain(|server, _| is_there(server));
        if known.servers.len() != before {
            known.generation += 1;
        }
    }

    /// Waits until there are new names. Returns the servers whose names they are, in lower case.
    pub async fn changed(&self) -> BTreeSet<String> {
        loop {
            self.changed.notified().await;
            let changed = std::mem::take(&mut self.known.lock().changed);
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// The names of the others' tools that are not this server's, too.
    pub(super) fn others(&self, server: &str) -> Others {
        let key = server.to_ascii_lowercase();
        let known = self.known.lock();
        let own = known.servers.get(&key);
        let others = known.servers.iter().filter(|(name, _)| **name != key);
        let names: BTreeSet<String> = others
            .flat_map(|(_, names)| names)
            .filter(|name| own.is_none_or(|own| !own.contains(*name)))
            .cloned()
            .collect();
        let generation = known.generation;
        drop(known);
        Others { generation, mentions: Mentions::new(names.iter().map(String::as_str)), names }
    }
}

impl Others {
    /// Another server's tool that a name looks like without being the same. Names in plain ASCII hide nothing.
    pub(super) fn look_alike(&self, name: &str) -> Option<Pair> {
        if name.is_ascii() {
            return None;
        }
        let pair = names::conflict(name, self.names.iter().map(String::as_str))?;
        (pair.how != How::Case).then_some(pair)
    }
}
