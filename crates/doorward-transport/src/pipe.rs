//! A channel that carries all messages of one session: a process's standard streams, or the two halves of HTTP+SSE.

use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::Message;
use doorward_mcp::error::Kind;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::inbound::Inbound;
use doorward_core::Failure;

/// Messages waiting to be written.
const WRITE_QUEUE: usize = 64;

/// One side of a session: writes go through a queue, answers come back through [`Inbound`].
#[derive(Debug)]
pub struct Pipe {
    outbox: mpsc::Sender<Bytes>,
    pub inbound: Inbound,
    /// Set once, when the channel is gone.
    ended: Mutex<Option<Failure>>,
    /// Ends the tasks that serve the channel.
    pub stop: CancellationToken,
}

impl Pipe {
    /// A pipe, and the queue of what must be written to its other end.
    pub fn new(inbound: Inbound) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (outbox, queue) = mpsc::channel(WRITE_QUEUE);
        let pipe =
            Self { outbox, inbound, ended: Mutex::new(None), stop: CancellationToken::new() };
        (Arc::new(pipe), queue)
    }

    /// Puts a message on its way, waiting while the queue is full.
    pub async fn send(&self, text: Bytes) -> Result<(), Failure> {
        self.outbox.send(text).await.map_err(|_| self.failure())
    }

    /// Puts a message on its way if the queue has room: for courtesies such as a cancellation.
    pub fn try_send(&self, text: Bytes) {
        let _ = self.outbox.try_send(text);
    }

    /// Ends the channel; the first reason stays.
    pub fn end(&self, failure: Failure) {
        self.ended.lock().get_or_insert(failure);
        self.inbound.calls.close();
        self.stop.cancel();
    }

    pub fn is_open(&self) -> bool {
        self.ended.lock().is_none() && !self.outbox.is_closed()
    }

    /// Why the channel is gone.
    pub fn failure(&self) -> Failure {
        self.ended.lock().clone().unwrap_or_else(|| {
            Failure::new(Kind::StreamEnded, "The server's connection ended before it answered")
        })
    }

    /// Takes one message that came from the server.
    pub async fn receive(&self, message: Message) {
        if let Some(reply) = self.inbound.receive(message).await {
            self.try_send(reply);
        }
    }
}
