//! The gateway as a registry: what is answered to a request for its entries.
//!
//! The gateway passes the entries that the caller may see, and nothing else is known here: what a caller may not see is
//! absent from lists, counts and searches, and a request for it by name is answered as one for a name that does not exist.

mod entry;
mod names;
mod query;
mod times;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CACHE_CONTROL, CONTENT_TYPE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

pub use self::entry::{Entry, Kind, Status};
pub use self::names::namespace;
pub use self::times::Times;

use self::query::{Page, Wanted};

/// Where the API begins.
pub const PREFIX: &str = "/v0.1";

/// What is answered: a status and a JSON body.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    /// An error, in the form of the registry API: `{"error": …}`.
    fn error(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": why.into() }) }
    }

    fn absent() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Server not found")
    }
}

/// Whether a path belongs to the registry API.
pub fn is_path(path: &str) -> bool {
    path == PREFIX || path.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

/// Answers a request to the gateway at `origin`, such as `https://mcp.example.com`. `entries` are those that the caller may
/// see, in any order. Names begin with [`namespace`] of the origin.
pub fn answer<B>(
    request: &Request<B>,
    origin: &str,
    entries: impl FnOnce() -> Vec<Entry>,
) -> Response<Bytes> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let answer = decide(request.method(), path, query, &namespace(origin), entries);
    let mut response = Response::new(answer.body.to_string().into());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Others see something else.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// Lets web pages of all origins read an answer.
pub fn allow_all_origins(headers: &mut HeaderMap) {
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn decide(
    method: &Method,
    path: &str,
    query: &str,
    namespace: &str,
    entries: impl FnOnce() -> Vec<Entry>,
) -> Answer {
    let Some(wanted) = query::wanted(path) else {
        let why = "Not found: the registry has /v0.1/servers, /v0.1/servers/{serverName}/versions \
             and /v0.1/servers/{serverName}/versions/{version}";
        return Answer::error(StatusCode::NOT_FOUND, why);
    };
    let is_optional = matches!(
        (&wanted, method),
        (Wanted::Publish, &Method::POST) | (Wanted::Version(..), &Method::PUT | &Method::DELETE)
    );
    if is_optional {
        let why = "This registry is read-only: servers are proposed and approved at the admin API";
        return Answer::error(StatusCode::NOT_IMPLEMENTED, why);
    }
    if method != Method::GET || wanted == Wanted::Publish {
        return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    }
    match wanted {
        Wanted::List => match Page::read(query) {
            Ok(page) => list(&page, namespace, entries()),
            Err(why) => Answer::error(StatusCode::BAD_REQUEST, why),
        },
        Wanted::Versions(name) => match named(&name, namespace, entries()) {
            Some(entry) => {
                let servers = [entry.response(namespace)];
                Answer::ok(json!({ "servers": servers, "metadata": { "count": 1 } }))
            }
            None => Answer::absent(),
        },
        Wanted::Version(name, version) => match named(&name, namespace, entries()) {
            Some(entry) if version == "latest" || version == entry.version => {
                Answer::ok(entry.response(namespace))
            }
            _ => Answer::absent(),
        },
        Wanted::Publish => Answer::absent(),
    }
}

fn named(name: &str, namespace: &str, entries: Vec<Entry>) -> Option<Entry> {
    entries.into_iter().find(|entry| entry.full_name(namespace) == name)
}

fn list(page: &Page, namespace: &str, mut entries: Vec<Entry>) -> Answer {
    entries.retain(|entry| page.has(entry, namespace));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let more = entries.len() > page.limit;
    entries.truncate(page.limit);
    let mut metadata = json!({ "count": entries.len() });
    if let Some(last) = entries.last().filter(|_| more) {
        metadata["nextCursor"] = query::cursor(&last.name).into();
    }
    let servers: Vec<Value> = entries.iter().map(|entry| entry.response(namespace)).collect();
    Answer::ok(json!({ "servers": servers, "metadata": metadata }))
}

#[cfg(test)]
mod tests;
