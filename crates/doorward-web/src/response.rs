//! HTTP responses that every protocol for clients uses.

use bytes::Bytes;
use doorward_mcp::{Id, RpcError, message};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;

pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub fn not_allowed(methods: &'static str) -> Response<Body> {
    doorward_authorization::not_allowed(methods).map(Body::full)
}

pub fn error_response(status: StatusCode, id: Option<&Id>, error: &RpcError) -> Response<Body> {
    let mut response = json(message::error_response(id, error));
    *response.status_mut() = status;
    response
}

pub fn json(text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream of events that no proxy may hold back.
pub fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Says when what is too much now may be tried again, in seconds.
pub fn ask_to_come_back(response: &mut Response<Body>) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
}
