//! When entries were published and updated, as far as this process knows.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::Entry;

/// Remembers the entries that there are, whoever asks for them: an entry that differs from before was updated when that was
/// detected, which is not before it happened.
#[derive(Debug, Default)]
pub struct Times {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    mark: u64,
    published: Timestamp,
    updated: Timestamp,
}

impl Times {
    /// Sets the times of all entries that there are. The times that they come with are those of the store, or the time of
    /// the request where the store has none.
    pub fn set(&self, entries: &mut [Entry], now: Timestamp) {
        let mut known = self.known.lock();
        let mut next = HashMap::with_capacity(entries.len());
        for entry in entries {
            let mark = mark_of(entry);
            let found = match known.get(&entry.name) {
                Some(found) if found.mark == mark => *found,
                Some(found) => Known { mark, updated: now, ..*found },
                None => Known { mark, published: entry.published, updated: entry.updated },
            };
            entry.published = found.published.min(entry.published);
            entry.updated = found.updated.max(entry.published);
            next.insert(entry.name.clone(), found);
        }
        *known = next;
    }
}

/// A digest of what clients see of an entry, except the times.
fn mark_of(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Entry { name, description, url, version, .. } = entry;
    (name, description, url, version, format!("{:?}{:?}", entry.kind, entry.status))
        .hash(&mut hasher);
    hasher.finish()
}
