//! The response to a caller who is not authenticated: the status, and the challenge by which a client discovers where
//! to log in (RFC 6750 section 3, RFC 9728 section 5.1).

use std::collections::BTreeSet;

use doorward_mcp::RpcError;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::Body;
use crate::response::error_response;
use doorward_identity::identity::{Hints, Refused};
use doorward_identity::oauth;

/// The answer to a caller who is not let in.
pub fn response(refused: &Refused, hints: &Hints) -> Response<Body> {
    let (status, error, words) = match refused {
        // Nothing that the client could present would help: it is not asked to log in.
        Refused::Stopped(stop) => {
            return error_response(StatusCode::FORBIDDEN, None, &stop.error());
        }
        Refused::Missing => (StatusCode::UNAUTHORIZED, None, "Authentication is required"),
        Refused::Malformed(why) => (StatusCode::BAD_REQUEST, Some("invalid_request"), *why),
        Refused::Token(_) => (
            StatusCode::UNAUTHORIZED,
            Some("invalid_token"),
            "The key or token is invalid, expired or revoked",
        ),
        Refused::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, None, "The token cannot be checked at the moment")
        }
        Refused::Scope(_) => {
            (StatusCode::FORBIDDEN, Some("insufficient_scope"), "The token lacks a required scope")
        }
    };
    let mut response = error_response(status, None, &RpcError::invalid_request(words));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    }
    let scopes = match refused {
        Refused::Scope(scopes) => scopes,
        _ => &hints.scopes,
    };
    let challenge = challenge(error, hints.metadata.as_deref(), scopes);
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
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
