//! HTTP to a server: its address, its credential, and one request.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::json::Names;
use doorward_mcp::lenient::{self, Deviation};
use doorward_mcp::message::Invalid;
use doorward_mcp::{Message, Object, Revision, headers, method};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;

use super::credential::Credential;
use doorward_config::{Limits, ServerSettings};
use doorward_core::Failure;
use doorward_core::deadline::Deadline;
use doorward_net::clients::{Clients, Incoming};
use doorward_net::redirects::{self, Places};
use doorward_observability::metrics::Deviations;

/// A server's endpoint and what is sent to it with every request.
#[derive(Debug, Clone)]
pub struct Endpoint {
    uri: Uri,
    /// Where the server redirects requests to.
    places: Arc<Places>,
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

/// Bounds of what is read from a server, and where its deviations are counted.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub message: usize,
    pub depth: usize,
    deviations: Option<Arc<Deviations>>,
}

impl Bounds {
    pub fn new(limits: &Limits) -> Self {
        Self { message: limits.message.0, depth: limits.json_depth, deviations: None }
    }

    /// The same for a server whose deviations are counted.
    pub fn counting(self, deviations: Arc<Deviations>) -> Self {
        Self { deviations: Some(deviations), ..self }
    }

    /// Counts something that the server does in its own way.
    pub fn note(&self, deviation: Deviation) {
        if let Some(deviations) = &self.deviations {
            deviations.note(deviation);
        }
    }

    fn json(&self) -> doorward_mcp::json::Limits {
        doorward_mcp::json::Limits { depth: self.depth, names: Names::StrictEnvelope }
    }

    /// Reads one message of a server's.
    pub fn parse(&self, text: &Bytes) -> Result<Message, Failure> {
        lenient::read(text, self.json(), &mut |deviation| self.note(deviation)).map_err(unreadable)
    }

    /// Reads one message, or several where a peer of 2025-03-26 sends a batch.
    pub fn parse_all(&self, text: &Bytes, into: &mut VecDeque<Message>) -> Result<(), Failure> {
        let note = &mut |deviation| self.note(deviation);
        lenient::read_all(text, self.json(), note, &mut |message| into.push_back(message))
            .map_err(unreadable)
    }
}

fn unreadable(invalid: Invalid) -> Failure {
    let (kind, message) = match invalid {
        Invalid::Json(_) => (Kind::InvalidJson, "The server's answer is not valid JSON"),
        Invalid::Message { .. } => {
            (Kind::InvalidMessage, "The server's answer is not a valid JSON-RPC message")
        }
    };
    Failure::new(kind, message).because(invalid)
}

impl Endpoint {
    /// `None` when the settings name no URL. What they hold was checked before.
    pub fn new(clients: Arc<Clients>, settings: &ServerSettings, limits: &Limits) -> Option<Self> {
        Self::build(clients, settings, Bounds::new(limits), None)
    }

    pub fn build(
        clients: Arc<Clients>,
        settings: &ServerSettings,
        bounds: Bounds,
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
        let target = Target { clients, headers, credential, bounds, deadline };
        Some(Self { uri, places: Arc::default(), target: Arc::new(target), own: None })
    }

    /// The same server at another place: another path of the same origin (HTTP+SSE names where to post).
    pub fn at(&self, uri: Uri) -> Self {
        let (target, own) = (self.target.clone(), self.own.clone());
        Self { uri, places: Arc::default(), target, own }
    }

