//! Who comes in, at every door: the caller is found out before anything of a body is used.

use doorward_gateway::call::Protocol;
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::{Caller, Grant, Peer};
use doorward_identity::seal::fingerprint;
use doorward_mcp::RpcError;
use doorward_web::{Body, challenge};
use http::{Request, Response};
use hyper::body::Incoming;

/// Why nobody is let in.
pub enum Refused {
    /// The caller is not known; the response is MCP's, with the challenge to log in.
    Unknown(Box<Response<Body>>),
    /// Everything is stopped.
    Stopped(RpcError),
}

/// Finds out who asks. `endpoint` is the path of MCP for which tokens must be; without one, they must be for the whole
/// gateway. A refusal is written to the audit log.
pub async fn identify(
    gateway: &Gateway,
    peer: &Peer,
    request: &Request<Incoming>,
    endpoint: Option<&str>,
    protocol: Protocol,
) -> Result<Caller, Refused> {
    let found = gateway.identity.identify(peer, request.headers(), request.uri(), endpoint).await;
    let caller = found.map_err(|refused| {
        // Where there can be no endpoint, the gateway as a whole is named. Where there can be one it is named as it was
        // sent, for another spelling would tell that it is there.
        let path = endpoint.unwrap_or_default();
        gateway.shared.audit.refused(|members| {
            members.text("address", &peer.address.to_string()).text("protocol", protocol.as_str());
            members.text("path", path).text("error", refused.reason());
        });
        let hints = gateway.identity.hints(path, gateway.asked_scopes());
        Refused::Unknown(Box::new(challenge::response(&refused, &hints)))
    })?;
    gateway.check_everything().map_err(Refused::Stopped)?;
    Ok(caller)
}

/// The response that ends as soon as what its caller showed is not good any more.
pub fn leased(caller: &Caller) -> impl FnOnce(Response<Body>) -> Response<Body> + use<> {
    let lease = (caller.principal.grant != Grant::Open).then(|| caller.lease.clone());
    |response| match lease {
        Some(lease) => response.map(|body| body.leased(&lease)),
        None => response,
    }
}

/// Who has stored something here, as a hash: a credential, for whoever acts with it. Another key of the same user may be good
/// for less.
pub fn owner(of: &str, caller: &Caller) -> String {
    let principal = &caller.principal;
    let credential = match &principal.grant {
        Grant::Key { id, .. } => id.to_string(),
        Grant::Token { issuer, .. } => issuer.clone(),
        Grant::Open | Grant::Certificate => String::new(),
    };
    let agent = principal.agent.as_ref().map(|agent| format!("agent {agent}")).unwrap_or_default();
    let mut parts: Vec<&[u8]> =
        vec![of.as_bytes(), principal.id.as_bytes(), credential.as_bytes(), agent.as_bytes()];
    parts.extend(principal.chain.iter().map(String::as_bytes));
    fingerprint(&parts)
}
