//! One session of a handshake-era client: what `initialize` declared, pending requests to it, and the streams that it
//! can resume.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use doorward_mcp::meta::{Client, LogLevel};
use doorward_mcp::{Id, Object, Revision, RpcError, message};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::call::{Portal, Protocol};
use crate::record::session_name;
use doorward_config::Discovery;
use doorward_core::share::Held;
use doorward_identity::identity::Caller;
use doorward_upstream::Shared;
use doorward_upstream::switchboard::Listener;
use doorward_web::streams::{Budget, OutStream};

mod listening;

/// Maximum number of ended call streams stored for a client that reconnects.
const KEPT_STREAMS: usize = 32;
/// Maximum bytes of their events.
const KEPT_BYTES: usize = 4 << 20;
/// The stream for messages that belong to no call.
const MAIN: u64 = 0;

/// How a session is opened.
#[derive(Debug)]
pub struct Opening {
    pub portal: Portal,
    /// From `initialize`; over HTTP+SSE, the session exists before it.
    pub revision: Revision,
    pub client: Client,
    pub protocol: Protocol,
    /// How the client wants tools to be offered, if its URL says so.
    pub discovery: Option<Discovery>,
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    pub id: Arc<str>,
    /// The caller who opened it. Each request in it is authorized by its own credential.
    pub opener: Caller,
    pub protocol: Protocol,
    pub portal: Portal,
    /// How the client wants tools to be offered, if its URL says so.
    pub discovery: Option<Discovery>,
    shared: Arc<Shared>,
    /// From `initialize`; over HTTP+SSE, the session exists before it.
    introduced: Mutex<(Revision, Arc<Client>)>,
    pub main: Arc<OutStream>,
    budget: Budget,
    streams: Mutex<Vec<Arc<OutStream>>>,
    next_stream: AtomicU64,
    next_question: AtomicU64,
    questions: Mutex<HashMap<i64, oneshot::Sender<Result<Object, RpcError>>>>,
    calls: Mutex<HashMap<Id, CancellationToken>>,
    subscribed: Mutex<BTreeSet<String>>,
    /// Cancelled to listen again with other subscriptions.
    listening: Mutex<Option<CancellationToken>>,
    /// Held while the listening is renewed: the later of two renewals has all subscriptions.
    renewing: tokio::sync::Mutex<()>,
    used: Mutex<Instant>,
    pub closed: CancellationToken,
    /// Its slot among all sessions, while it is open.
    place: Mutex<Option<Held>>,
}

impl Session {
    pub(super) fn new(
        id: Arc<str>,
        opener: Caller,
        opening: Opening,
        budget: Budget,
        shared: Arc<Shared>,
    ) -> Self {
        let Opening { portal, revision, client, protocol, discovery } = opening;
        let (limits, patience) = (&shared.limits, shared.timeouts.write.0);
        let numbered = protocol == Protocol::Mcp;
        let main =
            OutStream::new(MAIN, limits.replay, limits.queue, patience, numbered, budget.clone());
        Self {
            id,
            opener,
            protocol,
            portal,
            discovery,
            introduced: Mutex::new((revision, Arc::new(client))),
            main: Arc::new(main),
            budget,
            shared,
            streams: Mutex::default(),
            next_stream: AtomicU64::new(MAIN + 1),
            next_question: AtomicU64::new(1),
            questions: Mutex::default(),
            calls: Mutex::default(),
            subscribed: Mutex::default(),
            listening: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            used: Mutex::new(Instant::now()),
            closed: CancellationToken::new(),
            place: Mutex::default(),
        }
    }

    /// Stores its slot among all sessions.
    pub(super) fn take(&self, place: Held) {
        *self.place.lock() = Some(place);
    }

    pub(super) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// Its name in audit records, which is not the id that the client presents.
    pub fn name(&self) -> String {
        session_name(&self.id)
    }

    pub fn used_at(&self) -> Instant {
        *self.used.lock()
    }

    /// Whether it has calls in progress.
    pub fn has_calls(&self) -> bool {
        !self.calls.lock().is_empty()
    }

    pub(super) fn is_idle_for(&self, patience: std::time::Duration) -> bool {
        self.used.lock().elapsed() > patience
            && self.calls.lock().is_empty()
            && !self.main.is_connected()
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
        *self.place.lock() = None;
        self.questions.lock().clear();
        if let Some(listening) = self.listening.lock().take() {
            listening.cancel();
        }
        self.main.end();
        self.streams.lock().iter().for_each(|stream| stream.end());
    }

