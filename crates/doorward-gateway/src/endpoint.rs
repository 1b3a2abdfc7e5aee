//! What the paths of the gateway lead to.

use doorward_mcp::names;

use crate::call::Portal;
use crate::gateway::Gateway;

/// What a path leads to.
pub enum Endpoint {
    Mcp(Portal),
    /// The stream of HTTP+SSE.
    Events(Portal),
    /// Where HTTP+SSE clients post.
    Messages,
    /// The registry of what is served.
    Registry,
}

impl Endpoint {
    /// Its address: where a stream begins, for what is posted to it, too.
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
    // Whether there is such a portal is not told before it is known who asks.
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

/// Whether a path is that of an endpoint, as clients name it: without a slash behind.
pub fn is_endpoint(gateway: &Gateway, path: &str) -> bool {
    !path.ends_with('/')
        && matches!(endpoint_at(gateway, path), Some(Endpoint::Mcp(_) | Endpoint::Events(_)))
}

/// The endpoint whose tokens are good at a path, as its metadata names it.
pub fn token_endpoint<'a>(gateway: &Gateway, path: &'a str) -> Option<&'a str> {
    Some(match endpoint_at(gateway, path)? {
        Endpoint::Mcp(_) | Endpoint::Events(_) => path.strip_suffix('/').unwrap_or(path),
        // What is posted for a stream of HTTP+SSE goes elsewhere, with the same token.
        Endpoint::Messages => "/sse",
        // It is of the gateway as a whole.
        Endpoint::Registry => return None,
    })
}
