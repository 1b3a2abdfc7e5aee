//! A queue that is limited in number of items and in bytes. For a receiver that does not read, it contains little
//! more than one message, however many are sent.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::share::{Counter, Held};

/// Maximum size of the queued items in bytes. A larger item is queued alone.
const BYTES: usize = 2 << 20;
/// Items up to this size do not count towards a reader's share, so that most items take no lock.
const SMALL: usize = 1 << 10;

/// The space reserved for an item in its queue and in its reader's share.
type Room = (OwnedSemaphorePermit, Option<Held>);

#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::Sender<(T, Room)>,
    room: Arc<Semaphore>,
    reader: Option<Counter>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), room: self.room.clone(), reader: self.reader.clone() }
    }
}

#[derive(Debug)]
pub struct Receiver<T>(mpsc::Receiver<(T, Room)>);

/// The receiver is gone, or did not make room in time.
#[derive(Debug, Clone, Copy)]
pub struct SendError;

/// The queue is empty.
#[derive(Debug, Clone, Copy)]
pub struct Empty;

/// Why an item cannot be queued now.
#[derive(Debug)]
pub enum NotNow<T> {
    Full(T),
    Closed,
}

pub fn channel<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let (items, receiver) = mpsc::channel(most.max(1));
    let room = Arc::new(Semaphore::new(BYTES));
    (Sender { items, room, reader: None }, Receiver(receiver))
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(1, BYTES)).unwrap_or(u32::MAX)
}

impl<T> Sender<T> {
    /// Counts queued items towards their reader's share, which covers all queues of that reader.
    pub fn counted(self, reader: Counter) -> Self {
        Self { reader: Some(reader), ..self }
    }

    /// Waits until there is room.
    pub async fn send(&self, item: T, bytes: usize) -> Result<(), SendError> {
        let room = self.room.clone().acquire_many_owned(weight(bytes));
        let room = tokio::select! {
            biased;
            room = room => room.map_err(|_| SendError)?,
            () = self.items.closed() => return Err(SendError),
        };
        let held = match self.counts(bytes) {
            None => None,
            Some(reader) => tokio::select! {
                biased;
                held = reader.take(bytes) => Some(held),
                () = self.items.closed() => return Err(SendError),
            },
        };
        self.items.send((item, (room, held))).await.map_err(|_| SendError)
    }

    pub async fn send_timeout(
        &self,
        item: T,
        bytes: usize,
        patience: Duration,
    ) -> Result<(), SendError> {
        tokio::time::timeout(patience, self.send(item, bytes)).await.unwrap_or(Err(SendError))
    }

    pub fn try_send(&self, item: T, bytes: usize) -> Result<(), NotNow<T>> {
        let Ok(room) = self.room.clone().try_acquire_many_owned(weight(bytes)) else {
            return Err(if self.is_closed() { NotNow::Closed } else { NotNow::Full(item) });
        };
        let held = match self.counts(bytes) {
            None => None,
            Some(reader) => match reader.try_take(bytes) {
                Some(held) => Some(held),
                None => return Err(NotNow::Full(item)),
            },
        };
        self.items.try_send((item, (room, held))).map_err(|error| match error {
            mpsc::error::TrySendError::Full((item, _)) => NotNow::Full(item),
            mpsc::error::TrySendError::Closed(_) => NotNow::Closed,
        })
    }

    /// The share that an item of this size counts towards.
    fn counts(&self, bytes: usize) -> Option<&Counter> {
        self.reader.as_ref().filter(|_| bytes > SMALL)
    }

    pub fn same_channel(&self, other: &Self) -> bool {
        self.items.same_channel(&other.items)
    }

    pub fn is_closed(&self) -> bool {
        self.items.is_closed()
    }
}

impl<T> Receiver<T> {
    pub async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(|(item, _room)| item)
    }

    pub fn try_recv(&mut self) -> Result<T, Empty> {
        self.0.try_recv().map(|(item, _room)| item).map_err(|_| Empty)
    }

    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context).map(|taken| taken.map(|(item, _room)| item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::{Bounds, Shares};

    #[tokio::test(start_paused = true)]
    async fn all_queues_of_a_reader_share_one_bound() {
        let shares = Shares::new(Bounds { whole: 64 << 10, share: 8 << 10 });
        let queue = |who: &str| {
            let (sender, receiver) = channel(64);
            (sender.counted(Counter::new(shares.clone(), who.into())), receiver)
        };
        let moment = Duration::from_secs(1);
        let (one, mut read) = queue("user \"alice\"");
        let (two, _receiver) = queue("user \"alice\" by \"agent\"");
        one.send_timeout(1, 8 << 10, moment).await.unwrap();
        assert!(two.send_timeout(2, 4 << 10, moment).await.is_err());
        assert!(matches!(two.try_send(2, 4 << 10), Err(NotNow::Full(2))));
        two.send_timeout(3, SMALL, moment).await.unwrap();
        let (other, _receiver) = queue("user \"bob\"");
        other.send_timeout(4, 8 << 10, moment).await.unwrap();
        // A reader that reads gets more, even an item that is larger than its share.
        assert_eq!(read.recv().await, Some(1));
        two.send_timeout(5, 64 << 10, moment).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn queued_items_are_bounded_in_bytes() {
        let (sender, mut receiver) = channel(64);
        let moment = Duration::from_secs(1);
        for number in 0..4 {
            sender.send_timeout(number, BYTES / 4, moment).await.unwrap();
        }
        assert!(sender.send_timeout(4, 1, moment).await.is_err());
        assert!(matches!(sender.try_send(4, 1), Err(NotNow::Full(4))));
        for number in 0..4 {
            assert_eq!(receiver.try_recv().unwrap(), number);
        }
        // An item larger than the queue's limit is queued alone.
        sender.send_timeout(5, BYTES * 9, moment).await.unwrap();
        assert!(sender.send_timeout(6, 1, moment).await.is_err());
        assert_eq!(receiver.recv().await, Some(5));
        drop(receiver);
        assert!(sender.is_closed() && sender.send(7, BYTES * 2).await.is_err());
        assert!(matches!(sender.try_send(7, 1), Err(NotNow::Closed)));
    }
}
