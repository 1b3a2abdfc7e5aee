//! MCP over HTTP: Streamable HTTP of both eras on `/mcp` and `/mcp/<server>`, HTTP+SSE of 2024-11-05 on `/sse` and
//! `/sse/<server>`.

pub(crate) mod accept;
mod alone;
mod batch;
pub(crate) mod call_stream;
mod converse;
mod entry;
mod handshake;
pub(crate) mod held_task;
mod legacy_sse;
mod listen_stream;
pub(crate) mod modern;
mod names;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use doorward_config::Discovery;
use doorward_mcp::error::Kind;
use doorward_mcp::message::is_batch;
use doorward_mcp::{Id, Message, Revision, RpcError, headers, meta, method};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub(crate) use self::entry::admit;
pub use self::entry::{enter, metadata, nothing_here};

use self::accept::Form;
use self::entry::{Visit, admit_session};
use doorward_gateway::endpoint::{Endpoint, endpoint_at};
use doorward_web::response::{ask_to_come_back, empty, error_response, events, json, not_allowed};
use doorward_web::{Body, body, is_json};

use crate::registry;
use doorward_gateway::call::{CallId, Failure, Portal};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{Refusal, refusal};
use doorward_identity::identity::Caller;

/// Whether a path can only be one of MCP's.
pub fn is_path(path: &str) -> bool {
    let path = path.strip_prefix("/mcp").or_else(|| path.strip_prefix("/sse"));
    path.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn route(
    gateway: Arc<Gateway>,
    caller: Caller,
    mut request: Request<Incoming>,
) -> Response<Body> {
    // An empty header names no session.
    if request.headers().get(&names::SESSION_ID).is_some_and(HeaderValue::is_empty) {
        request.headers_mut().remove(&names::SESSION_ID);
    }
    let Some(endpoint) = endpoint_at(&gateway, request.uri().path()) else { return nothing_here() };
    let discovery = match discovery(request.uri().query()) {
        Ok(discovery) => discovery,
        Err(error) => return error_response(StatusCode::BAD_REQUEST, None, &error),
    };
    // Who may see everything is told at once; all others as if it were there and not for them.
    if let Endpoint::Mcp(Portal::Server(name)) | Endpoint::Events(Portal::Server(name)) = &endpoint
        && gateway.is_trusted(&caller.principal)
        && gateway.server(name).is_none()
    {
        return nothing_here();
    }
    // What is small may be a client's answer or cancellation, and is read before it is judged.
    if gateway.shared.memory.is_short()
        && request.method() != Method::DELETE
        && !(request.method() == Method::POST && is_small(request.headers()))
    {
        return short_of_memory(None);
    }
    match (endpoint, request.method()) {
        (Endpoint::Mcp(portal), &Method::POST) => {
            pin!(post(gateway, caller, portal, discovery, request)).await
        }
        (Endpoint::Mcp(portal), &Method::GET) => {
            let stream = handshake::get(&gateway, &caller, &portal, request.headers());
            gateway.unread.count(caller.principal, None, stream).await
        }
        (Endpoint::Mcp(portal), &Method::DELETE) => {
            handshake::delete(&gateway, &caller, &portal, request.headers())
        }
        (Endpoint::Mcp(_), _) => not_allowed("GET, POST, DELETE"),
        (Endpoint::Events(portal), &Method::GET) => {
            let (unread, principal) = (gateway.unread.clone(), caller.principal.clone());
            let stream = Box::pin(legacy_sse::open(gateway, caller, portal, discovery)).await;
            unread.count(principal, None, stream).await
        }
        (Endpoint::Events(_), _) => not_allowed("GET"),
        (Endpoint::Messages, &Method::POST) => legacy_sse::post(gateway, caller, request).await,
        (Endpoint::Messages, _) => not_allowed("POST"),
        (Endpoint::Registry, _) => registry::answer(&gateway, &caller, &request),
    }
}

/// How the client wants tools to be offered: `?discovery=search`.
fn discovery(query: Option<&str>) -> Result<Option<Discovery>, RpcError> {
    let Some(query) = query else { return Ok(None) };
    let mut all = url::form_urlencoded::parse(query.as_bytes());
    let Some((_, value)) = all.find(|(name, _)| name == "discovery") else { return Ok(None) };
    let why = "'discovery' in the URL must be 'full' or 'search'";
    value.parse().map(Some).map_err(|()| RpcError::invalid_request(why))
}

/// One POST to an MCP endpoint: which era it is of is told by the body
/// (spec 2026-07-28 basic/versioning).
async fn post(
    gateway: Arc<Gateway>,
    caller: Caller,
    portal: Portal,
    discovery: Option<Discovery>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let form = match check_type(&head.headers).and_then(|()| Form::of(&head.headers)) {
        Ok(form) => form,
        Err((status, error)) => return error_response(status, None, &error),
    };
    let text = match body::read(body, &gateway.shared).await {
        Ok(text) => text,
        Err((status, error)) => return error_response(status, None, &error),
    };
    if is_batch(&text) {
        if gateway.shared.memory.is_short() {
            return short_of_memory(None);
        }
        let (unread, principal) = (gateway.unread.clone(), caller.principal.clone());
        let visit = Visit { caller, portal, form, discovery };
        let answer = batch::post(gateway, visit, &head.headers, &text).await;
        return unread.count(principal, None, answer).await;
    }
    let message = match parse(&gateway, &text) {
        Ok(message) => message,
        Err(refused) => return *refused,
    };
    drop(text);
    let (unread, principal) = (gateway.unread.clone(), caller.principal.clone());
    let id = match &message {
        Message::Request { id, .. } => Some(id.clone()),
        _ => None,
    };
    let visit = Visit { caller, portal, form, discovery };
    let answer = pin!(answer(gateway, visit, &head.headers, message)).await;
    unread.count(principal, id, answer).await
}

/// The answer to one message.
async fn answer(
    gateway: Arc<Gateway>,
    visit: Visit,
    sent: &HeaderMap,
    message: Message,
) -> Response<Body> {
    let version = sent.get(&names::PROTOCOL_VERSION).map(HeaderValue::as_bytes);
    let version = version.map(String::from_utf8_lossy);
    let names_modern = version.as_deref() == Some(Revision::NEWEST.as_str());
    match message {
        Message::Request { id, method, params } => {
            if let Some(said) = meta::protocol_version(&params) {
                let answer = modern::post(gateway, visit, sent, id, method, params, &said);
                return pin!(answer).await;
            }
            if *method == *method::INITIALIZE {
                return handshake::initialize(&gateway, visit, &id, &params);
            }
            if sent.contains_key(&names::SESSION_ID) && !names_modern {
                let message = Message::Request { id, method, params };
                return pin!(handshake::post(gateway, visit, sent, message)).await;
            }
            if let Some(revision) = alone::revision(sent) {
                let request = alone::Request { id, method, params, revision };
                return alone::post(gateway, visit, sent, request).await;
            }
            let error = match version.as_deref() {
                Some(_) if names_modern => RpcError::invalid_params(format!(
                    "'params._meta' lacks '{}'",
                    meta::PROTOCOL_VERSION
                )),
                Some(version) if version.parse::<Revision>().is_err() => {
                    RpcError::unsupported_version(version, &[Revision::NEWEST])
                }
                _ => RpcError::invalid_request(format!(
                    "The request belongs neither to revision {} (no '{}' in 'params._meta') nor \
                        to a session (no '{}' header): open a session with 'initialize' first",
                    Revision::NEWEST,
                    meta::PROTOCOL_VERSION,
                    headers::SESSION_ID
                )),
            };
            error_response(StatusCode::BAD_REQUEST, Some(&id), &error)
        }
        message if sent.contains_key(&names::SESSION_ID) && !names_modern => {
            handshake::post(gateway, visit, sent, message).await
        }
        // The modern era knows no notification of a client's over HTTP; none is answered.
        Message::Notification { .. } => empty(StatusCode::ACCEPTED),
        Message::Response { .. } | Message::Error { .. } => {
            let error = RpcError::invalid_request("A response can only be posted in a session");
            error_response(StatusCode::BAD_REQUEST, None, &error)
        }
    }
}

const SMALL: u64 = 64 << 10;

pub(crate) fn is_small(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length <= SMALL)
}

