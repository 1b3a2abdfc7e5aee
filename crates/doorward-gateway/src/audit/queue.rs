//! Records that wait to be written, in the order of their chain.

use std::collections::VecDeque;
use std::sync::Arc;

use doorward_store::Amount;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// A record with a time, in milliseconds since 1970.
#[derive(Debug)]
pub struct Record {
    pub members: String,
    pub at: i64,
    /// What the call that it closes has cost, by account.
    pub charges: Vec<(String, Amount)>,
    /// Calls that are opened or closed by it: what is open is known by these.
    pub mark: Mark,
}

/// What a record does to the list of open calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    None,
    Opens(u64),
    Closes(u64),
}

/// One that waits.
#[derive(Debug)]
pub enum Entry {
    Ready(Record),
    /// Somebody waits until it is on disk.
    Urgent(Record, oneshot::Sender<()>),
    /// A call that goes on; if it ends before it is written, both are one record.
    Open(Arc<Waiting>),
}

/// What is written of a call now, whether it has ended, and what it has cost then.
type Content = (String, bool, Vec<(String, Amount)>);

/// The opening of a call, as long as it is not written.
#[derive(Debug)]
pub struct Waiting {
    pub call: u64,
    pub at: i64,
    members: Mutex<Option<Content>>,
}

impl Waiting {
    pub fn new(call: u64, at: i64, members: String) -> Arc<Self> {
        Arc::new(Self { call, at, members: Mutex::new(Some((members, false, Vec::new()))) })
    }

    /// Puts a whole record in its place, if it is not written yet.
    pub fn complete(
        &self,
        charges: &mut Vec<(String, Amount)>,
        whole: impl FnOnce(&str) -> String,
    ) -> bool {
        let mut members = self.members.lock();
        match &mut *members {
            Some((opened, ended, charged)) => {
                *charged = std::mem::take(charges);
                *opened = whole(opened);
                *ended = true;
                true
            }
            None => false,
        }
    }

    /// What is to be written.
    pub fn take(&self) -> Option<Record> {
        let (members, ended, charges) = self.members.lock().take()?;
        let mark = if ended { Mark::None } else { Mark::Opens(self.call) };
        Some(Record { members, at: self.at, charges, mark })
    }
}

/// There is no room.
#[derive(Debug, Clone, Copy)]
pub struct Full;

#[derive(Debug)]
pub struct Queue {
    entries: Mutex<VecDeque<Entry>>,
    most: usize,
    /// Something waits that did not before.
    pub some: Notify,
    /// Something waits for which somebody waits, or there is much.
    pub hurry: Notify,
    /// There is room again.
    room: Notify,
    much: usize,
}

impl Queue {
    pub fn new(most: usize, much: usize) -> Self {
        let (entries, some, hurry, room) = Default::default();
        Self { entries, most, some, hurry, room, much: much.min(most / 2) }
    }

    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Adds an entry if there is room.
    pub fn push(&self, entry: Entry) -> Result<(), Full> {
        self.put(entry, self.most)
    }

    /// Adds an entry as soon as there is room.
    pub async fn push_when_there_is_room(&self, entry: impl Fn() -> Entry) {
        loop {
            let room = self.room.notified();
            if self.push(entry()).is_ok() {
                return;
            }
            room.await;
        }
    }

    /// Adds what ends something that was begun: for it there is always room, for as much was begun at most.
    pub fn push_ending(&self, entry: Entry) {
        let _ = self.put(entry, usize::MAX);
    }

    fn put(&self, entry: Entry, most: usize) -> Result<(), Full> {
        let urgent = matches!(entry, Entry::Urgent(..));
        let count = {
            let mut entries = self.entries.lock();
            if entries.len() >= most {
                return Err(Full);
            }
            entries.push_back(entry);
            entries.len()
        };
        if urgent || count == self.much {
            self.hurry.notify_one();
        }
        if count == 1 {
            self.some.notify_one();
        }
        Ok(())
    }

    /// Takes the oldest entries, as many as are wanted.
    pub fn take(&self, most: usize) -> Vec<Entry> {
        let taken = {
            let mut entries = self.entries.lock();
            let count = entries.len().min(most);
            entries.drain(..count).collect()
        };
        self.room.notify_waiters();
        taken
    }
}
