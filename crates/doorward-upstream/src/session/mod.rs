//! An open session with a handshake-era server, over HTTP or over a pipe: its state, its messages
//! without a response, and its end.

mod listening;
pub mod open;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::lenient::{Deviation, session_loss};
use doorward_mcp::meta::LogLevel;
use doorward_mcp::{Revision, RpcError, headers};
use http::{HeaderMap, Response};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use doorward_core::Failure;
use doorward_mcp::server_info::About;
use doorward_net::clients::Incoming;
use doorward_observability::metrics::Deviations;
use doorward_transport::http::Endpoint;
use doorward_transport::inbound::Inbound;
use doorward_transport::pipe::Pipe;

/// The transport of a session.
#[derive(Debug)]
pub enum Link {
    Http { endpoint: Endpoint, inbound: Box<Inbound> },
    Pipe(Arc<Pipe>),
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    link: Link,
    pub revision: Revision,
    pub about: About,
    /// Sent with every HTTP request: the session's id, and from 2025-06-18 on the revision.
    headers: Mutex<HeaderMap>,
    pub level: Mutex<Option<LogLevel>>,
    /// One interactive call at a time, if the server's requests name no call.
    pub lease: Arc<Semaphore>,
    pub used: Mutex<Instant>,
    /// Stored tasks that live in the session.
    pub tasks: AtomicUsize,
    lost: AtomicBool,
    /// Whether it has served a call other than lists, so that the server may hold state for it.
    serves_calls: AtomicBool,
    /// Whether it has started to listen.
    listens: AtomicBool,
    /// Cancelled when the server refuses listening.
    deaf: CancellationToken,
    /// Shared by all sessions with the server: it responds to requests on their listening streams.
    answers_elsewhere: Arc<AtomicBool>,
    deviations: Arc<Deviations>,
    ids: Arc<AtomicI64>,
    queue: usize,
    stop: CancellationToken,
}

/// Why a request could not be sent in a session.
#[derive(Debug)]
pub enum SendError {
    /// The server no longer knows the session, so the request had no effect.
    Lost,
    Rpc(RpcError),
    Failed(Failure),
}

impl SendError {
    /// For the operator's log.
    pub(crate) fn logged(&self) -> String {
        match self {
            Self::Lost => "the session is lost".into(),
            Self::Rpc(error) => crate::call_error::logged_rpc(error),
            Self::Failed(failure) => crate::call_error::logged_failure(failure),
        }
    }
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Session {
    fn headers(&self) -> HeaderMap {
        self.headers.lock().clone()
    }

    fn has_id(&self) -> bool {
        self.headers.lock().contains_key(headers::SESSION_ID)
    }

    /// Posts within the session. Some servers assign the session id late, or change it with a
    /// response.
    async fn post(
        &self,
        endpoint: &Endpoint,
        headers: HeaderMap,
        text: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let response = endpoint.post(headers, text).await?;
        if response.status().is_success()
            && let Some(named) = response.headers().get(headers::SESSION_ID)
        {
            let mut headers = self.headers.lock();
            if headers.get(headers::SESSION_ID) != Some(named) {
                headers.insert(headers::SESSION_ID, named.clone());
            }
        }
        Ok(response)
    }

    /// Marks the session as doubtful after an unusable response: the next call is made in another
    /// session.
    pub fn doubted_by(&self, failure: &Failure) {
        let is_none = matches!(failure.kind, Kind::InvalidJson | Kind::InvalidMessage);
        if is_none && self.has_id() {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    pub fn next_id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub fn inbound(&self) -> &Inbound {
        match &self.link {
            Link::Http { inbound, .. } => inbound,
            Link::Pipe(pipe) => &pipe.inbound,
        }
    }

    /// Whether requests can still be sent.
    pub fn is_open(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
            && !self.stop.is_cancelled()
            && match &self.link {
                Link::Http { .. } => true,
                Link::Pipe(pipe) => pipe.is_open(),
            }
    }

    /// Whether the server can identify the session, and so may hold state in it.
    pub fn is_stateful(&self) -> bool {
        self.has_id() || matches!(self.link, Link::Pipe(_))
    }

    /// Completes when nothing more can arrive on the session's listening stream.
    pub async fn hears_no_more(&self) {
        tokio::select! {
            () = self.closed() => {}
            () = self.deaf.cancelled() => {}
        }
    }

    /// Completes when the connection ends; never for HTTP, whose sessions end on request only.
    pub async fn closed(&self) {
        match &self.link {
            Link::Http { .. } => self.stop.cancelled().await,
            Link::Pipe(pipe) => tokio::select! {
                () = pipe.stop.cancelled() => {}
                () = self.stop.cancelled() => {}
            },
        }
    }

    /// Whether the server may hold state for it.
    pub fn serves_calls(&self) -> bool {
        self.serves_calls.load(Ordering::Relaxed)
    }

    pub fn is_idle_since(&self, idle: Duration) -> bool {
        self.tasks.load(Ordering::Relaxed) == 0
            && self.inbound().calls.is_empty()
            && self.used.lock().elapsed() > idle
    }

    /// Marks the session as lost if a server's error means that it no longer knows the session, and
    /// returns whether it does.
    pub fn is_lost_by(&self, error: &RpcError) -> Option<session_loss::Reported> {
        let reported = session_loss::reported_by(error).filter(|_| self.has_id())?;
        self.deviations.note(Deviation::LostSession);
        self.lost.store(true, Ordering::Relaxed);
        Some(reported)
    }

    /// Posts a notification or a response.
    pub async fn post_one_way(&self, text: Bytes) -> Result<(), Failure> {
        match &self.link {
            Link::Pipe(pipe) => pipe.send(text).await,
            Link::Http { endpoint, .. } => {
                let headers = self.headers();
                let response = self.post(endpoint, headers, text).await?;
                if response.status().is_success() {
                    return Ok(());
                }
                let status = response.status().as_u16();
                let message = format!("The server refused a message with HTTP {status}");
                Err(Failure::new(Kind::HttpStatus, message))
            }
        }
    }

    pub fn post_in_background(self: Arc<Self>, text: Bytes) {
        if let Link::Pipe(pipe) = &self.link {
            return pipe.try_send(text);
        }
        // One short request, bounded by the timeout.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(5), self.post_one_way(text)).await;
            });
        }
    }

    /// Ends the session: the program is stopped, the HTTP session deleted.
    pub fn close(self: &Arc<Self>) {
        if self.stop.is_cancelled() {
            return;
        }
        self.stop.cancel();
        match &self.link {
            Link::Pipe(pipe) => {
                pipe.end(Failure::new(Kind::Closing, "The server's session is being closed"));
            }
            Link::Http { endpoint, .. } => {
                let (endpoint, headers) = (endpoint.clone(), self.headers());
                if self.has_id()
                    && let Ok(runtime) = tokio::runtime::Handle::try_current()
                {
                    runtime.spawn(async move {
                        let deleting = endpoint.delete(headers);
                        let _ = tokio::time::timeout(Duration::from_secs(5), deleting).await;
                    });
                }
            }
        }
    }
}
