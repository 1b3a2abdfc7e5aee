//! Errors of this door, in the form of the client's revision and binding.

use doorward_a2a::{Binding, Error, ErrorKind, Revision, rpc};
use doorward_mcp::Id;
use doorward_web::Body;
use doorward_web::response::json;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::rest::problem::Problem;

/// Why a request is not carried out.
#[derive(Debug)]
pub struct Fail {
    pub error: Error,
    /// Beneath the protocol: also the status of JSON-RPC, whose own errors have 200.
    status: Option<StatusCode>,
    headers: HeaderMap,
}

/// In which words a client is answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub revision: Revision,
    pub binding: Binding,
    /// Of JSON-RPC, once it is read.
    pub id: Option<Id>,
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self { error, status: None, headers: HeaderMap::new() }
    }
}

impl From<Box<Problem>> for Fail {
    fn from(problem: Box<Problem>) -> Self {
        Self::of_problem(*problem)
    }
}

impl Fail {
    pub fn of_problem(problem: Problem) -> Self {
        let kind = match problem.status.as_u16() {
            400 | 422 => ErrorKind::InvalidParams,
            401 => ErrorKind::Unauthenticated,
            402 | 429 => ErrorKind::ResourceExhausted,
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::MethodNotFound,
            503 => ErrorKind::Unavailable,
            504 => ErrorKind::DeadlineExceeded,
            500.. => ErrorKind::Internal,
            _ => ErrorKind::InvalidRequest,
        };
        let beneath =
            matches!(problem.status.as_u16(), 401 | 403 | 404 | 408 | 413 | 415 | 429 | 431 | 503);
        let error = Error::new(kind, problem.message).with("code", problem.code);
        Self { error, status: beneath.then_some(problem.status), headers: problem.headers }
    }

    /// What is refused beneath the protocol.
    pub fn beneath(status: StatusCode, why: &str) -> Self {
        let problem = Problem::of_response(status, &HeaderMap::new(), &[]);
        Self::of_problem(Problem { message: why.to_owned(), ..problem })
    }

    /// There is nothing, or nothing that the caller may know of.
    pub fn nothing_here() -> Self {
        let why = "Not found: the agent is at /api/a2a and /api/a2a/portals/<portal>";
        Self::of_problem(Problem::new(StatusCode::NOT_FOUND, "not_found", why))
    }

    pub fn response(self, asked: &Asked) -> Response<Body> {
        let Self { error, status, headers } = self;
        let (body, own) = match asked.binding {
            Binding::JsonRpc => {
                (rpc::write_error(asked.id.as_ref(), &error, asked.revision), StatusCode::OK)
            }
            Binding::HttpJson => {
                let status = StatusCode::from_u16(error.http_status(asked.revision));
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (error.to_http(asked.revision), status)
            }
        };
        let mut response = body_of(body, asked);
        *response.status_mut() = status.unwrap_or(own);
        let allow = error.metadata.iter().find(|(name, _)| name == "allow");
        if let Some(allow) = allow.and_then(|(_, verbs)| HeaderValue::try_from(verbs).ok()) {
            response.headers_mut().insert(ALLOW, allow);
        }
        response.headers_mut().extend(headers);
        response
    }
}

/// A response in the media type of the binding.
pub fn body_of(text: bytes::Bytes, asked: &Asked) -> Response<Body> {
    let mut response = json(text);
    let kind = HeaderValue::from_static(asked.binding.media_type(asked.revision));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The store fails.
pub fn unavailable(error: &doorward_store::Error) -> Fail {
    tracing::warn!(%error, "tasks of A2A cannot be stored");
    Error::new(ErrorKind::Unavailable, "The database of tasks is unavailable. Try again later")
        .into()
}
