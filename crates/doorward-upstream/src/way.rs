//! How a modern server is reached, and why it refused a request.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_mcp::RpcError;

use super::call_error::CallError;
use doorward_core::Failure;
use doorward_transport::http::{Endpoint, Own};
use doorward_transport::pipe::Pipe;

/// How a modern server is spoken to.
#[derive(Debug, Clone)]
pub enum Way {
    Http(Endpoint),
    Pipe(Arc<Pipe>),
}

impl Way {
    /// The same, shown what a caller has given for it.
    pub fn shown(&self, own: Option<&Own>) -> Cow<'_, Self> {
        match (self, own) {
            (Self::Http(endpoint), Some(own)) => Cow::Owned(Self::Http(endpoint.with(Some(own)))),
            _ => Cow::Borrowed(self),
        }
    }
}

/// Why a modern request got no exchange.
#[derive(Debug)]
pub enum Refused {
    Rpc(RpcError),
    Failed(Failure),
    /// The answer does not look like one of a modern server's at all.
    NotModern(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rpc(error) => Self::Rpc(error),
            Refused::Failed(failure) => Self::Gateway(failure),
            Refused::NotModern(failure) => Self::Gateway(Failure { era_in_doubt: true, ..failure }),
        }
    }
}
