//! The events of a call while it runs, on their way to the client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::{Object, message};
use tokio::sync::{Notify, mpsc};

use crate::byte_queue;
use crate::share::Counter;

/// Where a call's notifications go: to the client's stream, with its back-pressure.
#[derive(Debug, Clone)]
pub struct Events {
    messages: byte_queue::Sender<Bytes>,
    poll: Option<Poll>,
    one_way: bool,
}

/// How a client that polls is sent away, and says that it is back.
#[derive(Debug, Clone)]
struct Poll {
    away: mpsc::Sender<Duration>,
    back: Arc<Notify>,
}

/// The client's side of [`Events::pause`].
#[derive(Debug)]
pub struct Pauses {
    /// For how long the client shall go away.
    pub away: mpsc::Receiver<Duration>,
    /// To be told when it is back, be it early.
    pub back: Arc<Notify>,
}

/// The client is gone.
#[derive(Debug, Clone, Copy)]
pub struct Gone;

impl Events {
    pub fn channel(capacity: usize) -> (Self, byte_queue::Receiver<Bytes>) {
        let (messages, receiver) = byte_queue::channel(capacity);
        (Self { messages, poll: None, one_way: false }, receiver)
    }

    /// The same, of which what waits counts to whoever reads it.
    pub fn counted(self, reader: Counter) -> Self {
        Self { messages: self.messages.counted(reader), ..self }
    }

    /// For a client that can be sent away to come back later.
    pub fn with_pauses(capacity: usize) -> (Self, byte_queue::Receiver<Bytes>, Pauses) {
        let (events, receiver) = Self::channel(capacity);
        let (sender, away) = mpsc::channel(1);
        let back = Arc::new(Notify::new());
        let poll = Poll { away: sender, back: back.clone() };
        (Self { poll: Some(poll), ..events }, receiver, Pauses { away, back })
    }

    /// For a client that cannot be asked anything in the midst of its call, for want of a stream or
    /// of a session.
    pub fn one_way(self) -> Self {
        Self { one_way: true, ..self }
    }

    pub fn is_one_way(&self) -> bool {
        self.one_way
    }

    /// For calls that nobody watches.
    pub fn ignored() -> Self {
        Self::channel(1).0
    }

    /// The server has closed the call's stream, to be asked again after a while: the client is sent
    /// away for as long. Returns when the time is over, or the client is back before
    /// (spec 2025-11-25 basic/transports, polling).
    pub async fn pause(&self, retry: Duration) {
        let Some(poll) = &self.poll else { return tokio::time::sleep(retry).await };
        let _ = poll.away.try_send(retry);
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = poll.back.notified() => {}
        }
    }

    /// Sends a message as it is; waits like [`notify`](Self::notify).
    pub async fn send(&self, message: Bytes) -> Result<(), Gone> {
        let bytes = message.len();
        self.messages.send(message, bytes).await.map_err(|_| Gone)
    }

    /// Waits until the stream has room. Fails when nobody reads it any more.
    pub async fn notify(&self, method: &str, params: &Object) -> Result<(), Gone> {
        self.send(message::notification(method, params)).await
    }
}
