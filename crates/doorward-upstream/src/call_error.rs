//! Why a call ended without a result.

use doorward_core::Failure;
use doorward_limits::rates::Limited;
use doorward_mcp::RpcError;
use doorward_mcp::error::Kind;
use doorward_policy::Decision;
use doorward_schema::Mismatches;

/// Why a call ended without a result.
#[derive(Debug, Clone)]
pub enum CallError {
    /// An error in the words of the specification: the server's own, or for bad input.
    Rpc(RpcError),
    /// The gateway's own: between it and a server something failed.
    Gateway(Failure),
    /// Too much of something, with the HTTP status that says so.
    Refused { failure: Failure, status: u16 },
    /// A policy does not let this caller do this, though it may know that it is there.
    Denied(Box<Decision>),
    /// The arguments do not fit the tool.
    InvalidArguments(Box<Mismatches>),
    /// A limit is used up.
    Limited(Box<Limited>),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Gateway(failure)
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

/// The call ended because nobody waits for its result.
pub(crate) fn client_gone() -> CallError {
    Failure::new(Kind::Closing, "The client is no longer waiting").into()
}
