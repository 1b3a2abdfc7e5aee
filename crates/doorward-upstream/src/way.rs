//! How a modern server is reached, and why it refused a request.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_mcp::RpcError;

use super::call_error::CallError;
use doorward_core::Failure;
use doorward_transport::http::{Endpoint, Own};
use doorward_transport::pipe::Pipe;

/// How requests to a modern server are sent.
#[derive(Debug, Clone)]
pub enum Way {
    Http(Endpoint),
    Pipe(Arc<Pipe>),
}

impl Way {
    /// The same with a caller's own credential.
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
    /// The response is not one of a modern server.
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
