//! Requests in a session, and the exchanges that receive their responses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_mcp::lenient::{Deviation, session_loss};
use doorward_mcp::{Id, Message, Object, RpcError, Value, message, method};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Link, SendError, Session};
use crate::exchange::{Exchange, cancellation};
use doorward_core::deadline::Deadline;
use doorward_net::clients::Incoming;
use doorward_transport::answer::{Answer, NoAnswer};
use doorward_transport::calls::Takes;

impl Session {
    /// Sends a request and returns the exchange that will receive its response. If the client wants
    /// progress, the progress token is the request's own id.
    pub async fn send(
        self: &Arc<Self>,
        method: &str,
        mut params: Object,
        takes: Takes,
        deadline: &Deadline,
    ) -> Result<Exchange, SendError> {
        *self.used.lock() = Instant::now();
        if method::may_ask_for_input(method) {
            self.serves_calls.store(true, Ordering::Relaxed);
        }
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
                let posted = Posted(Some((self.clone(), id)));
                let response = tokio::time::timeout_at(deadline.at(), posting)
                    .await
                    .map_err(|_| deadline.passed())??;
                if is_answered_elsewhere(&response) {
                    posted.done();
                    self.deviations.note(Deviation::AnsweredElsewhere);
                    self.answers_elsewhere.store(true, Ordering::Relaxed);
                    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                        runtime.spawn(self.clone().listen());
                    }
                    return Ok(Exchange::elsewhere(self.clone(), place));
                }
                let opened = Answer::open(response, endpoint.bounds()).await;
                posted.done();
                match opened {
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
        // Servers respond with 404 for a session they do not know; some older ones with 400, and
        // others with anything.
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
        // Neither a response nor a session error: the next call is made in another session, unless
        // the server or its proxy is temporarily unavailable.
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

    /// Sends a request of the gateway's own and waits for the response.
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
                        Some(session_loss::Reported::Explicitly) => SendError::Lost,
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
}

/// A request whose response has not begun. Dropping it cancels it at the server.
struct Posted(Option<(Arc<Session>, i64)>);

impl Posted {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        if let Some((session, id)) = self.0.take() {
            session.post_in_background(cancellation(id));
        }
    }
}

/// Whether a request was only accepted, as a notification would be, so that the response arrives on
/// the listening stream. Servers that assume a single connection do so, and the SDKs support it.
fn is_answered_elsewhere(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let says_something = kind.is_some_and(|kind| {
        let kind = kind.trim_start().to_ascii_lowercase();
        ["application/json", "text/event-stream"].iter().any(|form| kind.starts_with(form))
    });
    response.status() == StatusCode::ACCEPTED && !says_something
}
