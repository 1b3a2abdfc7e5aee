//! The remote side of a connection.

use std::net::IpAddr;
use std::sync::Arc;

/// Properties of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The gateway's address and port.
    pub local: std::net::SocketAddr,
    pub address: IpAddr,
    /// The client's certificate, if it presented one that was verified.
    pub certificate: Option<Arc<Certificate>>,
}

/// The relevant fields of a verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// Its alternative names: URIs before host names.
    pub names: Vec<String>,
    /// The end of its validity (RFC 5280 section 4.1.2.5), in seconds since 1970.
    pub expires: i64,
}
