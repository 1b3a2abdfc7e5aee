//! The network: listeners for clients, and connections to servers and other services.

pub mod clients;
pub mod connections;
pub mod decoded;
pub mod dial;
pub mod listener;
pub mod outbound;
pub mod peer;
pub mod redirects;
pub mod resolver;
pub mod signature;
pub mod tls;
