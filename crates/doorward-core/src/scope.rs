//! Where a request arrived: by which protocol, and for which servers.

use std::sync::Arc;

/// The endpoint of a request: all servers under qualified names, a selection of them, or a single server as if
/// connected directly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Portal {
    Merged,
    /// A configured portal, by name.
    Named(Arc<str>),
    Server(Arc<str>),
}

impl Portal {
    /// The name used in policies.
    pub fn name(&self) -> &str {
        match self {
            Self::Merged => "",
            Self::Named(name) | Self::Server(name) => name,
        }
    }

    /// Whether it has several servers, so that names are qualified with the server's name.
    pub fn is_merged(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}

/// The protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Streamable HTTP, in any revision.
    Mcp,
    /// HTTP+SSE.
    Sse,
    /// The REST API for calling tools.
    Rest,
    /// Tools as functions of model APIs.
    Functions,
    /// Tools as an agent of the Agent2Agent protocol.
    A2a,
    /// The admin listener.
    Admin,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Sse => "sse",
            Self::Rest => "rest",
            Self::Functions => "functions",
            Self::A2a => "a2a",
            Self::Admin => "admin",
        }
    }
}
