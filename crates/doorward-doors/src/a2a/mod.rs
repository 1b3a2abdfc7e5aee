//! Tools as an agent of the Agent2Agent protocol (A2A) at `/api/a2a`, and one for each portal at
//! `/api/a2a/portals/<name>`: revisions 1.0 and 0.3 over JSON-RPC and HTTP+JSON.
//!
//! A message makes a task, whose call passes the same pipeline as those of other protocols. There is no model here: a message
//! names the tool, or gets the tools to choose from. Tasks are stored, and belong to who has created them.

mod card;
mod choice;
mod fail;
mod kept;
mod live;
mod message;
mod result;
mod run;
mod send;
mod stream;
mod tasks;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use doorward_a2a::error::{Error, ErrorKind};
use doorward_a2a::http::HttpRequest;
use doorward_a2a::request::{Operation, Request as Wanted};
use doorward_a2a::revision::VERSION_HEADER;
use doorward_a2a::{Binding, Reply, Revision, extensions, http as http_json, rpc};
use doorward_gateway::call::{CallId, Protocol};
use doorward_gateway::endpoint::token_endpoint;
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::Peer;
use doorward_store::Store;
use doorward_web::{Body, body};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use self::fail::{Asked, Fail, body_of};
use self::live::Running;
use crate::entry::{Refused, identify, leased, owner};
use crate::mcp::is_small;
use crate::rest::answer::REQUEST_ID;
use crate::rest::problem::Problem;
use crate::rest::{Visit, portal};

const PREFIX: &str = "/api/a2a";
/// Where cards are, below the site and below each agent. The second is that of earlier revisions.
const CARDS: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];

