//! Who callers are, and what they let the gateway do: keys, tokens and certificates; the gateway as an OAuth client of
//! providers and servers; what it seals and signs.

pub mod delegation;
pub mod identity;
pub mod oauth;
pub mod seal;
pub mod signing;
