//! Responses to clients, with the error codes of the standard (RFC 6749 section 5.2).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use bytes::Bytes;

/// The error of a request: status, error code and description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    pub status: StatusCode,
    pub word: &'static str,
    pub why: String,
    /// The client used the `Authorization` header, so the response has `WWW-Authenticate`.
    challenged: bool,
}

impl OAuthError {
    pub fn new(word: &'static str, why: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, word, why: why.into(), challenged: false }
    }

    pub fn with_status(status: StatusCode, word: &'static str, why: impl Into<String>) -> Self {
        Self { status, ..Self::new(word, why) }
    }

    pub fn client(why: &str, challenged: bool) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self { status, word: "invalid_client", why: why.into(), challenged }
    }

    pub fn grant() -> Self {
        Self::new("invalid_grant", "The code or token is invalid or has expired")
    }

    /// A dependency is unavailable; the client may retry.
    pub fn unavailable() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let why = "Temporarily unavailable; try again".into();
        Self { status, word: "temporarily_unavailable", why, challenged: false }
    }

    pub fn response(&self) -> Response<Bytes> {
        let mut response =
            json_answer(self.status, &json!({ "error": self.word, "error_description": self.why }));
        let headers = response.headers_mut();
        if self.challenged {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"doorward\""));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE
            || self.status == StatusCode::TOO_MANY_REQUESTS
        {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
        }
        response
    }
}

/// A JSON response that must not be cached.
pub fn json_answer(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