/// Whether a path is one of this protocol's.
pub fn is_path(path: &str) -> bool {
    CARDS.contains(&path)
        || path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// The public card.
    Card,
    /// JSON-RPC.
    Rpc,
    /// A path of HTTP+JSON.
    Http(&'a str),
}

/// The portal and the place in it that a path names.
fn place_at(path: &str) -> Option<(Option<&str>, Place<'_>)> {
    if CARDS.contains(&path) {
        return Some((None, Place::Card));
    }
    let rest = path.strip_prefix(PREFIX)?;
    let (portal, rest) = match rest.strip_prefix("/portals/") {
        Some(below) => {
            let (name, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
            (Some(name).filter(|name| !name.is_empty())?.into(), rest)
        }
        None => (None, rest),
    };
    let place = match rest {
        "" | "/" => Place::Rpc,
        _ if CARDS.contains(&rest) => Place::Card,
        _ => Place::Http(rest),
    };
    Some((portal, place))
}

/// The path of an agent.
fn base(portal: Option<&str>) -> String {
    portal.map_or_else(|| PREFIX.to_owned(), |name| format!("{PREFIX}/portals/{name}"))
}

/// A request whose caller is known, and where tasks are stored.
pub(crate) struct Door {
    visit: Visit,
    store: Store,
    /// Whose tasks they are.
    owner: String,
    running: Arc<Running>,
    asked: Asked,
}

/// The revision of a request.
fn revision(headers: &HeaderMap, query: Option<&str>) -> Result<Revision, Error> {
    let mut all = headers.get_all(VERSION_HEADER).iter();
    let header = all.next();
    if all.next().is_some() {
        let why = "The header 'A2A-Version' appears twice";
        return Err(Error::new(ErrorKind::InvalidRequest, why));
    }
    let header = header.map(|value| value.to_str().unwrap_or("?"));
    Revision::negotiate(header, query.and_then(http_json::version_parameter))
}

/// How a request is answered before it is read.
fn asked(request: &Request<Incoming>, place: &Place<'_>) -> (Asked, Result<(), Error>) {
    let found = revision(request.headers(), request.uri().query());
    // Who names a version that there is not yet knows of versions.
    let revision = found.as_ref().copied().unwrap_or(Revision::V1_0);
    let binding = match place {
        Place::Rpc => Binding::JsonRpc,
        Place::Card | Place::Http(_) => Binding::HttpJson,
    };
    (Asked { revision, binding, id: None }, found.map(|_| ()))
}

/// A response to whoever is refused before their path is looked at.
pub fn refused(request: &Request<Incoming>, status: StatusCode, why: &str) -> Response<Body> {
    let place = place_at(request.uri().path()).map_or(Place::Rpc, |(_, place)| place);
    Fail::beneath(status, why).response(&asked(request, &place).0)
}

/// Finds out who asks, and answers them. Cards are public.
pub async fn enter(
    gateway: Arc<Gateway>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let Some((name, place)) = place_at(&path) else {
        let (asked, _) = asked(&request, &Place::Rpc);
        return Fail::nothing_here().response(&asked);
    };
    if place == Place::Card {
        return card::public(&gateway, name, &request);
    }
    let (asked, version) = asked(&request, &place);
    let id = CallId::next();
    // Tokens for an MCP endpoint are valid for the same portal here.
    let at = name.map_or_else(|| "/mcp".to_owned(), |name| format!("/mcp/{name}"));
    let endpoint = token_endpoint(&gateway, &at);
    let caller = match identify(&gateway, peer, &request, endpoint, Protocol::A2a).await {
        Ok(caller) => caller,
        Err(Refused::Unknown(response)) => return translated(*response, &asked),
        Err(Refused::Stopped(error)) => {
            return Fail::of_problem(Problem::of_error(&error, None)).response(&asked);
        }
    };
    if let Err(error) = version {
        return Fail::from(error).response(&asked);
    }
    let Some(portal) = portal(&gateway, &caller, name) else {
        return Fail::nothing_here().response(&asked);
    };
    let leased = leased(&caller);
    let (unread, principal) = (gateway.unread.clone(), caller.principal.clone());
    let (head, incoming) = request.into_parts();
    let visit =
        Visit { gateway, caller, portal, base: base(name), headers: head.headers, request: id };
    let entered = Entered { visit, verb: head.method, query: head.uri.query(), place, asked };
    let (response, asked) = pin!(entered.answer(incoming)).await;
    let was = response.status();
    let mut response = unread.count(principal, None, response).await;
    if response.status() != was {
        // There was no room for it.
        response = translated(response, &asked);
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        let headers = response.headers_mut();
        headers.entry(HeaderName::from_static(REQUEST_ID)).or_insert(id);
    }
    leased(response)
}

/// A response that others have made, in the form of this protocol.
fn translated(response: Response<Body>, asked: &Asked) -> Response<Body> {
    let (head, body) = response.into_parts();
    let problem = Problem::of_response(head.status, &head.headers, &body.into_bytes());
    Fail::of_problem(problem).response(asked)
}

struct Entered<'a> {
    visit: Visit,
    verb: Method,
    query: Option<&'a str>,
    place: Place<'a>,
    asked: Asked,
}

impl Entered<'_> {
    /// The answer, and in which words it was asked for.
    async fn answer(self, incoming: Incoming) -> (Response<Body>, Asked) {
        let Self { visit, verb, query, place, mut asked } = self;
        let shared = visit.gateway.shared.clone();
        if place == Place::Rpc && verb != Method::POST {
            let why = "JSON-RPC takes POST only";
            let error = Error::new(ErrorKind::VerbNotAllowed, why).with("allow", "POST");
            let mut response = Fail::from(error).response(&asked);
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return (response, asked);
        }
        // What is small may be a cancellation, or the message that a task waits for.
        if shared.memory.is_short() && !is_small(&visit.headers) {
            let problem =
                Problem::unavailable("overloaded", "The gateway has reached its memory limit");
            return (Fail::of_problem(problem).response(&asked), asked);
        }
        let text = match verb {
            Method::POST => match read(&visit, incoming).await {
                Ok(text) => text,
                Err(fail) => return (fail.response(&asked), asked),
            },
            _ => Bytes::new(),
        };
        let limits = shared.limits.json();
        let wanted = match place {
            Place::Http(path) => {
                let request = HttpRequest { verb: verb.as_str(), path, query, body: &text };
                http_json::read(request, asked.revision, limits)
            }
            Place::Rpc | Place::Card => match rpc::read(&text, asked.revision, limits) {
                Ok((id, wanted)) => {
                    asked.id = Some(id);
                    Ok(wanted)
                }
                Err(refused) => {
                    asked.id = refused.id;
                    Err(refused.error)
                }
            },
        };
        drop(text);
        let named = extensions_of(&visit.headers, asked.revision);
        let answered = match (wanted, named) {
            (Ok(wanted), Ok(_)) => Box::pin(answered(visit, wanted, asked.clone())).await,
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        };
        let response = match answered {
            Ok(response) => response,
            Err(fail) => fail.response(&asked),
        };
        (response, asked)
    }
}

/// The extensions that a client names.
fn extensions_of(headers: &HeaderMap, revision: Revision) -> Result<Vec<String>, Error> {
    let values = headers.get_all(extensions::header(revision)).iter();
    extensions::read(values.filter_map(|value| value.to_str().ok()))
}

