//! Queued records, in the order of their chain.

use std::collections::VecDeque;
use std::sync::Arc;

use doorward_store::{Amount, Usage, now_ms};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::members::Members;
use super::opened::Common;

/// A record without its place in the chain.
#[derive(Debug)]
pub struct Record {
    /// `opened`, `call`, `closed`, `event` …
    pub kind: &'static str,
    /// The members that follow.
    pub members: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The calls that it opens or closes, which tracks what is open.
    pub mark: Mark,
    /// The outcome of the call that it closes.
    pub ended: Option<Ended>,
}

impl Record {
    /// An event that happens now and is not a call.
    pub fn new(kind: &'static str, members: Members) -> Self {
        Self { kind, members: members.into_text(), at: now_ms(), mark: Mark::None, ended: None }
    }
}

/// The usage of a call that has ended.
#[derive(Debug)]
pub struct Ended {
    pub common: Common,
    pub usage: Usage,
    pub charges: Vec<(Arc<str>, Amount)>,
}

/// How a record changes the list of open calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    None,
    Opens(u64),
    Closes(u64),
}

/// A queue entry.
#[derive(Debug)]
pub enum Entry {
    Ready(Box<Record>),
    /// A caller waits until it is on disk.
    Urgent(Box<Record>, oneshot::Sender<()>),
    /// A call in progress; if it ends before this is written, both become one record.
    Open(Arc<Waiting>),
}

/// The opening record of a call, until it is written.
#[derive(Debug)]
pub struct Waiting(Mutex<Option<Record>>);

impl Waiting {
    pub fn new(record: Record) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(record))))
    }

    /// Turns it into the record of a whole call, if it is not written yet; else returns the
    /// outcome.
    pub fn complete(&self, outcome: &str, ended: Ended) -> Result<(), Ended> {
        let mut record = self.0.lock();
        let Some(record) = &mut *record else { return Err(ended) };
        (record.kind, record.mark, record.ended) = ("call", Mark::None, Some(ended));
        record.members.push(',');
        record.members.push_str(outcome);
        Ok(())
    }

    /// Takes the record to write.
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
    /// Notified when the queue is no longer empty.
    pub some: Notify,
    /// Notified when someone waits for a record, or the queue is long.
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

    /// Adds a closing record. There is always room for it, because the number of open records is
    /// bounded.
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
