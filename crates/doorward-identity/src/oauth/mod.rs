//! The gateway as a client of authorization servers: their metadata, client authentication, and token requests.
//! Identity providers and the logins of servers use the same.

mod challenge;
mod client;
mod endpoint;
mod metadata;
mod pkce;

use std::collections::BTreeSet;

pub use challenge::parse_challenge;
pub use client::{Client, Fetched, Shows, TokenError};
pub use endpoint::TokenEndpoint;
pub use metadata::Metadata;
pub use pkce::{Pkce, challenge_of};

/// Space-separated scopes (RFC 6749 section 3.3).
pub fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