async fn read(visit: &Visit, incoming: Incoming) -> Result<Bytes, Fail> {
    let mut kinds = visit.headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().and_then(|kind| kind.to_str().ok());
    // A cancellation over HTTP has no body, and then no type.
    let is_empty = hyper::body::Body::is_end_stream(&incoming);
    if !(kind.is_some_and(doorward_a2a::revision::is_json) && kinds.next().is_none()
        || kind.is_none() && is_empty)
    {
        let why = "'Content-Type' must be application/json or application/a2a+json";
        return Err(Fail::beneath(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let read = body::read(incoming, &visit.gateway.shared).await;
    read.map_err(|(status, error)| Fail::beneath(status, &error.message))
}

/// Carries an operation out.
async fn answered(visit: Visit, wanted: Wanted, asked: Asked) -> Result<Response<Body>, Fail> {
    if wanted.tenant.is_some() {
        return Err(message::invalid("tenant", "is none of this agent's: it has no tenants").into());
    }
    if wanted.method().is_push() {
        let why = "This agent sends no push notifications; use a stream, or ask for the task";
        return Err(Error::new(ErrorKind::PushNotificationNotSupported, why).into());
    }
    let Some(store) = visit.gateway.kept.store().cloned() else {
        let why = "This gateway has no store ('store: none'), which tasks need";
        return Err(Error::new(ErrorKind::UnsupportedOperation, why).into());
    };
    let owner = owner("a2a", &visit.caller);
    let running = visit.gateway.doors.of::<Running>();
    let named = extensions_of(&visit.headers, asked.revision)?;
    let door = Arc::new(Door { visit, store, owner, running, asked: asked.clone() });
    let mut response = match wanted.operation {
        Operation::Send(sent) => reply(&send::send(&door, *sent).await?, &asked),
        Operation::Stream(sent) => send::stream(&door, *sent).await?,
        Operation::GetTask(get) => reply(&tasks::get(&door, get).await?, &asked),
        Operation::ListTasks(list) => reply(&tasks::list(&door, &list).await?, &asked),
        Operation::CancelTask(task) => reply(&tasks::cancel(&door, &task.id).await?, &asked),
        Operation::Subscribe(task) => tasks::subscribe(&door, &task.id).await?,
        Operation::ExtendedCard => reply(&card::extended(&door).await?, &asked),
        Operation::CreatePush(_)
        | Operation::GetPush(_)
        | Operation::ListPush(_)
        | Operation::DeletePush(_) => return Err(Fail::nothing_here()),
    };
    if named.iter().any(|uri| uri == message::EXTENSION) {
        let name = HeaderName::from_static(extensions::header(asked.revision));
        response.headers_mut().insert(name, HeaderValue::from_static(message::EXTENSION));
    }
    Ok(response)
}

fn reply(reply: &Reply, asked: &Asked) -> Response<Body> {
    let text = match (asked.binding, &asked.id) {
        (Binding::JsonRpc, Some(id)) => rpc::write_reply(id, reply, asked.revision),
        _ => reply.to_http(asked.revision),
    };
    body_of(text, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_portal_and_a_place_in_it() {
        for (path, found) in [
            ("/api/a2a", Some((None, Place::Rpc))),
            ("/api/a2a/", Some((None, Place::Rpc))),
            ("/api/a2a/message:send", Some((None, Place::Http("/message:send")))),
            ("/api/a2a/v1/tasks/x", Some((None, Place::Http("/v1/tasks/x")))),
            ("/api/a2a/portals/p", Some((Some("p"), Place::Rpc))),
            ("/api/a2a/portals/p/", Some((Some("p"), Place::Rpc))),
            ("/api/a2a/portals/p/tasks", Some((Some("p"), Place::Http("/tasks")))),
            ("/api/a2a/portals/", None),
            ("/.well-known/agent-card.json", Some((None, Place::Card))),
            ("/api/a2a/.well-known/agent.json", Some((None, Place::Card))),
            ("/api/a2a/portals/p/.well-known/agent-card.json", Some((Some("p"), Place::Card))),
        ] {
            assert_eq!(place_at(path), found, "{path}");
            assert!(is_path(path), "{path}");
        }
        assert!(!is_path("/api/a2ab") && !is_path("/.well-known/other"));
    }

    #[test]
    fn a_version_is_sent_once() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(VERSION_HEADER, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(revision(&with(&[]), None).unwrap(), Revision::V0_3);
        assert_eq!(revision(&with(&["1.0"]), None).unwrap(), Revision::V1_0);
        assert_eq!(revision(&with(&[]), Some("A2A-Version=1.0")).unwrap(), Revision::V1_0);
        let unknown = revision(&with(&["2.0"]), None).unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::VersionNotSupported);
        assert!(revision(&with(&["1.0", "0.3"]), None).is_err());
    }
}
