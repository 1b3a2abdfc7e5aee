//! A session with a handshake-era server: opened by `initialize`, over HTTP or over a pipe.

mod listening;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::lenient::Deviation;
use doorward_mcp::meta::LogLevel;
use doorward_mcp::{Id, Message, Object, Revision, RpcError, Value, headers, message, method};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, NoAnswer};
use crate::calls::Takes;
use crate::exchange::{Deadline, Exchange};
use crate::http::Endpoint;
use crate::inbound::Inbound;
use crate::pipe::Pipe;
use crate::server_info::About;
use crate::session_loss;
use doorward_core::Failure;
use doorward_net::clients::Incoming;
use doorward_observability::metrics::Deviations;

/// What carries a session.
#[derive(Debug)]
pub enum Link {
    Http { endpoint: Endpoint, inbound: Inbound },
    Pipe(Arc<Pipe>),
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    link: Link,
    pub revision: Revision,
    pub about: About,
    /// Sent with every HTTP request: the session's id, and the revision from 2025-06-18 on.
    headers: Mutex<HeaderMap>,
    pub level: Mutex<Option<LogLevel>>,
    /// One interactive call at a time, where the server's requests name no call.
    pub lease: Arc<Semaphore>,
    pub used: Mutex<Instant>,
    /// Tasks that live in the session, for as long as they are kept.
    pub tasks: AtomicUsize,
    lost: AtomicBool,
    /// It has begun to listen.
    listens: AtomicBool,
    /// The server does not let it listen.
    deaf: CancellationToken,
    /// For all sessions with the server: it answers requests on the stream on which they listen.
    answers_elsewhere: Arc<AtomicBool>,
    deviations: Arc<Deviations>,
    ids: Arc<AtomicI64>,
    queue: usize,
    stop: CancellationToken,
}

/// Why a request could not be sent in a session.
#[derive(Debug)]
pub enum SendError {
    /// The server does not know the session any more, and so has not acted on the request.
    Lost,
    Rpc(RpcError),
    Failed(Failure),
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// How a session is opened.
pub struct Opening<'a> {
    pub link: Link,
    pub capabilities: &'a Object,
    pub client_info: Value,
    pub ids: Arc<AtomicI64>,
    pub queue: usize,
    pub within: Duration,
    pub deviations: Arc<Deviations>,
    pub answers_elsewhere: Arc<AtomicBool>,
}

