//! The other side of a connection.

use std::net::IpAddr;
use std::sync::Arc;

/// What there is of a connection, beside what is sent over it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The gateway's end.
    pub local: std::net::SocketAddr,
    pub address: IpAddr,
    /// The client's certificate, if it showed one that was checked.
    pub certificate: Option<Arc<Certificate>>,
}

/// What is read in a client's certificate that was checked during the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// Its alternative names: URIs before host names.
    pub names: Vec<String>,
    /// The end of its validity (RFC 5280 section 4.1.2.5), in seconds since 1970.
    pub expires: i64,
}
