//! The gateway as a registry of what it serves: the servers and portals that a caller would find at `/mcp/<name>`.

use doorward_config::Settings;
use doorward_mcp::meta::Client;
use doorward_mcp::{Revision, RpcError};
use doorward_registry::serve::{self, Entry, Kind, Status};
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use doorward_gateway::access::decide::Asking;
use doorward_gateway::call::{Portal, Protocol};
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::{Caller, Peer};
use doorward_web::response::{empty, error_response};
use doorward_web::{Body, guard};

/// Answers a request of the registry API.
pub fn answer<B>(gateway: &Gateway, caller: &Caller, request: &Request<B>) -> Response<Body> {
    let origin = gateway.identity.resources.origin();
    serve::answer(request, origin, || seen(gateway, caller, origin)).map(Body::full)
}

/// Whether a request presents no credential, and concerns the registry where there is something to see without one.
pub fn is_public<B>(settings: &Settings, peer: &Peer, request: &Request<B>) -> bool {
    !settings.registry.public.is_empty()
        && serve::is_path(request.uri().path())
        && !request.headers().contains_key(AUTHORIZATION)
        && peer.certificate.is_none()
}

/// Answers such a request, from any origin.
pub fn answer_anybody<B>(gateway: &Gateway, peer: &Peer, request: &Request<B>) -> Response<Body> {
    let settings = gateway.settings();
    let mut response = match guard::check_public(&settings, peer.local, request) {
        Err((status, why)) => {
            return error_response(status, None, &RpcError::invalid_request(why));
        }
        Ok(()) if request.method() == Method::OPTIONS => empty(StatusCode::NO_CONTENT),
        Ok(()) => {
            let origin = gateway.identity.resources.origin();
            let entries = || {
                let mut entries = all(gateway, origin);
                entries.retain(|entry| {
                    settings.registry.is_public(&entry.name)
                        && !gateway.serving(&portal(entry)).is_empty()
                });
                entries
            };
            serve::answer(request, origin, entries).map(Body::full)
        }
    };
    serve::allow_all_origins(response.headers_mut());
    response
}

/// The entries of all servers and portals that a caller may see.
fn seen(gateway: &Gateway, caller: &Caller, origin: &str) -> Vec<Entry> {
    let (client, revision, protocol) = (Client::default(), Revision::NEWEST, Protocol::Mcp);
    let mut entries = all(gateway, origin);
    entries.retain(|entry| {
        let portal = portal(entry);
        gateway.is_listed(&Asking {
            caller,
            client: &client,
            revision,
            protocol,
            portal: &portal,
            facts: None,
        })
    });
    entries
}

fn portal(entry: &Entry) -> Portal {
    match entry.kind {
        Kind::Server => Portal::Server(entry.name.as_str().into()),
        Kind::Portal => Portal::Named(entry.name.as_str().into()),
    }
}

fn all(gateway: &Gateway, origin: &str) -> Vec<Entry> {
    let (rows, notices) = (gateway.life.rows(), gateway.life.notices());
    let row =
        |name: &str| rows.iter().flat_map(|it| &**it).find(|it| it.name.eq_ignore_ascii_case(name));
    let servers = gateway.servers().into_iter().map(|server| {
        let mut entry = Entry::new(Kind::Server, &server.name, origin);
        if let Some(row) = row(&server.name) {
            entry.decided(row.revision, row.proposed, row.changed);
        }
        if let Some(notice) = notices.get(&server.name.to_ascii_lowercase()) {
            entry.status = Status::Deprecated(notice.text().to_owned());
        }
        entry
    });
    let portals = gateway.portals();
    let portals = portals.values().map(|(name, portal)| {
        let description = portal.settings.description.clone().unwrap_or_default();
        Entry { description, ..Entry::new(Kind::Portal, name, origin) }
    });
    // Times are those of all entries, whoever asks.
    let mut entries = servers.chain(portals).collect::<Vec<_>>();
    gateway.published.set(&mut entries, Timestamp::now());
    entries
}
