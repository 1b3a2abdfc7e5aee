//! Failures between the gateway and a server.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use doorward_inspect::written::{self, Keep};
use doorward_mcp::error::Kind;

/// A failure between the gateway and a server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: Kind,
    /// For the caller: what happened, without the server's address or content.
    pub message: String,
    /// An identical retry may succeed and cannot execute the call twice.
    pub retryable: bool,
    /// The cause, for the operator's log only.
    pub cause: Option<String>,
    /// The server seems to speak another era than the detected one. The call was not executed.
    pub era_in_doubt: bool,
    /// The server did not execute the call and requires another token.
    pub challenge: Option<Challenge>,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// When to retry: requested by the server or set by the gateway.
    pub retry_after: Option<Duration>,
}

/// What the server requires (RFC 6750 section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Another token: the current one is invalid or has expired.
    Token,
    /// A token with these scopes.
    Scopes(BTreeSet<String>),
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retryable = matches!(
            kind,
            Kind::Unreachable
                | Kind::Overloaded
                | Kind::Closing
                | Kind::RateLimited
                | Kind::AuditUnavailable
                | Kind::CircuitOpen
                | Kind::CreditUnavailable
        );
        let message = message.into();
        Self {
            kind,
            message,
            retryable,
            cause: None,
            era_in_doubt: false,
            challenge: None,
            status: None,
            retry_after: None,
        }
    }

    /// Whether the server cannot have executed the call: it was not reached, or rejected the call and said when to
    /// retry.
    pub fn is_unseen(&self) -> bool {
        match self.kind {
            Kind::Unreachable | Kind::DataNotPermitted => true,
            Kind::HttpStatus => {
                matches!(self.status, Some(429 | 503)) && self.retry_after.is_some()
            }
            _ => false,
        }
    }

    /// Adds the cause, without secrets and personal data.
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        // It may quote what a server has said.
        let cause = cause.to_string();
        self.cause = Some(written::text(&cause, Keep::Addresses).into_owned());
        self
    }
}
