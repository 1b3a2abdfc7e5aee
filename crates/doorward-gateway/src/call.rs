//! A call on its way through the gateway, always in the modern form: who asks, by which door, for
//! what, and where the events of its run go.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, RpcError, Value, message, method};
use doorward_policy::Decision;
use doorward_store::hex;
use tokio::sync::{Notify, mpsc};

use crate::access;
use crate::audit::Opened;
use crate::billing::Reserved;
use crate::byte_queue;
use crate::cache::Lead;
use crate::catalog::ToolEntry;
use crate::identity::Caller;
use crate::pipeline::cache::Looked;
use crate::rates::{Limited, Nearest, Taken};
use crate::schema::Unfit;
use crate::switchboard::Listener;
use crate::telemetry::trace::Trace;
use crate::upstream::exchange::Deadline;
use crate::upstream::{Asked, Server};

/// Names one call in every log line and every error of the gateway's own. Unique to the process,
/// and unlike those of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let run = u64::from(Self::run()) << 32;
        Self(run.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// What the ids of a process's calls begin with. It tells runs apart; without randomness they are
    /// not, and calls still are.
    pub fn run() -> u32 {
        static RUN: OnceLock<u32> = OnceLock::new();
        *RUN.get_or_init(|| getrandom::u32().unwrap_or_default())
    }

    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0.to_be_bytes()))
    }
}

/// What a caller sees: all servers under qualified names, or one server as if the gateway were
/// not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Portal {
    Merged,
    /// What was chosen of several servers, by the portal's name.
    Named(Arc<str>),
    Server(Arc<str>),
}

impl Portal {
    /// As policies name it.
    pub fn name(&self) -> &str {
        match self {
            Self::Merged => "",
            Self::Named(name) | Self::Server(name) => name,
        }
    }

    /// Whether several servers are there, each name with its server's.
    pub fn is_merged(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}

/// By which door a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Streamable HTTP, of whatever revision.
    Mcp,
    /// HTTP+SSE.
    Sse,
    /// The operator's listener.
    Admin,
}

impl Door {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Sse => "sse",
            Self::Admin => "admin",
        }
    }
}

/// One request, in the words of 2026-07-28 whatever the client speaks.
#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    pub caller: Caller,
    pub door: Door,
    pub portal: Portal,
    /// What the client speaks.
    pub revision: Revision,
    pub client: Arc<Client>,
    /// The client's session, where it has one.
    pub session: Option<Arc<str>>,
    pub method: Box<str>,
    /// Without what `client` and `retry` hold.
    pub params: Object,
    pub retry: Option<Retry>,
    /// Questions that a handshake-era client answered with an error, by key.
    pub refused: Vec<(String, RpcError)>,
    /// The `Mcp-Param-*` headers that came with the request; `None` when it did not come over
    /// modern HTTP, where none are expected.
    pub param_headers: Option<http::HeaderMap>,
    pub started: Instant,
    /// Set by routing.
    pub route: Option<Route>,
    /// What the client called it, where routing has put the server's own name in its place.
    pub shown_name: Option<Box<str>>,
    /// When it came, in microseconds since 1970.
    pub began: i64,
    pub notes: Notes,
}

/// What the stages have learnt of a call, for its record.
#[derive(Debug, Default)]
pub struct Notes {
    /// Where policies were asked.
    pub decision: Option<Box<Decision>>,
    /// The record, as long as it is open.
    pub opened: Option<Opened>,
    /// The trace that it belongs to, and what is traced of it.
    pub trace_id: Option<[u8; 16]>,
    pub trace: Option<Box<Trace>>,
    /// How long the server took.
    pub upstream: Duration,
    /// How often the server was asked again.
    pub retries: u32,
    /// Until when it is to be answered, if it has waited for another.
    pub deadline: Option<Deadline>,
    /// How it was answered from memory, if it was.
    pub cached: Option<&'static str>,
    /// What the cache knows of it, while it is being made.
    pub looked: Option<Box<Looked>>,
    /// It is made so that there is a fresh answer for others.
    pub refreshes: Option<Lead>,
    /// Its arguments were put into the tool's form.
    pub coerced: bool,
    /// What the tool has answered does not fit its output schema.
    pub unfit_result: bool,
    /// What is set aside for it.
    pub reserved: Option<Reserved>,
    /// What it counts for, as long as it lasts.
    pub taken: Taken,
    /// Where the door wants to be told what is left of the nearest limit.
    pub nearest: Option<Arc<OnceLock<Nearest>>>,
}

/// What a door knows of a call.
#[derive(Debug)]
pub struct Asks {
    pub caller: Caller,
    pub door: Door,
    pub portal: Portal,
    pub revision: Revision,
    pub client: Arc<Client>,
    pub session: Option<Arc<str>>,
    pub retry: Option<Retry>,
    pub param_headers: Option<http::HeaderMap>,
}

