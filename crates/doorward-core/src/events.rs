//! The events of a call while it runs, on their way to the client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::{Object, message};
use tokio::sync::{Notify, mpsc};

use crate::byte_queue;
use crate::share::Counter;

/// Sends a call's notifications to the client's stream, with back-pressure.
#[derive(Debug, Clone)]
pub struct Events {
    messages: byte_queue::Sender<Bytes>,
    poll: Option<Poll>,
    one_way: bool,
    filter: Option<Arc<dyn Filter>>,
}

/// Decides what of a call's notifications is sent.
pub trait Filter: std::fmt::Debug + Send + Sync {
    /// Whether [`pass`](Self::pass) takes so long for these parameters that it runs on a thread for such work.
    fn is_slow(&self, params: &Object) -> bool;

    /// The parameters as they are sent; `None` if the notification is not sent.
    fn pass(&self, method: &str, params: Object) -> Option<Object>;
}

/// Tells a polling client to reconnect later, and reports when it is back.
#[derive(Debug, Clone)]
struct Poll {
    away: mpsc::Sender<Duration>,
    back: Arc<Notify>,
}

/// The client's side of [`Events::pause`].
#[derive(Debug)]
pub struct Pauses {
    /// How long the client is to stay disconnected.
    pub away: mpsc::Receiver<Duration>,
    /// Notify when the client has reconnected, even if early.
    pub back: Arc<Notify>,
}

/// The client is gone.
#[derive(Debug, Clone, Copy)]
pub struct Gone;

impl Events {
    pub fn channel(capacity: usize) -> (Self, byte_queue::Receiver<Bytes>) {
        let (messages, receiver) = byte_queue::channel(capacity);
        (Self { messages, poll: None, one_way: false, filter: None }, receiver)
    }

    /// Counts queued messages towards the reader's share.
    pub fn counted(self, reader: Counter) -> Self {
        Self { messages: self.messages.counted(reader), ..self }
    }

    /// For a client that can be told to reconnect later.
    pub fn with_pauses(capacity: usize) -> (Self, byte_queue::Receiver<Bytes>, Pauses) {
        let (events, receiver) = Self::channel(capacity);
        let (sender, away) = mpsc::channel(1);
        let back = Arc::new(Notify::new());
        let poll = Poll { away: sender, back: back.clone() };
        (Self { poll: Some(poll), ..events }, receiver, Pauses { away, back })
    }

    /// For a client that cannot receive requests during a call, because there is no stream or session.
    pub fn one_way(self) -> Self {
        Self { one_way: true, ..self }
    }

    /// Lets notifications through a filter.
    pub fn filtered(self, filter: Arc<dyn Filter>) -> Self {
        Self { filter: Some(filter), ..self }
    }

    pub fn is_one_way(&self) -> bool {
        self.one_way
    }

    /// For calls whose events nobody reads.
    pub fn ignored() -> Self {
        Self::channel(1).0
    }

    /// The server has closed the call's stream and wants the gateway to reconnect after `retry`. The client is told
    /// to do the same. Returns after that time, or earlier if the client reconnects (spec 2025-11-25
    /// basic/transports, polling).
    pub async fn pause(&self, retry: Duration) {
        let Some(poll) = &self.poll else { return tokio::time::sleep(retry).await };
        let _ = poll.away.try_send(retry);
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = poll.back.notified() => {}
        }
    }

    /// Sends a serialized message. Waits like [`notify`](Self::notify).
    pub async fn send(&self, message: Bytes) -> Result<(), Gone> {
        let bytes = message.len();
        self.messages.send(message, bytes).await.map_err(|_| Gone)
    }

    /// Sends a notification. Waits until the stream has room; fails if it is closed.
    pub async fn notify(&self, method: &str, params: &Object) -> Result<(), Gone> {
        let Some(filter) = &self.filter else {
            return self.send(message::notification(method, params)).await;
        };
        let passed = if filter.is_slow(params) {
            let (filter, of, params) = (filter.clone(), method.to_owned(), params.clone());
            let passing = tokio::task::spawn_blocking(move || filter.pass(&of, params));
            // What could not be looked at is not sent.
            passing.await.ok().flatten()
        } else {
            filter.pass(method, params.clone())
        };
        match passed {
            Some(params) => self.send(message::notification(method, &params)).await,
            None => Ok(()),
        }
    }
}
