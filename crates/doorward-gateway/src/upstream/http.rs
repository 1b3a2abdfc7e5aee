//! HTTP towards a server: one request, and its answer message by message, be it JSON or a stream
//! of events.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::json::Names;
use doorward_mcp::message::{is_batch, split_batch};
use doorward_mcp::{Message, Object, Revision, headers, method, sse};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};

use super::Shared;
pub use super::clients::{Clients, Incoming, tls_config, trusted};
use super::credential::Credential;
use super::exchange::Deadline;
use crate::call::{Challenge, Failure};
use crate::gather::Gathered;
use crate::oauth;
use crate::settings::{Limits, ServerSettings};

/// Longest list of scopes that a server may want.
const MOST_SCOPES: usize = 2000;

/// A server's endpoint and what is sent to it with every request.
#[derive(Debug, Clone)]
pub struct Endpoint {
    uri: Uri,
    target: Arc<Target>,
    /// What one caller has given for it.
    own: Option<Own>,
}

/// A credential of a caller's own, as a header of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    pub name: HeaderName,
    pub value: HeaderValue,
}

#[derive(Debug)]
struct Target {
    clients: Arc<Clients>,
    headers: HeaderMap,
    credential: Option<Arc<Credential>>,
    bounds: Bounds,
    /// Where the server is told how much time there is.
    deadline: Option<HeaderName>,
}

/// Bounds of what is read from a server.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub message: usize,
    pub depth: usize,
}

impl Bounds {
    pub fn new(limits: &Limits) -> Self {
        Self { message: limits.message.0, depth: limits.json_depth }
    }

    /// Reads one message of a server's.
    pub fn parse(self, text: &Bytes) -> Result<Message, Failure> {
        let limits = doorward_mcp::json::Limits { depth: self.depth, names: Names::StrictEnvelope };
        Message::parse(text, limits).map_err(|invalid| {
            let (kind, message) = match invalid {
                doorward_mcp::message::Invalid::Json(_) => {
                    (Kind::InvalidJson, "The server's answer is not valid JSON")
                }
                doorward_mcp::message::Invalid::Message { .. } => {
                    (Kind::InvalidMessage, "The server's answer is not a valid JSON-RPC message")
                }
            };
            Failure::new(kind, message).because(invalid)
        })
    }

    /// Reads one message, or several where a peer of 2025-03-26 sends a batch.
    fn parse_all(self, text: &Bytes, into: &mut VecDeque<Message>) -> Result<(), Failure> {
        if !is_batch(text) {
            into.push_back(self.parse(text)?);
            return Ok(());
        }
        let limits = doorward_mcp::json::Limits { depth: self.depth, names: Names::StrictEnvelope };
        let items = split_batch(text, limits).map_err(|invalid| {
            Failure::new(Kind::InvalidMessage, "The server's batch cannot be read").because(invalid)
        })?;
        for item in items {
            into.push_back(self.parse(&item)?);
        }
        Ok(())
    }
}

impl Endpoint {
    /// `None` when the settings name no URL. What they hold was checked before.
    pub fn new(clients: Arc<Clients>, settings: &ServerSettings, limits: &Limits) -> Option<Self> {
        Self::build(clients, settings, limits, None)
    }

    /// The endpoint of a server behind the gateway.
    pub fn of(name: &str, shared: &Shared, settings: &ServerSettings) -> Option<Self> {
        let given = settings.delegated.is_some()
            && settings.credential.is_none()
            && !settings.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        // What was given to the gateway itself.
        let given = given.then(|| Credential::delegated(name, settings, &shared.delegations));
        let clients = match &settings.tls {
            None => shared.http.clone(),
            Some(tls) => Arc::new(shared.http.with_tls(tls_config(tls).ok()?)),
        };
        let clients = match settings.public_only {
            true => Arc::new(clients.public_only()),
            false => clients,
        };
        Self::build(clients, settings, &shared.limits, given)
    }

