//! The network: listeners for clients, and connections towards servers and other parties.

pub mod clients;
pub mod connections;
pub mod decoded;
pub mod dial;
pub mod listener;
pub mod outbound;
pub mod peer;
pub mod resolver;
pub mod tls;
