//! Errors of the admin API: problem details (RFC 9457) with codes that stay the same.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use doorward_store::Error;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What went wrong, in a word for scripts. `docs/admin-api.md` lists them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    InvalidRequest,
    InvalidPolicies,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    DefinedInConfiguration,
    LastOwner,
    NoStore,
    NotRunning,
    OutcomeUnknown,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    TooManyRequests,
    Internal,
    StoreUnavailable,
}

impl Code {
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::InvalidPolicies,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::DefinedInConfiguration,
        Self::LastOwner,
        Self::NoStore,
        Self::NotRunning,
        Self::OutcomeUnknown,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::StoreUnavailable,
    ];

    /// The code as it is written, its HTTP status and its title.
    pub fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => {
                ("invalid_request", StatusCode::BAD_REQUEST, "The request is invalid")
            }
            Self::InvalidPolicies => {
                ("invalid_policies", StatusCode::UNPROCESSABLE_ENTITY, "The policies are invalid")
            }
            Self::Unauthenticated => {
                ("unauthenticated", StatusCode::UNAUTHORIZED, "Authentication is required")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This is not permitted"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "This does not exist"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not support this method",
            ),
            Self::Conflict => {
                ("conflict", StatusCode::CONFLICT, "The current state does not allow this")
            }
            Self::DefinedInConfiguration => (
                "defined_in_configuration",
                StatusCode::CONFLICT,
                "This is defined in the configuration file",
            ),
            Self::LastOwner => {
                ("last_owner", StatusCode::CONFLICT, "Nobody would be left to administer")
            }
            Self::NoStore => ("no_store", StatusCode::CONFLICT, "The gateway has no store"),
            Self::NotRunning => {
                ("not_running", StatusCode::CONFLICT, "This requires a running gateway")
            }
            Self::OutcomeUnknown => (
                "outcome_unknown",
                StatusCode::CONFLICT,
                "The first request was carried out, but its response is not known",
            ),
            Self::PreconditionFailed => (
                "precondition_failed",
                StatusCode::PRECONDITION_FAILED,
                "It was changed in the meantime",
            ),
            Self::TooLarge => {
                ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large")
            }
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be JSON",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency_key_reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key was used for another request",
            ),
            Self::TooManyRequests => {
                ("too_many_requests", StatusCode::TOO_MANY_REQUESTS, "Too many requests")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed"),
            Self::StoreUnavailable => (
                "store_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be used at the moment",
            ),
        }
    }

    pub fn as_str(self) -> &'static str {
        self.parts().0
    }
}

/// Why a request was not carried out. Nothing was changed, unless the code is `outcome_unknown`.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub code: Code,
    /// What, where, why, and what to do.
    pub detail: String,
    /// Members beside the standard ones, such as the `findings` of policies.
    pub more: Map<String, Value>,
}

/// What every response body of a problem has.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Body9457 {
    /// `urn:doorward:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// A stable code; see the documentation for the list.
    pub code: String,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), more: Map::new() }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// The same response for what does not exist and for what the caller may not see.
    pub fn absent(what: &str, name: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} '{}'", name.escape_debug()))
    }

    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.more.insert(name.into(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// The body of the response.
    pub fn body(&self) -> Value {
        let (code, status, title) = self.code.parts();
        let standard = Body9457 {
            kind: format!("urn:doorward:problem:{code}"),
            title: title.into(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            code: code.into(),
        };
        let mut body = serde_json::to_value(standard).unwrap_or_default();
        for (name, value) in &self.more {
            body[name] = value.clone();
        }
        body
    }

    pub fn status(&self) -> StatusCode {
        self.code.parts().1
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == Code::StoreUnavailable || self.code == Code::TooManyRequests {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Absent { .. } => Code::NotFound,
            Error::Refused(_) => Code::Conflict,
            Error::Moved => Code::PreconditionFailed,
            Error::LastOwner => Code::LastOwner,
            Error::Claimed => Code::OutcomeUnknown,
            Error::Database(_) | Error::Row(_) | Error::Randomness(_) | Error::Sealed(_) => {
                tracing::error!(%error, "the store failed");
                let why = "the store cannot be used; the gateway's log has the reason";
                return Self::new(Code::StoreUnavailable, why);
            }
        };
        Self::new(code, error.to_string())
    }
}
