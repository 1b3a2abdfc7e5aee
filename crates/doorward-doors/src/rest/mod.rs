//! Tools over REST, and as functions of model APIs, at `/api/v1` and `/api/v1/portals/<name>`.
//!
//! Requests become the same calls as those of MCP, and pass the same pipeline; here are only their words. What they may do
//! is decided there.

pub(crate) mod answer;
pub(crate) mod execute;
mod functions;
mod idempotency;
pub(crate) mod making;
mod openapi;
mod pending;
pub(crate) mod problem;
mod stream;
pub(crate) mod tools;
pub(crate) mod types;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use doorward_gateway::call::{CallId, Portal, Protocol};
use doorward_gateway::endpoint::token_endpoint;
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::{Caller, Peer};
use doorward_mcp::RpcError;
use doorward_mcp::names::is_server_name;
use doorward_web::{Body, body, is_json};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub use self::openapi::description;

use self::answer::{Answer, REQUEST_ID};
use self::problem::Problem;
use crate::entry::{Refused, identify, leased};
use crate::mcp::is_small;

const PREFIX: &str = "/api/v1";

/// Whether a path is one of this API's.
pub fn is_path(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Execute,
    /// A call that goes on.
    Begun(&'a str),
    Tools,
    /// Calls of models.
    Calls,
    Description,
}

/// The portal and the place in it that a path names.
fn place_at(path: &str) -> Option<(Option<&str>, Place<'_>)> {
    let rest = path.strip_prefix(PREFIX)?;
    let (portal, rest) = match rest.strip_prefix("/portals/") {
        Some(below) => {
            let (name, rest) = below.split_at(below.find('/')?);
            (Some(name), rest)
        }
        None => (None, rest),
    };
    let place = match rest {
        "/execute" => Place::Execute,
        "/tools" => Place::Tools,
        "/tools/execute" => Place::Calls,
        "/openapi.json" => Place::Description,
        _ => {
            let id = rest.strip_prefix("/execute/")?;
            if id.is_empty() || id.contains('/') {
                return None;
            }
            Place::Begun(id)
        }
    };
    Some((portal, place))
}

/// A request whose caller is known.
pub(crate) struct Visit {
    pub gateway: Arc<Gateway>,
    pub caller: Caller,
    pub portal: Portal,
    /// The path of the API at this portal.
    pub base: String,
    pub headers: HeaderMap,
    /// By which errors name the request if no call came of it.
    pub request: CallId,
}

/// A response to whoever is refused before their path is looked at.
pub fn refused(status: StatusCode, why: &str) -> Response<Body> {
    let problem = Problem::of_response(status, &HeaderMap::new(), &[]);
    let problem = Problem { message: why.to_owned(), ..problem };
    problem.answer(&CallId::next().to_string()).response()
}

/// Finds out who asks, and answers them.
pub async fn enter(
    gateway: Arc<Gateway>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = CallId::next();
    let path = request.uri().path();
    let portal = place_at(path).and_then(|(portal, _)| portal);
    // Tokens for an MCP endpoint are valid for the same portal here.
    let at = portal.map_or_else(|| "/mcp".to_owned(), |name| format!("/mcp/{name}"));
    let endpoint = token_endpoint(&gateway, &at);
    let caller = match identify(&gateway, peer, &request, endpoint, Protocol::Rest).await {
        Ok(caller) => caller,
        Err(Refused::Unknown(response)) => return translated(*response, id),
        Err(Refused::Stopped(error)) => return told(Problem::of_error(&error, None), id),
    };
    let leased = leased(&caller);
    let (unread, principal) = (gateway.unread.clone(), caller.principal.clone());
    let response = pin!(answer(gateway, caller, id, request)).await;
    let was = response.status();
    let mut response = unread.count(principal, None, response).await;
    if response.status() != was {
        // There was no room for it.
        response = translated(response, id);
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        let headers = response.headers_mut();
        headers.entry(HeaderName::from_static(REQUEST_ID)).or_insert(id);
    }
    leased(response)
}

fn told(problem: Problem, id: CallId) -> Response<Body> {
    problem.answer(&id.to_string()).response()
}

/// A response that others have made, in the form of this API.
fn translated(response: Response<Body>, id: CallId) -> Response<Body> {
    let (head, body) = response.into_parts();
    told(Problem::of_response(head.status, &head.headers, &body.into_bytes()), id)
}

async fn answer(
    gateway: Arc<Gateway>,
    caller: Caller,
    id: CallId,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some((name, place)) = place_at(head.uri.path()) else {
        return told(Problem::nothing_here(), id);
    };
    let Some(portal) = portal(&gateway, &caller, name) else {
        return told(Problem::nothing_here(), id);
    };
    let allowed = match place {
        Place::Execute | Place::Calls => "POST",
        Place::Tools | Place::Description => "GET",
        Place::Begun(_) => "GET, POST, DELETE",
    };
    if !allowed.split(", ").any(|method| method == head.method.as_str()) {
        return told(Problem::not_allowed(allowed), id);
    }
    // What is small may be a cancellation, or the answer that a call waits for.
    if gateway.shared.memory.is_short() && !is_small(&head.headers) {
        let why = "The gateway has reached its memory limit";
        return told(Problem::unavailable("overloaded", why), id);
    }
    let base = name.map_or_else(|| PREFIX.to_owned(), |name| format!("{PREFIX}/portals/{name}"));
    let visit = Visit { gateway, caller, portal, base, headers: head.headers, request: id };
    let text = match head.method {
        Method::POST => match read(&visit, body).await {
            Ok(text) => text,
            Err(problem) => return told(problem, id),
        },
        _ => Bytes::new(),
    };
    let answered = match (place, head.method) {
        (Place::Execute, _) => pin!(execute::post(visit, text)).await,
        (Place::Begun(id), Method::GET) => Box::pin(pending::get(visit, id)).await,
        (Place::Begun(id), Method::DELETE) => Box::pin(pending::delete(visit, id)).await,
        (Place::Begun(id), _) => Box::pin(pending::post(visit, id, text)).await,
        (Place::Tools, _) => Box::pin(tools::get(visit, head.uri.query())).await,
        (Place::Calls, _) => Box::pin(functions::post(visit, text)).await,
        (Place::Description, _) => openapi::get(&visit),
    };
    answered.unwrap_or_else(|problem| told(*problem, id))
}

/// A response, or why there is none.
type Answered = Result<Response<Body>, Box<Problem>>;

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Self {
        Ok(answer.response())
    }
}

