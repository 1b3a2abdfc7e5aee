//! What a caller is told who is not let in: the status, and the challenge by which a client finds out
//! where to log in (RFC 6750 section 3, RFC 9728 section 5.1).

use std::collections::BTreeSet;

use doorward_mcp::RpcError;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::facade::{Body, error_response};
use crate::oauth;

/// Why nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nothing was shown.
    Missing,
    /// What was shown cannot be read as the standard has it.
    Malformed(&'static str),
    /// It is not good; why is for the operator's log.
    Token(&'static str),
    /// Whether it is good cannot be found out now.
    Unavailable,
    /// It is good, and not for this.
    Scope(BTreeSet<String>),
}

/// An issuer cannot be asked.
#[derive(Debug, Clone, Copy)]
pub struct Unavailable;

impl From<Unavailable> for Refused {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// Where a client finds out how to log in.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The URL of the protected resource metadata; `None` where no issuer is known.
    pub metadata: Option<String>,
    /// Scopes that are needed to begin with.
    pub scopes: BTreeSet<String>,
}

impl Refused {
    /// For the operator, in words that stay the same.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "nothing_shown",
            Self::Malformed(why) | Self::Token(why) => why,
            Self::Unavailable => "issuer_unavailable",
            Self::Scope(_) => "insufficient_scope",
        }
    }

    /// The answer.
    pub fn response(&self, hints: &Hints) -> Response<Body> {
        let (status, error, words) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, None, "Authentication is needed"),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, Some("invalid_request"), *why),
            Self::Token(_) => (
                StatusCode::UNAUTHORIZED,
                Some("invalid_token"),
                "The key or token is not valid here, or not any more",
            ),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, None, "The token cannot be checked at the moment")
            }
            Self::Scope(_) => (
                StatusCode::FORBIDDEN,
                Some("insufficient_scope"),
                "The token lacks a scope that this needs",
            ),
        };
        let mut response = error_response(status, None, &RpcError::invalid_request(words));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return response;
        }
        let scopes = match self {
            Self::Scope(scopes) => scopes,
            _ => &hints.scopes,
        };
        let challenge = challenge(error, hints.metadata.as_deref(), scopes);
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn challenge(error: Option<&str>, metadata: Option<&str>, scopes: &BTreeSet<String>) -> String {
    let mut parts = Vec::new();
    if let Some(error) = error {
        parts.push(format!("error=\"{error}\""));
    }
    if let Some(metadata) = metadata {
        parts.push(format!("resource_metadata=\"{metadata}\""));
    } else {
        parts.push("realm=\"doorward\"".into());
    }
    if !scopes.is_empty() {
        parts.push(format!("scope=\"{}\"", oauth::joined(scopes)));
    }
    format!("Bearer {}", parts.join(", "))
}