    fn build(
        clients: Arc<Clients>,
        settings: &ServerSettings,
        limits: &Limits,
        given: Option<Credential>,
    ) -> Option<Self> {
        let uri = settings.address()?.as_str().parse().ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let mut value = HeaderValue::try_from(value.expose()).ok()?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name).ok()?, value);
        }
        let credential = match &settings.credential {
            Some(credential) => Some(Credential::new(credential, settings.address()?)?),
            None => given,
        };
        let credential = credential.map(Arc::new);
        let deadline = settings.reliability.deadline_header.as_ref();
        let deadline = deadline.and_then(|name| HeaderName::try_from(name).ok());
        let target = Target { clients, headers, credential, bounds: Bounds::new(limits), deadline };
        Some(Self { uri, target: Arc::new(target), own: None })
    }

    /// The same server at another place: another path of the same origin (HTTP+SSE names where to post).
    pub fn at(&self, uri: Uri) -> Self {
        Self { uri, target: self.target.clone(), own: self.own.clone() }
    }

    /// One of several that are the same server, shown the same credential.
    pub fn replica(&self, uri: Uri, address: Option<IpAddr>) -> Self {
        let Some(address) = address else { return self.at(uri) };
        let target = Target {
            clients: Arc::new(self.target.clients.pinned(address)),
            headers: self.target.headers.clone(),
            credential: self.target.credential.clone(),
            bounds: self.target.bounds,
            deadline: self.target.deadline.clone(),
        };
        Self { uri, target: Arc::new(target), own: self.own.clone() }
    }

    /// The same server, shown what a caller has given for it in the place of the gateway's own.
    pub fn with(&self, own: Option<&Own>) -> Self {
        Self { own: own.cloned(), ..self.clone() }
    }

    /// Tells the server how much time there is, where it wants to know.
    pub fn tell(&self, headers: &mut HeaderMap, deadline: &Deadline) {
        if let Some(name) = &self.target.deadline {
            let left = u64::try_from(deadline.left().as_millis()).unwrap_or(u64::MAX);
            headers.insert(name, left.into());
        }
    }

    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    pub fn bounds(&self) -> Bounds {
        self.target.bounds
    }

    pub async fn post(&self, extra: HeaderMap, body: Bytes) -> Result<Response<Incoming>, Failure> {
        self.send(Method::POST, "application/json, text/event-stream", extra, body).await
    }

    /// Opens a stream of events.
    pub async fn get(&self, extra: HeaderMap) -> Result<Response<Incoming>, Failure> {
        self.send(Method::GET, "text/event-stream", extra, Bytes::new()).await
    }

    pub async fn delete(&self, extra: HeaderMap) -> Result<Response<Incoming>, Failure> {
        self.send(Method::DELETE, "application/json", extra, Bytes::new()).await
    }

    /// Any other request; of what the headers say, the gateway's own come first.
    pub async fn call(
        &self,
        method: Method,
        extra: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        self.send(method, "application/json, */*;q=0.5", extra, body).await
    }

    async fn send(
        &self,
        method: Method,
        accept: &'static str,
        extra: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let Some(credential) = self.target.credential.as_ref().filter(|_| self.own.is_none())
        else {
            let request = self.request(method, accept, extra, body);
            return self.target.clients.send(request).await;
        };
        let Some(shown) = credential.show().await? else {
            let request = self.request(method, accept, extra, body);
            return self.target.clients.send(request).await;
        };
        let again = extra.clone();
        let mut request = self.request(method.clone(), accept, extra, body.clone());
        request.headers_mut().insert(AUTHORIZATION, shown.clone());
        let response = self.target.clients.send(request).await?;
        // What was refused for its credential was not done: it may be asked again with another.
        if response.status() != StatusCode::UNAUTHORIZED || !credential.refused(&shown) {
            return Ok(response);
        }
        let shown = credential.show().await?;
        let mut request = self.request(method, accept, again, body);
        if let Some(shown) = shown {
            request.headers_mut().insert(AUTHORIZATION, shown);
        }
        self.target.clients.send(request).await
    }

    fn request(
        &self,
        method: Method,
        accept: &'static str,
        extra: HeaderMap,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let is_json = !body.is_empty() && !extra.contains_key(CONTENT_TYPE);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        *headers = extra;
        for (name, value) in &self.target.headers {
            headers.insert(name, value.clone());
        }
        if let Some(Own { name, value }) = &self.own {
            headers.insert(name, value.clone());
        }
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if is_json {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }
}

