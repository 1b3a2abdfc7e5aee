//! The session of a handshake-era client: kept for the client, resumed when a stream breaks, and
//! reopened when the gateway no longer knows it (spec 2025-11-25 basic/transports).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_gateway::call::Failure;
use doorward_mcp::error::Kind;
use doorward_mcp::{Id, Message, Object, RpcError, headers, message, method};
use doorward_transport::answer::{Answer, NoAnswer};
use doorward_transport::http::Endpoint;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Bridge;

/// How often a broken stream is resumed without new messages.
const MAX_RESUMPTIONS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Session {
    state: Mutex<State>,
    /// Held while a lost session is reopened.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The parameters of the client's `initialize`.
    introduction: Option<Object>,
    id: Option<HeaderValue>,
    revision: Option<HeaderValue>,
    listening: Option<CancellationToken>,
}

impl Session {
    fn headers(&self) -> HeaderMap {
        let state = self.state.lock();
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(headers::SESSION_ID, &state.id), (headers::PROTOCOL_VERSION, &state.revision)]
        {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        headers
    }

    fn is_open(&self) -> bool {
        self.state.lock().introduction.is_some()
    }

    fn opened(&self, id: Option<HeaderValue>, result: &Object) {
        let revision = result.string("protocolVersion");
        let mut state = self.state.lock();
        state.id = id;
        state.revision = revision.and_then(|text| HeaderValue::try_from(&*text).ok());
    }

    /// Listens to messages of the gateway that belong to no request.
    pub fn listen(&self, bridge: &Arc<Bridge>) {
        let token = bridge.stop.child_token();
        if let Some(old) = self.state.lock().listening.replace(token.clone()) {
            old.cancel();
        }
        let bridge = bridge.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = bridge.listen() => {}
                () = token.cancelled() => {}
            }
        });
    }

    pub fn stop_listening(&self) {
        if let Some(listening) = self.state.lock().listening.take() {
            listening.cancel();
        }
    }

    /// Ends the session, if there is one.
    pub async fn close(&self, endpoint: &Endpoint) {
        self.stop_listening();
        if self.state.lock().id.is_some() {
            let ending = endpoint.delete(self.headers());
            let _ = tokio::time::timeout(Duration::from_secs(2), ending).await;
        }
    }
}

impl Bridge {
    /// `initialize`: opens a session, and stores the parameters for reopening it.
    pub(super) async fn initialize(&self, id: Id, params: Object) {
        match self.open(&id, &params).await {
            Ok(result) => {
                self.session.state.lock().introduction = Some(params);
                self.say(message::response(&id, &result)).await;
            }
            Err(Refused::Rpc(error)) => self.say(message::error_response(Some(&id), &error)).await,
            Err(Refused::Failed(failure)) => self.say_failed(&id, &failure).await,
        }
    }

    async fn open(&self, id: &Id, params: &Object) -> Result<Object, Refused> {
        let body = message::request(id, method::INITIALIZE, params);
        let response = self.post(&HeaderMap::new(), &body).await?;
        let session = response.headers().get(headers::SESSION_ID).cloned();
        let mut answer = opened(Answer::open(response, self.endpoint.bounds()).await)?;
        while let Some(message) = answer.next().await? {
            match message {
                Message::Response { result, .. } => {
                    self.session.opened(session, &result);
                    return Ok(result);
                }
                Message::Error { error, .. } => return Err(Refused::Rpc(error)),
                Message::Request { .. } | Message::Notification { .. } => {}
            }
        }
        Err(ended().into())
    }

    /// A request in the session.
    pub(super) async fn ask_in_session(&self, id: &Id, method: &str, params: Object) {
        if !self.session.is_open() {
            let why = "The request belongs neither to revision 2026-07-28 nor to a session: send \
                    'initialize' first";
            let error = RpcError::invalid_request(why);
            return self.say(message::error_response(Some(id), &error)).await;
        }
        let body = message::request(id, method, &params);
        match self.ask(id, &body).await {
            Ok(()) => {}
            Err(Refused::Rpc(error)) => self.say(message::error_response(Some(id), &error)).await,
            Err(Refused::Failed(failure)) => self.say_failed(id, &failure).await,
        }
    }

    async fn ask(&self, id: &Id, body: &Bytes) -> Result<(), Refused> {
        for attempt in 0..2 {
            let headers = self.session.headers();
            let response = self.post(&headers, body).await?;
            if response.status() == StatusCode::NOT_FOUND && attempt == 0 {
                // The gateway no longer knows the session, and has not processed the request.
                self.reopen(&headers).await?;
                continue;
            }
            let mut answer = opened(Answer::open(response, self.endpoint.bounds()).await)?;
            if self.relay(id, &mut answer).await? {
                return Ok(());
            }
            return self.resume(id, answer).await;
        }
        Err(ended().into())
    }

