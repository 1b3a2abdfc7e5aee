//! The gateway as a client of authorization servers: their metadata, client authentication, and token requests.
//! Used for identity providers and for delegation.

mod challenge;
mod client;
mod endpoint;
mod metadata;
mod pkce;

use std::collections::BTreeSet;

pub use challenge::parse_challenge;
pub use client::{Authentication, Client, Fetched, TokenError};
pub use endpoint::TokenEndpoint;
pub use metadata::Metadata;
pub use pkce::{Pkce, challenge_of};

/// Space-separated scopes (RFC 6749 section 3.3).
pub fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