impl Call {
    /// A call that has just come.
    pub fn new(asks: Asks, method: &str, params: Object) -> Self {
        let Asks { caller, door, portal, revision, client, session, retry, param_headers } = asks;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut params = params;
        // Several SDKs write absent arguments as null, and servers expect an object.
        if matches!(method, method::TOOLS_CALL | method::PROMPTS_GET)
            && params.get("arguments").is_some_and(Value::is_null)
        {
            params.set("arguments", Object::new());
        }
        Self {
            id: CallId::next(),
            caller,
            door,
            portal,
            revision,
            client,
            session,
            method: method.into(),
            params,
            retry,
            refused: Vec::new(),
            param_headers,
            started: Instant::now(),
            route: None,
            shown_name: None,
            began: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            notes: Notes::default(),
        }
    }

    /// Until when a server has to answer it, from now.
    pub fn deadline_at(&self, server: &Server) -> Deadline {
        server.deadline(&self.method, &self.params)
    }

    /// The call as a server is asked it.
    pub fn asked<'a>(&'a self, server: &Server) -> Asked<'a> {
        Asked {
            method: &self.method,
            params: self.params.clone(),
            client: &self.client,
            principal: &self.caller.principal.id,
            // Set where the server is asked on the caller's behalf; lists are the gateway's own to fetch.
            own: None,
            session: self.session.clone(),
            handshake_client: !self.revision.is_modern(),
            retry: self.retry.as_ref(),
            refused: &self.refused,
            deadline: self.notes.deadline.unwrap_or_else(|| self.deadline_at(server)),
            traceparent: self.notes.trace.as_ref().map(|trace| trace.onward().to_string()),
            tool: self.route.as_ref().and_then(|route| route.tool.clone()),
            param_headers: self.param_headers.as_ref(),
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone)]
pub struct Route {
    pub server: Arc<Server>,
    /// For `tools/call`: what the catalogue knows of the tool.
    pub tool: Option<Arc<ToolEntry>>,
    /// For `tools/call`: whether the tool may change something, once it was looked for.
    pub writes: Option<bool>,
}

impl Route {
    pub fn to(server: Arc<Server>) -> Self {
        Self { server, tool: None, writes: None }
    }

    /// To a tool, be it known or not.
    pub fn to_tool(server: Arc<Server>, name: &str, tool: Option<Arc<ToolEntry>>) -> Self {
        let writes = Some(access::is_write(&server, name, tool.as_deref()));
        Self { server, tool, writes }
    }
}

/// What a call comes to.
#[derive(Debug)]
pub enum Reply {
    /// A complete result, or one that asks for input.
    Result(Object),
    /// `subscriptions/listen`: goes on until one side ends it.
    Listening(Listener),
}

/// Why a call ended without a result.
#[derive(Debug, Clone)]
pub enum CallError {
    /// An error in the words of the specification: the server's own, or for bad input.
    Rpc(RpcError),
    /// The gateway's own: between it and a server something failed.
    Gateway(Failure),
    /// Too much of something, with the HTTP status that says so.
    Refused { failure: Failure, status: u16 },
    /// A policy does not let this caller do this, though it may know that it is there.
    Denied(Box<Decision>),
    /// The arguments do not fit the tool.
    Unfit(Box<Unfit>),
    /// A limit is used up.
    Limited(Box<Limited>),
}

/// A failure between the gateway and a server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: Kind,
    /// For the caller: says what happened, not where the server is or what it holds.
    pub message: String,
    /// Asking again, unchanged, may help and cannot act twice.
    pub retryable: bool,
    /// The cause, for the operator's log alone.
    pub cause: Option<String>,
    /// The server seems to speak another era than remembered; nothing was done.
    pub era_in_doubt: bool,
    /// The server did nothing, for it wants something else to be shown.
    pub challenge: Option<Challenge>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long the server wants to be left alone, or will be.
    pub retry_after: Option<Duration>,
}

/// What a server wants to be shown (RFC 6750 section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Another token: this one is not good, or not any more.
    Token,
    /// A token with these scopes.
    Scopes(BTreeSet<String>),
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retryable = matches!(
            kind,
            Kind::Unreachable
                | Kind::Overloaded
                | Kind::Closing
                | Kind::Limited
                | Kind::Unrecorded
                | Kind::CircuitOpen
        );
        let message = message.into();
        Self {
            kind,
            message,
            retryable,
            cause: None,
            era_in_doubt: false,
            challenge: None,
            status: None,
            retry_after: None,
        }
    }

    /// Whether the server has not seen the call, or has said that it did nothing and when to come again.
    pub fn is_unseen(&self) -> bool {
        match self.kind {
            Kind::Unreachable => true,
            Kind::HttpStatus => {
                matches!(self.status, Some(429 | 503)) && self.retry_after.is_some()
            }
            _ => false,
        }
    }

    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Gateway(failure)
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

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
