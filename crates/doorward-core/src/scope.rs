//! Where a request arrived: by which protocol, and for which servers.

use std::sync::Arc;

/// What a caller sees: all servers under qualified names, or one server as if the gateway were
/// not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Portal {
    Merged,
    /// What was chosen of several servers, by the portal's name.
    Named(Arc<str>),
    Server(Arc<str>),
}

impl Portal {
    /// As policies name it.
    pub fn name(&self) -> &str {
        match self {
            Self::Merged => "",
            Self::Named(name) | Self::Server(name) => name,
        }
    }

    /// Whether several servers are there, each name with its server's.
    pub fn is_merged(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}

/// By which door a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Streamable HTTP, of whatever revision.
    Mcp,
    /// HTTP+SSE.
    Sse,
    /// The operator's listener.
    Admin,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Sse => "sse",
            Self::Admin => "admin",
        }
    }
}
