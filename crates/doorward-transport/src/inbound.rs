//! Messages of a server on a shared channel, and the calls that they belong to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use doorward_mcp::{Id, Message, Object, RpcError, message, method, tasks};

use super::calls::{Attributed, Calls, of_progress, of_subscription};
use doorward_core::capability_use::CapabilityUse;

/// Told of notifications that belong to no call: list changes, resource updates.
pub type Unsolicited = Arc<dyn Fn(&str, Object) + Send + Sync>;

/// Hands messages of a shared channel to the calls that wait for them.
pub struct Inbound {
    pub calls: Arc<Calls>,
    unsolicited: Unsolicited,
    /// The server has sent a request of its own on the shared channel, where it names no call:
    /// from now on one interactive call at a time.
    asks: Arc<AtomicBool>,
    capability_use: Arc<CapabilityUse>,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Inbound {
    /// `asks` is set when a request names no call, for all channels of one server.
    pub fn new(
        unsolicited: Unsolicited,
        asks: Arc<AtomicBool>,
        capability_use: Arc<CapabilityUse>,
    ) -> Self {
        Self { calls: Arc::default(), unsolicited, asks, capability_use }
    }

    /// Takes one message. Returns what must be answered at once.
    pub async fn receive(&self, message: Message) -> Option<Bytes> {
        match message {
            Message::Response { id: Id::Number(id), result } => {
                self.answer(id, Message::Response { id: Id::Number(id), result }).await;
                None
            }
            Message::Error { id: Some(Id::Number(id)), error } => {
                self.answer(id, Message::Error { id: Some(Id::Number(id)), error }).await;
                None
            }
            Message::Response { .. } | Message::Error { .. } => {
                tracing::warn!("dropped a response with an unknown ID");
                None
            }
            Message::Request { id, method, params } => self.request(id, &method, params).await,
            Message::Notification { method, params } => {
                self.notification(&method, params).await;
                None
            }
        }
    }

    async fn answer(&self, id: i64, message: Message) {
        if !self.calls.deliver(id, message).await {
            tracing::debug!(id, "dropped a response to a request that has ended");
        }
    }

    async fn request(&self, id: Id, method: &str, params: Object) -> Option<Bytes> {
        if method == method::PING {
            return Some(message::response(&id, &Object::new()));
        }
        self.capability_use.asked(method);
        let named = tasks::related(&params).and_then(|task| self.calls.of_task(&task));
        if named.is_none() {
            self.asks.store(true, Ordering::Relaxed);
        }
        match named.map_or_else(|| self.calls.attribute(), Attributed::To) {
            Attributed::To(call) => {
                let request = Message::Request { id: id.clone(), method: method.into(), params };
                if self.calls.deliver(call, request).await {
                    return None;
                }
            }
            Attributed::Unclear { candidates } => {
                tracing::debug!(method, candidates, "a request of the server does not name a call");
            }
        }
        let error = RpcError::invalid_params("This request belongs to no call that is in progress");
        Some(message::error_response(Some(&id), &error))
    }

    async fn notification(&self, method: &str, params: Object) {
        let calls = match method {
            method::PROGRESS => of_progress(&params).into_iter().collect(),
            method::LOG => self.calls.log_readers(),
            _ => match of_subscription(&params) {
                Some(listening) => vec![listening],
                None => return (self.unsolicited)(method, params),
            },
        };
        for call in calls {
            let notification =
                Message::Notification { method: method.into(), params: params.clone() };
            self.calls.deliver(call, notification).await;
        }
    }
}
