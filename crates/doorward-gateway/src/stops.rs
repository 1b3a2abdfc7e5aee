//! Emergency stops at run time: their state and storage.
//!
//! The gateway that receives a stop applies it at once, in memory ([`enforce`]). It also writes the
//! stop to its journal ([`StopJournal`]) and to the store, from where all other replicas learn it
//! ([`follow`]). While the database is unavailable, the journal keeps it until it can be stored.
//! Policies play no role here.

pub mod admit;
mod change;
mod enforce;
mod follow;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use doorward_governance::stops::{MOST_STOPS, Stop, Stopped, Stops};
use doorward_store::{Error, StopEntry, StopJournal, Store};
use parking_lot::Mutex;

/// The known stops, and those that are not in the store yet.
#[derive(Debug, Default)]
pub struct Emergency {
    /// The active stops.
    pub stops: Arc<Stops>,
    journal: Option<StopJournal>,
    has_store: bool,
    known: Mutex<Known>,
    /// Held while the active stops are replaced and applied.
    pub(crate) changing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// The active stops according to the store.
    stored: Vec<Stop>,
    /// Stops that were set or lifted here, or found in the journal, by id.
    own: BTreeMap<String, Own>,
    /// The revision of `stored`.
    revision: i64,
    /// How many changes are being written to the journal.
    writing: usize,
    /// Increases with each change that was written to it.
    written: u64,
}

/// A change that is being written to the journal: what was read from there meanwhile is outdated.
struct Writing<'a>(&'a Emergency);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known.lock();
        known.writing -= 1;
        known.written += 1;
    }
}

#[derive(Debug, Clone)]
struct Own {
    entry: StopEntry,
    /// The revision of the store that contains it; `None` until it is stored.
    stored: Option<i64>,
}

impl Emergency {
    /// Reads the active stops before anything is served. Without a folder, stops set while the
    /// database is unavailable do not survive a restart.
    pub async fn open(folder: Option<&Path>, store: Option<&Store>) -> Result<Self, Error> {
        let journal = folder.and_then(|folder| {
            StopJournal::open(folder)
                .inspect_err(|error| {
                    let folder = folder.display();
                    tracing::warn!(%folder, %error, "stops cannot be kept in this folder: those set while the \
                        database is away do not survive a restart");
                })
                .ok()
        });
        let mut known = Known::default();
        if let Some(store) = store {
            known.stored = store.stops(false, 2 * MOST_STOPS as i64).await?;
        }
        if let Some(journal) = &journal {
            let entries = journal.read().map_err(|error| unreadable(&error))?;
            known.take(entries, store.is_some());
        }
        let stops = Stops::default();
        stops.replace(known.compiled());
        for stop in known.in_force() {
            tracing::warn!(stop = stop.id, target = %stop.target, why = stop.why, "stopped");
        }
        let (stops, has_store) = (Arc::new(stops), store.is_some());
        Ok(Self { stops, journal, has_store, known: Mutex::new(known), changing: Mutex::default() })
    }

    /// All active stops, newest first.
    pub fn in_force(&self) -> Vec<Stop> {
        let mut stops = self.known.lock().in_force();
        stops.sort_by_key(|stop| std::cmp::Reverse(stop.at));
        stops
    }

    /// Begins a change, before it is made in memory.
    fn writing(&self) -> Writing<'_> {
        self.known.lock().writing += 1;
        Writing(self)
    }

    /// The number of changes that are not in the store yet.
    pub fn unwritten(&self) -> usize {
        self.known.lock().own.values().filter(|own| own.stored.is_none()).count()
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::Refused(format!("the folder of stops cannot be read: {error}"))
}

impl Known {
    /// The moment of the journal that could be read now; `None` while a change is being written.
    fn moment(&self) -> Option<u64> {
        (self.writing == 0).then_some(self.written)
    }

    /// Applies the journal's entries. Without a store, the journal alone defines what is active.
    fn take(&mut self, entries: Vec<StopEntry>, has_store: bool) {
        if !has_store {
            self.own.clear();
        }
        for entry in entries {
            let id = entry.stop.id.clone();
            match self.own.get_mut(&id) {
                // Lifted by another process on this machine.
                Some(own) if own.entry.stop.lifted.is_none() && entry.stop.lifted.is_some() => {
                    *own = Own { entry, stored: None };
                }
                Some(_) => {}
                None => _ = self.own.insert(id, Own { entry, stored: None }),
            }
        }
    }

    fn in_force(&self) -> Vec<Stop> {
        let stored = self.stored.iter().filter(|stop| !self.own.contains_key(&stop.id));
        let own = self.own.values().map(|own| &own.entry.stop);
        stored.chain(own).filter(|stop| stop.lifted.is_none()).cloned().collect()
    }

    fn compiled(&self) -> Stopped {
        Stopped::new(self.in_force())
    }

    fn find(&self, id: &str) -> Option<Stop> {
        let own = self.own.get(id).map(|own| &own.entry.stop);
        own.or_else(|| self.stored.iter().find(|stop| stop.id == id)).cloned()
    }
}
