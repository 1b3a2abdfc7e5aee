//! The endpoints of the gateway, by path.

use doorward_mcp::names;

use crate::call::Portal;
use crate::gateway::Gateway;

/// The endpoint that a path leads to.
pub enum Endpoint {
    Mcp(Portal),
    /// The stream of HTTP+SSE.
    Events(Portal),
    /// Where HTTP+SSE clients post.
    Messages,
    /// The registry of served servers.
    Registry,
}

impl Endpoint {
    /// Its path; for posted messages, the path at which their stream begins.
    pub fn path(&self) -> String {
        let at = |endpoint: &str, portal: &Portal| match portal {
            Portal::Merged => format!("/{endpoint}"),
            Portal::Named(name) | Portal::Server(name) => format!("/{endpoint}/{name}"),
        };
        match self {
            Self::Mcp(portal) => at("mcp", portal),
            Self::Events(portal) => at("sse", portal),
            Self::Messages => "/sse".into(),
            Self::Registry => doorward_registry::serve::PREFIX.into(),
        }
    }
}

pub fn endpoint_at(gateway: &Gateway, path: &str) -> Option<Endpoint> {
    // Whether such a portal exists is not revealed before the caller is known.
    let portal = |name: &str| {
        let plain = || names::is_server_name(name).then(|| Portal::Server(name.into()));
        gateway.portal_named(name).or_else(plain)
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    match path {
        "/mcp" => Some(Endpoint::Mcp(Portal::Merged)),
        "/sse" => Some(Endpoint::Events(Portal::Merged)),
        "/messages" => Some(Endpoint::Messages),
        path if doorward_registry::serve::is_path(path) => Some(Endpoint::Registry),
        _ => {
            if let Some(name) = path.strip_prefix("/mcp/") {
                return portal(name).map(Endpoint::Mcp);
            }
            path.strip_prefix("/sse/").and_then(portal).map(Endpoint::Events)
        }
    }
}

/// Whether a path is an endpoint as clients write it, without a trailing slash.
pub fn is_endpoint(gateway: &Gateway, path: &str) -> bool {
    !path.ends_with('/')
        && matches!(endpoint_at(gateway, path), Some(Endpoint::Mcp(_) | Endpoint::Events(_)))
}

/// The endpoint whose tokens are valid at a path, as its metadata names it.
pub fn token_endpoint<'a>(gateway: &Gateway, path: &'a str) -> Option<&'a str> {
    Some(match endpoint_at(gateway, path)? {
        Endpoint::Mcp(_) | Endpoint::Events(_) => path.strip_suffix('/').unwrap_or(path),
        // Messages for an HTTP+SSE stream are posted elsewhere, with the same token.
        Endpoint::Messages => "/sse",
        // It belongs to the gateway as a whole.
        Endpoint::Registry => return None,
    })
}
