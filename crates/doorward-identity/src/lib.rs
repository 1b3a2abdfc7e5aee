//! Identity: keys, tokens and certificates of callers; the gateway as an OAuth client of providers and servers;
//! delegation, encryption and signing.

pub mod delegation;
pub mod exposed;
pub mod identity;
pub mod oauth;
pub mod scopes;
pub mod seal;
pub mod signing;
