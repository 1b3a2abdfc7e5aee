//! The doors by which clients come in. Each takes requests in its own protocol and makes calls of them, which the
//! gateway's pipeline decides and answers; nothing behind a door knows which one it was.
//!
//! [`mcp`] is MCP over HTTP in all its revisions, [`rest`] tools over REST and as functions of model APIs, [`a2a`] tools as an
//! agent of the Agent2Agent protocol, [`registry`] the registry API, [`approvals`] the page for people who decide about
//! calls.

pub mod a2a;
pub mod approvals;
mod entry;
pub mod mcp;
pub mod registry;
pub mod rest;

use std::pin::pin;
use std::sync::Arc;

use doorward_gateway::delegated;
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::{Peer, WELL_KNOWN};
use doorward_mcp::RpcError;
use doorward_web::response::error_response;
use doorward_web::{Body, guard};
use http::{Method, Request, Response};
use hyper::body::Incoming;

/// Answers one HTTP request.
pub async fn handle(
    gateway: Arc<Gateway>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let settings = gateway.settings();
    if registry::is_public(&settings, &peer, &request) {
        return registry::answer_anybody(&gateway, &peer, &request);
    }
    let is_rest = settings.rest.enabled && rest::is_path(request.uri().path());
    let is_a2a = settings.a2a.enabled && a2a::is_path(request.uri().path());
    let cors = match guard::check(&settings, peer.local, &request) {
        Ok(cors) => cors,
        Err((status, why)) if is_rest => return rest::refused(status, why),
        Err((status, why)) if is_a2a => return a2a::refused(&request, status, why),
        Err((status, why)) => {
            return error_response(status, None, &RpcError::invalid_request(why));
        }
    };
    let mut response = if request.method() == Method::OPTIONS {
        guard::preflight(cors.as_ref())
    } else if let Some(path) = request.uri().path().strip_prefix(WELL_KNOWN) {
        mcp::metadata(&gateway, request.method(), path)
    } else if mcp::is_path(request.uri().path()) {
        // Pinned where it is made, here and further on: it is large, and awaiting it would move it level by level.
        pin!(mcp::enter(gateway, &peer, request)).await
    } else if is_rest {
        Box::pin(rest::enter(gateway, &peer, request)).await
    } else if is_a2a {
        Box::pin(a2a::enter(gateway, &peer, request)).await
    } else {
        Box::pin(answer_browser(gateway, &peer, request)).await
    };
    if let Some(origin) = cors {
        guard::allow(response.headers_mut(), origin);
    }
    response
}

/// Answers what is no call: people who connect accounts, decide about calls and log in, and clients that ask for tokens.
/// It is rare, and large.
async fn answer_browser(
    gateway: Arc<Gateway>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut request = Some(request);
    let mut answered = delegated::answer(&gateway, &mut request).await;
    if answered.is_none() {
        answered = approvals::answer(&gateway, peer, &mut request).await;
    }
    if answered.is_none() {
        answered = doorward_authorization::answer(&*gateway, peer, &mut request).await;
    }
    match (answered, request) {
        (None, Some(request)) => mcp::enter(gateway, peer, request).await,
        (answered, _) => {
            answered.map_or_else(mcp::nothing_here, |answered| answered.map(Body::full))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The future is moved with every request, so large and rare members must be boxed.
    #[test]
    fn answering_takes_little_room() {
        fn room<G, P, R, F>(_: impl Fn(G, P, R) -> F) -> usize {
            size_of::<F>()
        }
        assert!(room(handle) < 8 << 10, "{} bytes", room(handle));
    }
}
