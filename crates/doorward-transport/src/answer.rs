//! A server's response over HTTP, JSON or an event stream: its messages, or why there are none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::lenient::{self, Deviation, session_loss};
use doorward_mcp::{Message, sse};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::calls::Calls;
use super::http::Bounds;
use doorward_core::collect::Gathered;
use doorward_core::{Challenge, Failure};
use doorward_identity::oauth;
use doorward_net::clients::BodyError;
use doorward_net::clients::Incoming;
use doorward_net::decoded::WasEncoded;
use doorward_net::tls::cause_chain;

/// Before it was settled that it is `application/json`.
const JSON_RPC: &str = "application/json-rpc";
/// How long the body of an error may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events one after another that are no messages, before the stream is given up.
const MOST_NOISE: usize = 1000;
/// Longest list of scopes that a server may want.
const MOST_SCOPES: usize = 2000;

/// The answer to one request, read message by message.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    form: Form,
    bounds: Bounds,
    ready: VecDeque<Message>,
    /// The id of the last event, to resume after it.
    pub last_event_id: Option<String>,
    /// How long the server asks to wait before resuming.
    pub retry_ms: Option<u64>,
    /// The request that is answered, where there is one: what cannot be read of its answer is an error.
    pub expects: Option<i64>,
    /// Those who wait for answers on a shared stream.
    pub calls: Option<Arc<Calls>>,
    /// Why the first event could not be read that was skipped.
    pub unread: Option<Failure>,
    /// Skipped since the last message.
    skipped: usize,
}

#[derive(Debug)]
enum Form {
    /// The pieces read so far: one piece is not copied.
    Json(Gathered),
    Events(sse::Decoder),
    Ended,
}

/// An answer that is none: a status, and what little of its body could be read.
#[derive(Debug)]
pub struct NoAnswer {
    pub status: StatusCode,
    /// The JSON-RPC error in the body, where there is one.
    pub error: Option<Message>,
    /// The body says that a session is not there.
    pub of_lost_session: bool,
    pub headers: HeaderMap,
}

impl NoAnswer {
    pub fn failure(&self) -> Failure {
        let status = self.status.as_u16();
        let mut failure = match status {
            401 | 403 => Failure::new(
                Kind::Unauthorized,
                format!("The server rejected the gateway's credential (HTTP {status})"),
            ),
            _ => Failure::new(Kind::HttpStatus, format!("The server answered with HTTP {status}")),
        };
        failure.retryable = matches!(status, 429 | 503);
        failure.status = Some(status);
        failure.retry_after = self.retry_after();
        failure.challenge = self.challenge();
        failure
    }

    /// How long the server wants to be left alone (RFC 9110 section 10.2.3).
    fn retry_after(&self) -> Option<Duration> {
        let said = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = said.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = jiff::fmt::rfc2822::parse(said).ok()?.timestamp();
        let wait = at.duration_since(jiff::Timestamp::now());
        Some(Duration::try_from(wait).unwrap_or_default())
    }

    /// What the server wants to be shown. Of its own words nothing goes on to clients.
    fn challenge(&self) -> Option<Challenge> {
        match self.status {
            StatusCode::UNAUTHORIZED => Some(Challenge::Token),
            StatusCode::FORBIDDEN => {
                let said = self.headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
                let asked = oauth::parse_challenge(said);
                let scopes = asked.get("scope").filter(|scopes| scopes.len() <= MOST_SCOPES)?;
                let lacks = asked.get("error").is_some_and(|error| error == "insufficient_scope");
                lacks.then(|| Challenge::Scopes(scopes.split(' ').map(str::to_owned).collect()))
            }
            _ => None,
        }
    }
}

