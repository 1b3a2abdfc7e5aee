//! The entry of every request: its path selects the protocol and portal, and its credential the caller; together they
//! decide access. All of it before anything of a body is used.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use doorward_authorization::page;
use doorward_config::Discovery;
use doorward_mcp::{Object, RpcError, method};
use http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::accept::Form;
use super::{Body, converse, error_response, json, not_allowed, route};
use crate::entry::{Refused as Unidentified, identify, leased};
use doorward_gateway::call::{Call, Portal, Protocol};
use doorward_gateway::endpoint::{Endpoint, endpoint_at, token_endpoint};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::record;
use doorward_gateway::sessions::Session;
use doorward_identity::identity::{Caller, Grant, Peer, Refused};
use doorward_identity::scopes;
use doorward_web::challenge;

/// Who has come where, and in which form they take an answer.
pub struct Visit {
    pub caller: Caller,
    pub portal: Portal,
    pub form: Form,
    /// How the client wants tools to be offered, if its URL says so.
    pub discovery: Option<Discovery>,
}

/// Finds out who asks, and lets them in.
pub async fn enter(
    gateway: Arc<Gateway>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let is_page = is_page(&request);
    if is_page && request.uri().path() == "/" {
        return welcome(&gateway).map(Body::full);
    }
    let endpoint = token_endpoint(&gateway, request.uri().path());
    let caller = match identify(&gateway, peer, &request, endpoint, Protocol::Mcp).await {
        Ok(caller) => caller,
        Err(Unidentified::Unknown(response)) => {
            return if is_page { for_a_person(&gateway, *response) } else { *response };
        }
        Err(Unidentified::Stopped(error)) => {
            return error_response(StatusCode::FORBIDDEN, None, &error);
        }
    };
    let leased = leased(&caller);
    leased(pin!(route(gateway, caller, request)).await)
}

/// Whether a browser asks for a page: somebody has typed an address that is for programs.
fn is_page(request: &Request<Incoming>) -> bool {
    let accepts = || request.headers().get(ACCEPT)?.to_str().ok();
    request.method() == Method::GET && accepts().is_some_and(|kinds| kinds.contains("text/html"))
}

/// What a person is told who opens the gateway in a browser. It says nothing of what there is.
fn welcome(gateway: &Gateway) -> Response<Bytes> {
    let origin = gateway.identity.resources.origin();
    let then = format!(
        "Programs connect to it: point an MCP client at {origin}/mcp, such as with 'claude mcp add --transport http \
         doorward {origin}/mcp'."
    );
    page::note(StatusCode::OK, "This is an MCP gateway", &then)
}

/// The same answer as a page, with the challenge that programs read.
fn for_a_person(gateway: &Gateway, response: Response<Body>) -> Response<Body> {
    let (said, _) = response.into_parts();
    let mut page = welcome(gateway).map(Body::full);
    *page.status_mut() = said.status;
    if let Some(challenge) = said.headers.get(WWW_AUTHENTICATE) {
        page.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
    }
    page
}

pub fn nothing_here() -> Response<Body> {
    let error = RpcError::invalid_request(
        "Not found: the endpoints are /mcp, /mcp/<portal>, /sse and /sse/<portal>",
    );
    error_response(StatusCode::NOT_FOUND, None, &error)
}

/// The metadata of an endpoint, by which clients find out where to log in (RFC 9728).
pub fn metadata(gateway: &Gateway, method: &Method, path: &str) -> Response<Body> {
    if method != Method::GET {
        return not_allowed("GET");
    }
    let path = match endpoint_at(gateway, path) {
        Some(Endpoint::Mcp(_) | Endpoint::Events(_)) => path.strip_suffix('/').unwrap_or(path),
        _ if path.is_empty() || path == "/" => "",
        _ => return nothing_here(),
    };
    match gateway.identity.metadata(path, &gateway.asked_scopes()) {
        Some(metadata) => {
            let mut response = json(metadata.to_string().into());
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            response
        }
        None => nothing_here(),
    }
}

/// Whether a session may be opened: its portal is there for its opener, and something in it.
pub fn admit_session(gateway: &Gateway, session: &Arc<Session>) -> Result<(), Box<Response<Body>>> {
    let discover =
        converse::new_call(gateway, session, &session.opener, method::DISCOVER, Object::new());
    admit(gateway, &discover)?;
    let refused = |error| Box::new(error_response(StatusCode::FORBIDDEN, None, &error));
    gateway.check_sees_any(&discover.asking()).map_err(refused)
}

/// Whether a call's portal is there for its caller, and its token has the scopes that are needed.
pub fn admit(gateway: &Gateway, call: &Call) -> Result<(), Box<Response<Body>>> {
    let principal = &call.caller.principal;
    if gateway.is_unrestricted(principal, &call.portal) {
        return Ok(());
    }
    if !gateway.sees_portal(call) {
        return Err(Box::new(nothing_here()));
    }
    let Grant::Token { scopes: granted, .. } = &principal.grant else { return Ok(()) };
    let needed = gateway.needed_scopes(call);
    if scopes::has_scopes(granted, &needed) {
        return Ok(());
    }
    tracing::info!(principal = &*principal.id, ?needed, "the token lacks a scope");
    gateway.shared.audit.refused(|members| {
        record::caller(members, &call.caller);
        members.text("protocol", call.protocol.as_str()).maybe("portal", Some(call.portal.name()));
        members.text("method", &call.method).maybe("target", record::target(call).as_deref());
        members
            .text("error", "insufficient_scope")
            .texts("needed", needed.iter().map(String::as_str));
    });
    let endpoint = match call.protocol {
        Protocol::Sse => Endpoint::Events(call.portal.clone()),
        Protocol::Mcp | Protocol::Rest | Protocol::Functions | Protocol::A2a | Protocol::Admin => {
            Endpoint::Mcp(call.portal.clone())
        }
    };
    let hints = gateway.identity.hints(&endpoint.path(), BTreeSet::new());
    Err(Box::new(challenge::response(&Refused::Scope(needed), &hints)))
}
