//! The era and transport of a detected server.

use std::sync::Arc;

use doorward_mcp::{Era, Revision};
use tokio::sync::OnceCell;

use super::api::Api;
use super::server::Server;
use super::way::Way;
use doorward_mcp::server_info::About;
use doorward_transport::http::Endpoint;

/// How a detected server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    StreamableHttp,
    EventStream,
    Stdio,
    BuiltIn,
    OpenApi,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamableHttp => "http",
            Self::EventStream => "http+sse",
            Self::Stdio => "stdio",
            Self::BuiltIn => "built-in",
            Self::OpenApi => "openapi",
        }
    }
}

/// The transport for requests.
#[derive(Debug)]
pub enum Link {
    Sample,
    Api(Arc<Api>),
    Modern(Way),
    /// Handshake era: one connection per session.
    Http(Endpoint),
    EventStream(Endpoint),
    Process,
}

/// The result of detecting a server.
#[derive(Debug)]
pub struct Contact {
    pub era: Era,
    pub revision: Revision,
    pub transport: Transport,
    pub about: About,
    pub link: Link,
    pub(super) twin: Twin,
}

impl Contact {
    pub fn new(era: Era, transport: Transport, about: About, link: Link) -> Self {
        Self { era, revision: Revision::NEWEST, transport, about, link, twin: Twin::default() }
    }

    pub(super) fn is_usable(&self) -> bool {
        match &self.link {
            Link::Modern(Way::Pipe(pipe)) => pipe.is_open(),
            _ => true,
        }
    }

    pub(super) fn may_have_twin(&self) -> bool {
        self.era == Era::Modern && !matches!(self.link, Link::Sample | Link::Api(_))
    }

    pub(super) fn known_twin(&self) -> Option<&Arc<Server>> {
        self.twin.0.get()?.as_ref()
    }
}

/// The other era of a modern server, detected when the first client of that era
/// connects.
#[derive(Debug, Default)]
pub struct Twin(pub(super) OnceCell<Option<Arc<Server>>>);
