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
    /// An error defined by the specification: from the server, or for bad input.
    Rpc(RpcError),
    /// The gateway's error: something failed between it and a server.
    Gateway(Failure),
    /// A limit on size or number is exceeded, with its HTTP status.
    Refused { failure: Failure, status: u16 },
    /// A policy denies this to the caller, who may know that the target exists.
    Denied(Box<Decision>),
    /// The arguments do not match the tool's schema.
    InvalidArguments(Box<Mismatches>),
    /// A rate, quota or budget is exhausted.
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

/// The call was cancelled because nobody waits for its result.
pub(crate) fn client_gone() -> CallError {
    Failure::new(Kind::Closing, "The client is no longer waiting").into()
}
