//! Why authentication failed, and where a client discovers how to log in (RFC 9728 section 5.1).

use std::collections::BTreeSet;

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
}