/// Why a session could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The server answered, but not as one that knows this handshake over this transport.
    NotSpoken(NoAnswer),
    /// The server answered `initialize` with an error.
    Rpc(RpcError),
    Failed(Failure),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Session {
    /// Shakes hands (spec 2025-11-25 basic/lifecycle).
    pub async fn open(opening: Opening<'_>) -> Result<Arc<Self>, OpenError> {
        let deadline = Deadline::new(opening.within, opening.within);
        let mut params = Object::new();
        params.set("protocolVersion", Revision::NEWEST_HANDSHAKE.as_str());
        params.set("capabilities", opening.capabilities.clone());
        params.set("clientInfo", opening.client_info.clone());
        let id = opening.ids.fetch_add(1, Ordering::Relaxed);
        let text = message::request(&Id::Number(id), method::INITIALIZE, &params);
        let mut headers = HeaderMap::new();
        let mut exchange = match &opening.link {
            Link::Pipe(pipe) => {
                let place = pipe.inbound.calls.join(id, Takes::default(), opening.queue);
                pipe.send(text).await?;
                Exchange::shared(pipe.clone(), place)
            }
            Link::Http { endpoint, .. } => {
                let posting = endpoint.post(HeaderMap::new(), text);
                let response = tokio::time::timeout_at(deadline.at(), posting)
                    .await
                    .map_err(|_| deadline.passed())??;
                if let Some(session) = response.headers().get(headers::SESSION_ID) {
                    headers.insert(headers::SESSION_ID, session.clone());
                }
                match Answer::open(response, endpoint.bounds()).await {
                    Ok(answer) => Exchange::own(id, answer),
                    Err(Ok(refusal)) => return Err(OpenError::NotSpoken(refusal)),
                    Err(Err(failure)) => return Err(failure.into()),
                }
            }
        };
        let result = loop {
            match exchange.next(&deadline).await? {
                Message::Response { result, .. } => break result,
                Message::Error { error, .. } => return Err(OpenError::Rpc(error)),
                Message::Notification { .. } | Message::Request { .. } => {}
            }
        };
        drop(exchange);
        let spoken = result.string("protocolVersion").unwrap_or_default();
        let revision: Revision = match &*spoken {
            // The draft of 2024-11-05, which says the same.
            "2024-10-07" => {
                opening.deviations.note(Deviation::DraftRevision);
                Revision::V2024_11_05
            }
            spoken => spoken.parse().map_err(|_| {
                Failure::new(Kind::InvalidMessage, "The server speaks a revision unknown here")
                    .because(format!("protocolVersion '{spoken}'"))
            })?,
        };
        if revision >= Revision::V2025_06_18 {
            headers.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        }
        let session = Arc::new(Self {
            about: About::from_initialize(&result),
            revision,
            headers: Mutex::new(headers),
            link: opening.link,
            deviations: opening.deviations,
            level: Mutex::new(None),
            lease: Arc::new(Semaphore::new(1)),
            used: Mutex::new(Instant::now()),
            tasks: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            listens: AtomicBool::new(false),
            deaf: CancellationToken::new(),
            answers_elsewhere: opening.answers_elsewhere,
            ids: opening.ids,
            queue: opening.queue,
            stop: CancellationToken::new(),
        });
        let initialized = message::notification(method::INITIALIZED, &Object::new());
        let ready = session.post_one_way(initialized);
        match tokio::time::timeout_at(deadline.at(), ready).await.map_err(|_| deadline.passed())? {
            // Servers that take no notifications take requests: the first of them decides.
            Err(failure) if failure.kind == Kind::HttpStatus => {
                tracing::debug!("the server rejects 'notifications/initialized': {failure}");
            }
            taken => taken?,
        }
        Ok(session)
    }

    fn headers(&self) -> HeaderMap {
        self.headers.lock().clone()
    }

    fn has_id(&self) -> bool {
        self.headers.lock().contains_key(headers::SESSION_ID)
    }

    /// Posts within the session. Some servers name it late, or anew with each answer.
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

    /// Takes note of an answer that answers nothing: the next call is made in another session.
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

    /// Whether the server can tell the session from others, and so may keep something in it.
    pub fn is_stateful(&self) -> bool {
        self.has_id() || matches!(self.link, Link::Pipe(_))
    }

    /// Ends when nothing more can come on the stream on which the session listens.
    pub async fn hears_no_more(&self) {
        tokio::select! {
            () = self.closed() => {}
            () = self.deaf.cancelled() => {}
        }
    }

    /// Ends when the session does: at once for HTTP, whose sessions end only when told so.
    pub async fn closed(&self) {
        match &self.link {
            Link::Http { .. } => self.stop.cancelled().await,
            Link::Pipe(pipe) => tokio::select! {
                () = pipe.stop.cancelled() => {}
                () = self.stop.cancelled() => {}
            },
        }
    }

    pub fn is_idle_since(&self, idle: Duration) -> bool {
        self.tasks.load(Ordering::Relaxed) == 0
            && self.inbound().calls.is_empty()
            && self.used.lock().elapsed() > idle
    }

    /// Sends a request and returns the exchange that will bring its answer. The progress token, if
    /// the client wants progress, is the request's own id.
    pub async fn send(
        self: &Arc<Self>,
        method: &str,
        mut params: Object,
        takes: Takes,
        deadline: &Deadline,
    ) -> Result<Exchange, SendError> {
        *self.used.lock() = Instant::now();
        let id = self.next_id();
        if takes.progress
            && let Some(meta) = params.object_mut("_meta")
        {
            meta.set("progressToken", Value::number(id));
        }
        let text = message::request(&Id::Number(id), method, &params);
        let place = self.inbound().calls.join(id, takes, self.queue);
        match &self.link {
            Link::Pipe(pipe) => {
                if !pipe.is_open() {
                    return Err(SendError::Lost);
                }
                tokio::time::timeout_at(deadline.at(), pipe.send(text))
                    .await
                    .map_err(|_| deadline.passed())??;
                Ok(Exchange::shared(pipe.clone(), place))
            }
            Link::Http { endpoint, .. } => {
                let mut headers = self.headers();
                endpoint.tell(&mut headers, deadline);
                let posting = self.post(endpoint, headers, text);
                let response = tokio::time::timeout_at(deadline.at(), posting)
                    .await
                    .map_err(|_| deadline.passed())??;
                if is_answered_elsewhere(&response) {
                    self.deviations.note(Deviation::AnsweredElsewhere);
                    self.answers_elsewhere.store(true, Ordering::Relaxed);
                    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                        runtime.spawn(self.clone().listen());
                    }
                    return Ok(Exchange::elsewhere(self.clone(), place));
                }
                match Answer::open(response, endpoint.bounds()).await {
                    Ok(answer) => Ok(Exchange::session(self.clone(), answer, place)),
                    Err(Ok(refusal)) => Err(self.refused(refusal)),
                    Err(Err(failure)) => {
                        self.doubted_by(&failure);
                        Err(failure.into())
                    }
                }
            }
        }
    }

    fn refused(&self, refusal: NoAnswer) -> SendError {
        // Servers say 404 for a session they do not know; some older ones say 400, and others what they like.
        let has_id = self.has_id();
        let unknown_session = has_id
            && (matches!(refusal.status, StatusCode::NOT_FOUND | StatusCode::GONE)
                || refusal.of_lost_session
                || (refusal.status == StatusCode::BAD_REQUEST
                    && matches!(&refusal.error, Some(Message::Error { error, .. })
                        if error.message.to_ascii_lowercase().contains("session"))));
        if unknown_session {
            if refusal.status != StatusCode::NOT_FOUND {
                self.deviations.note(Deviation::LostSession);
            }
            self.lost.store(true, Ordering::Relaxed);
            return SendError::Lost;
        }
        // Neither an answer nor a word of the session: the next call is made in another, unless it is the server, or what
        // stands before it, that has no time.
        let passes = matches!(refusal.status.as_u16(), 403 | 429 | 502 | 503 | 504);
        if has_id && refusal.error.is_none() && !passes {
            self.lost.store(true, Ordering::Relaxed);
        }
        match refusal.error {
            Some(Message::Error { error, .. }) if !matches!(refusal.status.as_u16(), 401 | 403) => {
                SendError::Rpc(error)
            }
            _ => SendError::Failed(refusal.failure()),
        }
    }

    /// Takes note if a server's answer says that it does not know the session any more, and returns how it is told.
    pub fn is_lost_by(&self, error: &RpcError) -> Option<session_loss::Told> {
        let told = session_loss::told_by(error).filter(|_| self.has_id())?;
        self.deviations.note(Deviation::LostSession);
        self.lost.store(true, Ordering::Relaxed);
        Some(told)
    }

    /// Asks and waits for the answer, for requests of the gateway's own.
    pub async fn ask(
        self: &Arc<Self>,
        method: &str,
        params: Object,
        within: Duration,
    ) -> Result<Object, SendError> {
        let deadline = Deadline::new(within, within);
        let mut exchange = self.send(method, params, Takes::default(), &deadline).await?;
        loop {
            match exchange.next(&deadline).await? {
                Message::Response { result, .. } => return Ok(result),
                Message::Error { error, .. } => {
                    return Err(match self.is_lost_by(&error) {
                        Some(session_loss::Told::Plainly) => SendError::Lost,
                        _ => SendError::Rpc(error),
                    });
                }
                Message::Notification { method, params } => {
                    self.inbound().receive(Message::Notification { method, params }).await;
                }
                Message::Request { id, .. } => {
                    let error = RpcError::invalid_params(
                        "This request does not allow elicitation or sampling",
                    );
                    exchange.respond(&id, Err(error)).await?;
                }
            }
        }
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

/// Whether a request was only accepted, as a notification would be: the answer comes on the stream on which the session
/// listens. Servers that are made for a single connection do so, and the SDKs take it.
fn is_answered_elsewhere(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let says_something = kind.is_some_and(|kind| {
        let kind = kind.trim_start().to_ascii_lowercase();
        ["application/json", "text/event-stream"].iter().any(|form| kind.starts_with(form))
    });
    response.status() == StatusCode::ACCEPTED && !says_something
}