/// The headers that mirror a request of 2026-07-28, computed from what is sent
/// (spec 2026-07-28 basic/transports/streamable-http).
pub fn mirrored_headers(method: &str, params: &Object) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(8);
    map.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static(Revision::NEWEST.as_str()));
    if let Ok(value) = HeaderValue::try_from(headers::encode(method).as_ref()) {
        map.insert(headers::METHOD, value);
    }
    if let Some(name) = method::name_member(method).and_then(|member| params.string(member))
        && let Ok(value) = HeaderValue::try_from(headers::encode(&name).as_ref())
    {
        map.insert(headers::NAME, value);
    }
    map
}

/// An error and what caused it, in one line.
pub fn cause_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

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
    pub headers: HeaderMap,
}

impl NoAnswer {
    pub fn failure(&self) -> Failure {
        let status = self.status.as_u16();
        let mut failure = match status {
            401 | 403 => Failure::new(
                Kind::Unauthorized,
                format!("The server refuses the gateway's credential (HTTP {status})"),
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
            content_type.is_some_and(|text| {
                text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
            })
        };
        if head.headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(Err(Failure::new(
                Kind::InvalidMessage,
                "The server's answer is compressed, which was not asked for",
            )));
        }
        if !head.status.is_success() {
            let error = if is("application/json") {
                let limit = bounds.message.min(256 << 10);
                let text = read_whole(&mut Gathered::default(), &mut body, limit).await.ok();
                text.and_then(|text| bounds.parse(&text).ok())
                    .filter(|message| matches!(message, Message::Error { .. }))
            } else {
                None
            };
            return Err(Ok(NoAnswer { status: head.status, error, headers: head.headers }));
        }
        let form = if is("text/event-stream") {
            Form::Events(sse::Decoder::new(bounds.message))
        } else if is("application/json") {
            Form::Json(Gathered::expecting(body.size_hint().lower()))
        } else {
            return Err(Err(Failure::new(
                Kind::InvalidMessage,
                "The server's answer is neither JSON nor a stream of events",
            )
            .because(format!("content-type {:?}", head.headers.get(CONTENT_TYPE)))));
        };
        Ok(Self { body, form, bounds, ready: VecDeque::new(), last_event_id: None, retry_ms: None })
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
                    let text = read_whole(gathered, &mut self.body, self.bounds.message).await?;
                    self.form = Form::Ended;
                    self.bounds.parse_all(&text, &mut self.ready)?;
                }
                Form::Events(_) => match self.next_event().await? {
                    Some(event) => self.take(event)?,
                    None => self.form = Form::Ended,
                },
            }
        }
    }

    /// The next event as it is, for HTTP+SSE, whose first event is no message.
    pub async fn next_event(&mut self) -> Result<Option<sse::Event>, Failure> {
        let Form::Events(decoder) = &mut self.form else { return Ok(None) };
        loop {
            let event = decoder.next().map_err(|error| {
                Failure::new(Kind::TooLarge, "A message of the server's is too large")
                    .because(error)
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
                    tracing::debug!(cause = cause_chain(&error), "a server's stream broke");
                    return Ok(None);
                }
            }
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
        self.bounds.parse_all(&event.data, &mut self.ready)
    }
}

/// Reads a body to its end, within a limit. May be interrupted and taken up again.
pub(super) async fn read_whole(
    gathered: &mut Gathered,
    body: &mut Incoming,
    limit: usize,
) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(Kind::TooLarge, "The server's answer is too large");
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(Kind::StreamEnded, "The server's answer ended early")
                .because(cause_chain(&error))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        gathered.add(data, limit).map_err(|_| too_large())?;
    }
    Ok(gathered.take())
}
