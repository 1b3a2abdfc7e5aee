//! Responses that the application reads.

use bytes::Bytes;
use doorward_admin::{Code, Problem};
use doorward_identity::identity::Refused;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::headers;

pub fn json(value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    headers::protect_data(response.headers_mut());
    response
}

pub fn problem(code: Code, why: impl Into<String>) -> Response<Bytes> {
    let problem = Problem::new(code, why.into());
    let mut response = json(&problem.body());
    *response.status_mut() = problem.status();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if matches!(code, Code::StoreUnavailable | Code::TooManyRequests) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("6"));
    }
    response
}

pub fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    headers::protect_data(response.headers_mut());
    response
}

pub fn not_allowed(methods: &'static str) -> Response<Bytes> {
    let mut response = problem(Code::MethodNotAllowed, format!("this path supports {methods}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Sends a browser elsewhere.
pub fn redirect(to: &str) -> Response<Bytes> {
    let mut response = empty(StatusCode::SEE_OTHER);
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

pub fn foreign() -> Response<Bytes> {
    problem(Code::Forbidden, "the request comes from another site")
}

/// What somebody is told who has not signed in, or whose session cannot be used.
pub fn refusal(refused: Option<Refused>) -> Response<Bytes> {
    match refused {
        Some(Refused::Stopped(stop)) => problem(Code::Forbidden, stop.message()),
        Some(Refused::Unavailable) => problem(Code::StoreUnavailable, "sessions cannot be read"),
        _ => problem(Code::Unauthenticated, "sign in first"),
    }
}