    pub fn client(&self) -> Arc<Client> {
        self.introduced.lock().1.clone()
    }

    pub fn revision(&self) -> Revision {
        self.introduced.lock().0
    }

    pub fn introduce_client(&self, revision: Revision, client: Client) {
        *self.introduced.lock() = (revision, Arc::new(client));
    }

    pub fn set_level(&self, level: LogLevel) {
        let mut introduced = self.introduced.lock();
        let client = Client { log_level: Some(level), ..Client::clone(&introduced.1) };
        introduced.1 = Arc::new(client);
    }

    /// A stream for the events of one call, stored for a while after its end.
    pub fn new_stream(&self) -> Arc<OutStream> {
        let limits = &self.shared.limits;
        let id = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let patience = self.shared.timeouts.write.0;
        let budget = self.budget.clone();
        let stream = OutStream::new(id, limits.replay, limits.queue, patience, true, budget);
        let stream = Arc::new(stream);
        let mut streams = self.streams.lock();
        while streams.len() >= KEPT_STREAMS || kept_bytes(&streams) > KEPT_BYTES {
            // Drop the oldest ended one; calls in flight keep theirs.
            let Some(at) = streams.iter().position(|stream| stream.is_ended()) else { break };
            streams.remove(at);
        }
        streams.push(stream.clone());
        stream
    }

    pub(super) fn forget_streams(&self) {
        self.streams.lock().retain(|stream| !stream.is_forgotten());
    }

    pub fn stream(&self, id: u64) -> Option<Arc<OutStream>> {
        if id == MAIN {
            return Some(self.main.clone());
        }
        self.streams.lock().iter().find(|stream| stream.id == id).cloned()
    }

    /// Sends the client a request: the request's id, and the receiver of the response.
    pub fn question(&self) -> (i64, oneshot::Receiver<Result<Object, RpcError>>) {
        let id = self.next_question.fetch_add(1, Ordering::Relaxed).cast_signed();
        let (sender, receiver) = oneshot::channel();
        self.questions.lock().insert(id, sender);
        (id, receiver)
    }

    pub fn forget_question(&self, id: i64) {
        self.questions.lock().remove(&id);
    }

    /// Handles the client's response to a request. Responses to unknown requests are dropped.
    pub fn answer(&self, id: &Id, answer: Result<Object, RpcError>) {
        let Id::Number(id) = id else { return };
        if let Some(waiting) = self.questions.lock().remove(id) {
            let _ = waiting.send(answer);
        }
    }

    /// Registers a call for cancellation. Fails if its id is in use.
    pub fn begin(self: &Arc<Self>, id: &Id) -> Result<Begun, RpcError> {
        let mut calls = self.calls.lock();
        if calls.contains_key(id) {
            let why = format!("A request with id {id} is in progress");
            return Err(RpcError::invalid_request(why));
        }
        let token = self.closed.child_token();
        calls.insert(id.clone(), token.clone());
        Ok(Begun { session: self.clone(), id: id.clone(), cancelled: token })
    }

    pub fn cancel(&self, id: &Id) {
        if let Some(token) = self.calls.lock().get(id) {
            token.cancel();
        }
    }

    pub fn is_listening(&self) -> bool {
        self.listening.lock().is_some()
    }

    async fn forward(self: Arc<Self>, mut listener: Listener, ended: CancellationToken) {
        loop {
            let notice = tokio::select! {
                notice = listener.next() => notice,
                () = ended.cancelled() => return,
            };
            let Some(notice) = notice else { break };
            let text = message::notification(&notice.method, &notice.params);
            tokio::select! {
                () = self.main.push(&text) => {}
                () = ended.cancelled() => return,
            }
        }
        // Disconnected, or the gateway is closing: the client's stream ends, and it reconnects.
        let mut listening = self.listening.lock();
        if !ended.is_cancelled() {
            *listening = None;
            self.main.hang_up();
        }
    }
}

fn kept_bytes(streams: &[Arc<OutStream>]) -> usize {
    streams.iter().map(|stream| stream.kept_bytes()).sum()
}

/// A call in progress in a session; leaves the session's list when dropped.
#[derive(Debug)]
pub struct Begun {
    session: Arc<Session>,
    id: Id,
    pub cancelled: CancellationToken,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.session.calls.lock().remove(&self.id);
    }
}