    /// Resumes a stream that broke before the response.
    async fn resume(&self, id: &Id, mut answer: Answer) -> Result<(), Refused> {
        let mut last = answer.last_event_id.clone();
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        while let Some(event) = last.clone() {
            tries += 1;
            if tries > MAX_RESUMPTIONS {
                break;
            }
            let asked = answer.retry_ms.map(Duration::from_millis);
            tokio::time::sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let Ok(response) = self.endpoint.get(self.resumption(&event)).await else { continue };
            answer = opened(Answer::open(response, self.endpoint.bounds()).await)?;
            if self.relay(id, &mut answer).await? {
                return Ok(());
            }
            if answer.last_event_id.is_some() && answer.last_event_id != last {
                last = answer.last_event_id.clone();
                tries = 0;
            }
        }
        Err(ended().into())
    }

    fn resumption(&self, event: &str) -> HeaderMap {
        let mut headers = self.session.headers();
        if let Ok(event) = HeaderValue::try_from(event) {
            headers.insert(HeaderName::from_static(headers::LAST_EVENT_ID), event);
        }
        headers
    }

    /// Reopens a lost session, unless another task already has.
    async fn reopen(&self, lost: &HeaderMap) -> Result<(), Refused> {
        let _opening = self.session.opening.lock().await;
        if self.session.headers() != *lost {
            return Ok(());
        }
        let introduction = self.session.state.lock().introduction.clone();
        let introduction = introduction.ok_or_else(ended)?;
        tracing::info!("the session no longer exists at the gateway; opening another");
        self.open(&Id::Number(0), &introduction).await?;
        let initialized = message::notification(method::INITIALIZED, &Object::new());
        let _ = self.post(&self.session.headers(), &initialized).await;
        Ok(())
    }

    /// Sends the client's notifications and responses in order.
    pub(super) async fn post_in_session(&self, body: &Bytes) {
        if !self.session.is_open() {
            return;
        }
        match self.post(&self.session.headers(), body).await {
            Ok(response) if !response.status().is_success() => {
                tracing::warn!(status = %response.status(), "the gateway rejected a message");
            }
            Ok(_) => {}
            Err(failure) => tracing::warn!("a message could not be delivered: {failure}"),
        }
    }

    /// A batch of 2025-03-26: the responses arrive as one array.
    pub(super) async fn post_batch(&self, body: Bytes) {
        let answer = match self.post(&self.session.headers(), &body).await {
            Ok(response) => opened(Answer::open(response, self.endpoint.bounds()).await),
            Err(failure) => Err(failure.into()),
        };
        let error = match answer {
            Ok(mut answer) => loop {
                match answer.next().await {
                    Ok(Some(message)) => self.say(message.to_bytes()).await,
                    Ok(None) => return,
                    Err(failure) => break RpcError::invalid_request(failure.message),
                }
            },
            Err(Refused::Rpc(error)) => error,
            Err(Refused::Failed(failure)) => {
                RpcError::gateway(failure.kind, &failure.message, "", failure.retryable, "")
            }
        };
        self.say(message::error_response(None, &error)).await;
    }

    /// Reads the session's listening stream, and reconnects when it ends.
    async fn listen(&self) {
        let mut last: Option<String> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let headers = match &last {
                Some(event) => self.resumption(event),
                None => self.session.headers(),
            };
            if let Ok(response) = self.endpoint.get(headers).await {
                match Answer::open(response, self.endpoint.bounds()).await {
                    Ok(mut answer) => {
                        pause = FIRST_PAUSE;
                        while let Ok(Some(message)) = answer.next().await {
                            self.say(message.to_bytes()).await;
                        }
                        if answer.last_event_id.is_some() {
                            last = answer.last_event_id;
                        }
                    }
                    // The gateway offers no such stream.
                    Err(Ok(none)) if none.status == StatusCode::METHOD_NOT_ALLOWED => return,
                    // The session is gone, or its position in the stream: start over.
                    Err(_) => last = None,
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Why a request has no result.
enum Refused {
    Rpc(RpcError),
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn opened(answer: Result<Answer, Result<NoAnswer, Failure>>) -> Result<Answer, Refused> {
    answer.map_err(|refused| match refused {
        Ok(NoAnswer { error: Some(Message::Error { error, .. }), .. }) => Refused::Rpc(error),
        Ok(none) => none.failure().into(),
        Err(failure) => failure.into(),
    })
}

fn ended() -> Failure {
    Failure::new(Kind::StreamEnded, "The server closed the response before it was complete")
}
