//! Failures between the gateway and a server.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use doorward_mcp::error::Kind;

/// A failure between the gateway and a server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: Kind,
    /// For the caller: says what happened, not where the server is or what it holds.
    pub message: String,
    /// Asking again, unchanged, may help and cannot act twice.
    pub retryable: bool,
    /// The cause, for the operator's log alone.
    pub cause: Option<String>,
    /// The server seems to speak another era than remembered; nothing was done.
    pub era_in_doubt: bool,
    /// The server did nothing, for it wants something else to be shown.
    pub challenge: Option<Challenge>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long the server wants to be left alone, or will be.
    pub retry_after: Option<Duration>,
}

/// What a server wants to be shown (RFC 6750 section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Another token: this one is not good, or not any more.
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

    /// Whether the server has not seen the call, or has said that it did nothing and when to come again.
    pub fn is_unseen(&self) -> bool {
        match self.kind {
            Kind::Unreachable => true,
            Kind::HttpStatus => {
                matches!(self.status, Some(429 | 503)) && self.retry_after.is_some()
            }
            _ => false,
        }
    }

    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }
}