/// The portal of a name; what does not exist is hidden from everybody who does not see everything.
pub(crate) fn portal(gateway: &Gateway, caller: &Caller, name: Option<&str>) -> Option<Portal> {
    let Some(name) = name else { return Some(Portal::Merged) };
    if let Some(portal) = gateway.portal_named(name) {
        return Some(portal);
    }
    let is_shown = is_server_name(name) && !gateway.is_trusted(&caller.principal);
    is_shown.then(|| Portal::Server(name.into()))
}

async fn read(visit: &Visit, body: Incoming) -> Result<Bytes, Problem> {
    if !is_json(&visit.headers) {
        let why = "'Content-Type' must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", why));
    }
    let read = body::read(body, &visit.gateway.shared).await;
    read.map_err(|(status, RpcError { message, .. })| {
        let problem = Problem::of_response(status, &HeaderMap::new(), &[]);
        Problem { message, ..problem }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_portal_and_a_place_in_it() {
        for (path, found) in [
            ("/api/v1/execute", Some((None, Place::Execute))),
            ("/api/v1/execute/abc", Some((None, Place::Begun("abc")))),
            ("/api/v1/execute/", None),
            ("/api/v1/execute/a/b", None),
            ("/api/v1/tools", Some((None, Place::Tools))),
            ("/api/v1/tools/execute", Some((None, Place::Calls))),
            ("/api/v1/portals/p/tools", Some((Some("p"), Place::Tools))),
            ("/api/v1/portals/p/execute/x", Some((Some("p"), Place::Begun("x")))),
            ("/api/v1/portals/p", None),
            ("/api/v1", None),
            ("/api/v2/tools", None),
        ] {
            assert_eq!(place_at(path), found, "{path}");
        }
        assert!(is_path("/api/v1") && is_path("/api/v1/x") && !is_path("/api/v10"));
    }
}
