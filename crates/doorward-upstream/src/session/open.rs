//! Opens a session: the handshake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::lenient::Deviation;
use doorward_mcp::{Id, Message, Object, Revision, RpcError, Value, headers, message, method};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Link, Session};
use crate::exchange::Exchange;
use doorward_core::Failure;
use doorward_core::deadline::Deadline;
use doorward_mcp::server_info::About;
use doorward_observability::metrics::Deviations;
use doorward_transport::answer::{Answer, NoAnswer};
use doorward_transport::calls::Takes;

/// The parameters for opening a session.
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
    /// The response is not one of a server that supports this handshake over this transport.
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
    /// Performs the handshake (spec 2025-11-25 basic/lifecycle).
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
            // The draft of 2024-11-05, with the same content.
            "2024-10-07" => {
                opening.deviations.note(Deviation::DraftRevision);
                Revision::V2024_11_05
            }
            spoken => spoken.parse().map_err(|_| {
                Failure::new(Kind::InvalidMessage, "The server speaks an unknown protocol revision")
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
            serves_calls: AtomicBool::new(false),
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
            // Some servers accept requests but no notifications: ignore the refusal; the first
            // request decides.
            Err(failure) if failure.kind == Kind::HttpStatus => {
                tracing::debug!("the server rejects 'notifications/initialized': {failure}");
            }
            taken => taken?,
        }
        Ok(session)
    }
}