fn short_of_memory(id: Option<&Id>) -> Response<Body> {
    let failure = Failure::new(Kind::Overloaded, "The gateway has reached its memory limit");
    let Refusal { error, .. } = refusal(failure.into(), "", &CallId::next().to_string());
    let mut response = error_response(StatusCode::SERVICE_UNAVAILABLE, id, &error);
    ask_to_come_back(&mut response);
    response
}

/// The one message of a body, or what a client is told of one that cannot be read, or of a request
/// that cannot be taken while memory is short.
fn parse(gateway: &Gateway, text: &Bytes) -> Result<Message, Box<Response<Body>>> {
    match Message::parse(text, gateway.shared.limits.json()) {
        Ok(Message::Request { id, .. }) if gateway.shared.memory.is_short() => {
            Err(Box::new(short_of_memory(Some(&id))))
        }
        Ok(message) => Ok(message),
        Err(invalid) => {
            let (id, error) = (invalid.id(), invalid.error());
            Err(Box::new(error_response(StatusCode::BAD_REQUEST, id.as_ref(), &error)))
        }
    }
}

/// A body is JSON.
fn check_type(headers: &HeaderMap) -> Result<(), (StatusCode, RpcError)> {
    if is_json(headers) {
        return Ok(());
    }
    let error = RpcError::invalid_request("'Content-Type' must be application/json");
    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}
