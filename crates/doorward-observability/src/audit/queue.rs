//! Records that wait to be written, in the order of their chain.

use std::collections::VecDeque;
use std::sync::Arc;

use doorward_store::{Amount, Usage, now_ms};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::members::Members;
use super::opened::Common;

/// A record, as far as it does not depend on its place in the chain.
#[derive(Debug)]
pub struct Record {
    /// `opened`, `call`, `closed`, `event` …
    pub kind: &'static str,
    /// The members that follow.
    pub members: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Calls that are opened or closed by it: what is open is known by these.
    pub mark: Mark,
    /// What the call has come to that ends with it.
    pub ended: Option<Ended>,
}

impl Record {
    /// Of something that happens now, and is no call.
    pub fn new(kind: &'static str, members: Members) -> Self {
        Self { kind, members: members.into_text(), at: now_ms(), mark: Mark::None, ended: None }
    }
}

/// What is added up of a call that has ended.
#[derive(Debug)]
pub struct Ended {
    pub common: Common,
    pub usage: Usage,
    pub charges: Vec<(Arc<str>, Amount)>,
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
    Ready(Box<Record>),
    /// A caller waits until it is on disk.
    Urgent(Box<Record>, oneshot::Sender<()>),
    /// A call that goes on; if it ends before it is written, both are one record.
    Open(Arc<Waiting>),
}

/// The opening of a call, as long as it is not written.
#[derive(Debug)]
pub struct Waiting(Mutex<Option<Record>>);

impl Waiting {
    pub fn new(record: Record) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(record))))
    }

    /// Makes it the record of a whole call, if it is not written yet; else gives back what has come of it.
    pub fn complete(&self, outcome: &str, ended: Ended) -> Result<(), Ended> {
        let mut record = self.0.lock();
        let Some(record) = &mut *record else { return Err(ended) };
        (record.kind, record.mark, record.ended) = ("call", Mark::None, Some(ended));
        record.members.push(',');
        record.members.push_str(outcome);
        Ok(())
    }

    /// What is to be written.
    pub fn take(&self) -> Option<Record> {
        self.0.lock().take()
    }
}

/// The queue is full.
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
    /// Notified when the queue has room again.
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

    /// Takes the oldest entries, as many as `taken` has room for without growing.
    pub fn take(&self, taken: &mut Vec<Entry>) {
        let room = taken.capacity() - taken.len();
        {
            let mut entries = self.entries.lock();
            let count = entries.len().min(room);
            taken.extend(entries.drain(..count));
        }
        self.room.notify_waiters();
    }
}