impl Answer {
    /// Looks at the status and the type of an answer. `Err(Ok(_))` is an answer that is none.
    pub async fn open(
        response: Response<Incoming>,
        bounds: Bounds,
    ) -> Result<Self, Result<NoAnswer, Failure>> {
        let (head, mut body) = response.into_parts();
        let is = |kind: &str| {
            let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            // Several in one, as of two headers that were joined, begin with the one that counts.
            content_type.is_some_and(|text| {
                text.split([';', ',']).next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
            })
        };
        if head.headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(Err(Failure::new(
                Kind::InvalidMessage,
                "The server's response has an unsupported content encoding",
            )));
        }
        if head.extensions.get::<WasEncoded>().is_some() {
            bounds.note(Deviation::Compressed);
        }
        if !head.status.is_success() {
            // What else is of no use is not waited for.
            let plain = ["text/plain", "text/json", "application/problem+json", JSON_RPC];
            let is_text =
                head.headers.get(CONTENT_TYPE).is_none() || plain.iter().any(|kind| is(kind));
            let limit = match (is("application/json"), is_text) {
                (true, _) => bounds.message.min(256 << 10),
                (false, true) => 4 << 10,
                (false, false) => 0,
            };
            let mut gathered = Gathered::default();
            let reading = read_whole(&mut gathered, &mut body, limit);
            let text = match limit {
                0 => None,
                _ => tokio::time::timeout(PATIENCE, reading).await.ok().and_then(Result::ok),
            };
            let of_lost_session = text
                .as_ref()
                .is_some_and(|text| session_loss::in_words(&String::from_utf8_lossy(text)));
            let error = text
                .filter(|_| is("application/json"))
                .and_then(|text| bounds.parse(&text).ok())
                .filter(|message| matches!(message, Message::Error { .. }));
            let (status, headers) = (head.status, head.headers);
            return Err(Ok(NoAnswer { status, error, of_lost_session, headers }));
        }
        let form = if is("text/event-stream") {
            Form::Events(sse::Decoder::new(bounds.message))
        } else if is("application/json") || is(JSON_RPC) {
            Form::Json(Gathered::expecting(body.size_hint().lower()))
        } else {
            return Err(Err(Failure::new(
                Kind::InvalidMessage,
                "The server's response is neither JSON nor an event stream",
            )
            .because(format!("content-type {:?}", head.headers.get(CONTENT_TYPE)))));
        };
        Ok(Self {
            body,
            form,
            bounds,
            ready: VecDeque::new(),
            last_event_id: None,
            retry_ms: None,
            expects: None,
            calls: None,
            unread: None,
            skipped: 0,
        })
    }

    /// As what is said to one request.
    pub fn to(self, id: i64) -> Self {
        Self { expects: Some(id), ..self }
    }

    /// The next message; `None` when the answer has ended. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            match &mut self.form {
                Form::Ended => return Ok(None),
                Form::Json(gathered) => {
                    let whole = read_whole(gathered, &mut self.body, self.bounds.message).await;
                    let text = match &whole {
                        Ok(text) => text.clone(),
                        // Packed without a proper end: a whole message needs none.
                        Err(failure) if failure.kind == Kind::InvalidMessage => gathered.take(),
                        Err(_) => Bytes::new(),
                    };
                    self.form = Form::Ended;
                    let read = self.bounds.parse_all(&text, &mut self.ready);
                    match whole {
                        Err(failure) if self.ready.is_empty() => return Err(failure),
                        // One item of a batch that cannot be read costs no other.
                        _ if !self.ready.is_empty() => {}
                        _ => read?,
                    }
                }
                Form::Events(_) => match self.next_event().await? {
                    Some(event) => self.take(event)?,
                    None => self.take_last(),
                },
            }
        }
    }

    /// The next event as it is, for HTTP+SSE, whose first event is no message.
    pub async fn next_event(&mut self) -> Result<Option<sse::Event>, Failure> {
        let Form::Events(decoder) = &mut self.form else { return Ok(None) };
        loop {
            let event = decoder.next().map_err(|error| {
                Failure::new(Kind::TooLarge, "A message of the server is too large").because(error)
            })?;
            if event.is_some() {
                return Ok(event);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        decoder.push(data);
                    }
                }
                None => return Ok(None),
                Some(Err(error)) => {
                    tracing::debug!(
                        cause = cause_chain(&error),
                        "a server's stream was interrupted"
                    );
                    return Ok(None);
                }
            }
        }
    }

    /// At the end of the stream: servers that close it behind the last line have answered, if what they have said is
    /// a whole message.
    fn take_last(&mut self) {
        let form = std::mem::replace(&mut self.form, Form::Ended);
        let Form::Events(mut decoder) = form else { return };
        let Ok(Some(event)) = decoder.end() else { return };
        let before = (self.last_event_id.clone(), self.retry_ms, self.unread.clone());
        let skipped = self.skipped;
        if self.take(event).is_err() || self.skipped > skipped {
            // Cut off in its midst: there was no such event.
            (self.last_event_id, self.retry_ms, self.unread) = before;
            self.ready.clear();
        }
    }

    fn take(&mut self, event: sse::Event) -> Result<(), Failure> {
        if event.id.as_ref().is_some_and(|id| !id.is_empty()) {
            self.last_event_id = event.id;
        }
        if event.retry_ms.is_some() {
            self.retry_ms = event.retry_ms;
        }
        // A priming event has no data; events of other kinds are none of the protocol's.
        if event.data.is_empty() || !matches!(event.kind.as_str(), "" | "message") {
            return Ok(());
        }
        let read = self.bounds.parse_all(&event.data, &mut self.ready);
        if !self.ready.is_empty() {
            self.skipped = 0;
        }
        read.or_else(|failure| self.skip(&event.data, failure))
    }

    /// An event that is no message costs nothing but the call that it would have answered.
    fn skip(&mut self, text: &[u8], failure: Failure) -> Result<(), Failure> {
        self.bounds.note(Deviation::Noise);
        let answered = lenient::answered_id(text);
        self.skipped += 1;
        if (answered.is_some() && answered == self.expects) || self.skipped > MOST_NOISE {
            return Err(failure);
        }
        tracing::debug!("skipped an event of a server that is not a message: {failure}");
        if let (Some(id), Some(calls)) = (answered, &self.calls) {
            calls.cut_off(id, failure.clone());
        }
        self.unread.get_or_insert(failure);
        Ok(())
    }
}

/// Reads a body to its end, within a limit. May be interrupted and taken up again.
pub async fn read_whole(
    gathered: &mut Gathered,
    body: &mut Incoming,
    limit: usize,
) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(Kind::TooLarge, "The server's response is too large");
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match &error {
            BodyError::Encoding(why) => {
                let message = "The server's response cannot be decompressed";
                Failure::new(Kind::InvalidMessage, message).because(why)
            }
            BodyError::Http(_) => {
                Failure::new(Kind::StreamEnded, "The server's response is incomplete")
                    .because(cause_chain(&error))
            }
        })?;
        let Ok(data) = frame.into_data() else { continue };
        gathered.add(data, limit).map_err(|_| too_large())?;
    }
    Ok(gathered.take())
}
