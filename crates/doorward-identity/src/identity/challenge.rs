//! Why authentication failed, and where a client discovers how to log in (RFC 9728 section 5.1).

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_governance::stops::Stop;

/// Why a request was not authenticated or authorized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No credential was presented.
    Missing,
    /// The credential is malformed.
    Malformed(&'static str),
    /// The credential is invalid; the reason is for the operator's log only.
    Token(&'static str),
    /// The credential cannot be checked at the moment.
    Unavailable,
    /// An administrator has stopped the caller, or all callers.
    Stopped(Arc<Stop>),
    /// The credential is valid but lacks these scopes.
    Scope(BTreeSet<String>),
}

/// An issuer cannot be reached.
#[derive(Debug, Clone, Copy)]
pub struct Unavailable;

impl From<Unavailable> for Refused {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// How a client discovers the login.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The URL of the protected resource metadata; `None` if there is no issuer.
    pub metadata: Option<String>,
    /// Scopes to request initially.
    pub scopes: BTreeSet<String>,
}

impl Refused {
    /// A stable reason for the operator.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "no_credential",
            Self::Malformed(why) | Self::Token(why) => why,
            Self::Unavailable => "issuer_unavailable",
            Self::Stopped(_) => "stopped",
            Self::Scope(_) => "insufficient_scope",
        }
    }
}