    /// One of several that are the same server, shown the same credential.
    pub fn replica(&self, uri: Uri, address: Option<IpAddr>) -> Self {
        let Some(address) = address else { return self.at(uri) };
        let target = Target {
            clients: Arc::new(self.target.clients.pinned(address)),
            headers: self.target.headers.clone(),
            credential: self.target.credential.clone(),
            bounds: self.target.bounds.clone(),
            deadline: self.target.deadline.clone(),
        };
        let (target, own) = (Arc::new(target), self.own.clone());
        Self { uri, places: Arc::default(), target, own }
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

    /// Where requests of a method go: the URL of the settings, or where the server has redirected them to.
    pub fn place(&self, method: &Method) -> Uri {
        self.places.of(method).unwrap_or_else(|| self.uri.clone())
    }

    /// Forgets redirects: the server is looked for anew, at the URL of the settings.
    pub fn forget_places(&self) {
        self.places.forget();
    }

    pub fn bounds(&self) -> Bounds {
        self.target.bounds.clone()
    }

    pub async fn post(&self, extra: HeaderMap, body: Bytes) -> Result<Response<Incoming>, Failure> {
        pin!(self.send(Method::POST, "application/json, text/event-stream", extra, body)).await
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
        self.send_to(&self.uri, method, "application/json, */*;q=0.5", extra, body).await
    }

    /// Sends a request, and follows the server's redirects within its own origin.
    async fn send(
        &self,
        method: Method,
        accept: &'static str,
        extra: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut at = self.place(&method);
        for hop in 0..=redirects::MOST {
            let (extra, body) = (extra.clone(), body.clone());
            let response = pin!(self.send_to(&at, method.clone(), accept, extra, body)).await?;
            if !redirects::is_one(&method, response.status()) {
                if hop > 0 {
                    tracing::debug!(from = %self.uri, to = %at, "the server redirects requests");
                    self.places.remember(&method, at);
                }
                return Ok(response);
            }
            at = redirects::target(&at, response.status(), response.headers())?;
        }
        self.forget_places();
        Err(redirects::too_many())
    }

    async fn send_to(
        &self,
        at: &Uri,
        method: Method,
        accept: &'static str,
        extra: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        if let Some(credential) = self.target.credential.as_ref().filter(|_| self.own.is_none()) {
            return Box::pin(self.send_with(credential, at, method, accept, extra, body)).await;
        }
        let request = self.request(at, method, accept, extra, body);
        pin!(self.target.clients.send(request)).await
    }

    /// Sends a request with a credential that may have to be fetched first, or anew.
    async fn send_with(
        &self,
        credential: &Credential,
        at: &Uri,
        method: Method,
        accept: &'static str,
        extra: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let Some(shown) = credential.show().await? else {
            let request = self.request(at, method, accept, extra, body);
            return self.target.clients.send(request).await;
        };
        let again = extra.clone();
        let mut request = self.request(at, method.clone(), accept, extra, body.clone());
        request.headers_mut().insert(AUTHORIZATION, shown.clone());
        let response = self.target.clients.send(request).await?;
        // What was refused for its credential was not done: it may be asked again with another.
        if response.status() != StatusCode::UNAUTHORIZED || !credential.refused(&shown) {
            return Ok(response);
        }
        let shown = credential.show().await?;
        let mut request = self.request(at, method, accept, again, body);
        if let Some(shown) = shown {
            request.headers_mut().insert(AUTHORIZATION, shown);
        }
        self.target.clients.send(request).await
    }

    fn request(
        &self,
        at: &Uri,
        method: Method,
        accept: &'static str,
        extra: HeaderMap,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let is_json = !body.is_empty() && !extra.contains_key(CONTENT_TYPE);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = at.clone();
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
    static PROTOCOL_VERSION: HeaderName = HeaderName::from_static(headers::PROTOCOL_VERSION);
    static METHOD: HeaderName = HeaderName::from_static(headers::METHOD);
    static NAME: HeaderName = HeaderName::from_static(headers::NAME);
    let mut map = HeaderMap::with_capacity(8);
    map.insert(&PROTOCOL_VERSION, HeaderValue::from_static(Revision::NEWEST.as_str()));
    if let Ok(value) = HeaderValue::try_from(headers::encode(method).as_ref()) {
        map.insert(&METHOD, value);
    }
    if let Some(name) = method::name_member(method).and_then(|member| params.string(member))
        && let Ok(value) = HeaderValue::try_from(headers::encode(&name).as_ref())
    {
        map.insert(&NAME, value);
    }
    map
}
