//! The cache key of a call: everything that its result can depend on.

use std::sync::Arc;

use doorward_mcp::Object;
use doorward_mcp::json::canonical_exact;

use crate::call::Call;
use crate::gateway::Gateway;
use doorward_cache::{Key, Keys};
use doorward_config::{Affinity, ServerSettings};
use doorward_identity::seal;
use doorward_upstream::{Server, declared};

/// What of a request's `_meta` says how it is transported, and nothing of what is wanted.
const ASIDE: [&str; 7] = [
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
];

/// The keys of a call; `None` where what it depends on cannot be told.
pub fn keys_of(gateway: &Gateway, call: &Call, server: &Arc<Server>) -> Option<Keys> {
    let canonical = canonical_exact(&wanted(call).to_bytes()).ok()?;
    let headers = call.param_headers.as_ref().map(|headers| {
        let lines = headers.iter().map(|(name, value)| {
            [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"].concat()
        });
        lines.collect::<Vec<_>>().concat()
    });
    let era: &[u8] = if call.revision.is_modern() { b"modern" } else { b"handshake" };
    let session = match server.settings.affinity {
        Affinity::Session => call.session.as_deref().unwrap_or_default(),
        Affinity::Shared | Affinity::Principal => "",
    };
    let public = [
        server.name.as_bytes(),
        &server.fingerprint,
        era,
        call.method.as_bytes(),
        &canonical,
        &declared(&call.client.capabilities),
        headers.as_deref().unwrap_or_default(),
        session.as_bytes(),
    ];
    let whose = whose(gateway, call, server)?;
    let policies = gateway.policies();
    let private = [&public[..], &[&whose, policies.version.as_bytes()]].concat();
    let key = |parts: &[&[u8]]| Key(seal::digest_of(parts));
    Some(Keys { public: key(&public), private: key(&private) })
}

/// The request, but for what only says how it comes.
fn wanted(call: &Call) -> Object {
    let mut params = call.params.clone();
    if let Some(meta) = params.object_mut("_meta") {
        meta.retain(|name| !ASIDE.iter().any(|aside| aside.as_bytes() == name));
        if meta.is_empty() {
            params.remove("_meta");
        }
    }
    params
}

/// Who asks, as far as the server may tell one from another.
fn whose(gateway: &Gateway, call: &Call, server: &Server) -> Option<Vec<u8>> {
    let principal = &call.caller.principal;
    let mut whose = principal.id.as_bytes().to_vec();
    whose.push(0);
    whose.extend(principal.who.tenant.as_deref().unwrap_or_default().as_bytes());
    whose.push(0);
    let settings = &server.settings;
    if settings.personal.is_some() {
        let given = gateway.given_for(server, principal).ok()?;
        let given = given.map(|own| seal::sha256(own.value.as_bytes()));
        whose.extend(given.unwrap_or_default());
    }
    if settings.exchange.is_some() {
        match (&call.caller.grant, &call.caller.credential) {
            (Some(grant), _) => whose.extend(seal::sha256(grant.as_bytes())),
            (None, Some(shown)) => whose.extend(shown.mark()),
            (None, None) => return None,
        }
    }
    if settings.assertion.is_some() {
        let told = serde_json::to_vec(&(&principal.who, &principal.agent, &principal.chain));
        whose.extend(seal::sha256(&told.ok()?));
    }
    Some(whose)
}

/// Whether everybody is the same to a server, so that an answer may be everybody's.
pub fn knows_nobody(settings: &ServerSettings) -> bool {
    settings.personal.is_none() && settings.exchange.is_none() && settings.assertion.is_none()
}
