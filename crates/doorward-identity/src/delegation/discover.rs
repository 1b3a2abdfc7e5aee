//! Discovers which authorization server protects a server, and registers the gateway there (RFC 9728, RFC 8414,
//! RFC 7591). A server's metadata is not trusted: private addresses are not contacted unless they are at the
//! server's own origin.

use std::collections::BTreeSet;

use http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Delegations, Error, Known, by_hand};
use crate::oauth::{self, Client, Metadata, parse_challenge};
use doorward_config::{Delegation, Secret};
use doorward_net::outbound::{self, Author};

/// Maximum length of the scopes in a request, in bytes.
const MOST_SCOPES: usize = 2000;

/// The authorization server at which users consent, and the parameters of the request.
pub struct Destination {
    pub issuer: String,
    pub metadata: Metadata,
    pub author: Author,
    pub client: Client,
    /// The client, unless it is from the configuration.
    pub known: Option<Known>,
    pub scopes: String,
    /// The resource that tokens are for.
    pub resource: String,
}

/// The authorization server of a protected resource.
struct Resource {
    issuer: String,
    author: Author,
    scopes: Option<String>,
    name: String,
}

impl Delegations {
    /// Discovers the authorization server of a server. `origin` is the gateway's URL, `more` are additionally
    /// required scopes.
    pub async fn discover(
        &self,
        url: &Url,
        settings: &Delegation,
        origin: &str,
        more: &BTreeSet<String>,
    ) -> Result<Destination, Error> {
        let resource = resource(url, settings).await?;
        let metadata = Metadata::fetch(&resource.issuer, resource.author).await?;
        let metadata = metadata.with_same_host(settings.same_host);
        if metadata.lists("code_challenge_methods_supported", "S256") != Some(true) {
            return Err(
                format!("{}: it does not announce support for PKCE", resource.issuer).into()
            );
        }
        let (client, known) = self.client(&metadata, &resource, settings, origin).await?;
        let mut scopes: BTreeSet<String> = settings.scopes.clone();
        if scopes.is_empty() {
            let said = resource.scopes.as_deref().unwrap_or_default();
            scopes.extend(said.split(' ').filter(|one| !one.is_empty()).map(str::to_owned));
        }
        scopes.extend(more.iter().cloned());
        if metadata.lists("scopes_supported", "offline_access") == Some(true) {
            scopes.insert("offline_access".into());
        }
        let mut scopes = oauth::joined(&scopes);
        if scopes.len() > MOST_SCOPES {
            scopes.clear();
        }
        let (author, issuer) = (resource.author, resource.issuer);
        let resource = resource.name;
        Ok(Destination { issuer, metadata, author, client, known, scopes, resource })
    }

    /// The gateway's client: from the configuration, by its metadata document, or dynamically registered.
    async fn client(
        &self,
        metadata: &Metadata,
        resource: &Resource,
        settings: &Delegation,
        origin: &str,
    ) -> Result<(Client, Option<Known>), Error> {
        if let Some(client) = by_hand(settings) {
            return Ok((client.as_supported(metadata), None));
        }
        if metadata.says("client_id_metadata_document_supported") && origin.starts_with("https://")
        {
            let known = Known::by_document(&document_url(origin));
            return Ok((known.client(), Some(known)));
        }
        let (store, master) = self.stored()?;
        // A registration is bound to one issuer (spec 2026-07-28 client registration, binding).
        let place = format!("{} {origin}", resource.issuer);
        if let Some(kept) = store.upstream_client(master, &place).await? {
            let known: Known = serde_json::from_str(&kept).map_err(|error| error.to_string())?;
            return Ok((known.client(), Some(known)));
        }
        let (endpoint, author) = metadata.endpoint("registration_endpoint").map_err(|_| {
            let issuer = &resource.issuer;
            format!(
                "{issuer}: it supports neither client ID metadata documents nor dynamic \
                    registration: register the gateway there with {} as its redirect URI, and set \
                    'client_id'",
                callback_url(origin)
            )
        })?;
        let known = register(&endpoint, author, metadata, origin).await?;
        let text = serde_json::to_string(&known).map_err(|error| error.to_string())?;
        store.put_upstream_client(master, &place, &zeroize::Zeroizing::new(text)).await?;
        Ok((known.client(), Some(known)))
    }

    /// Deletes the gateway's registration, because the issuer no longer knows it.
    pub async fn forget_client(&self, issuer: &str, origin: &str) -> Result<(), Error> {
        let (store, _) = self.stored()?;
        Ok(store.remove_upstream_client(&format!("{issuer} {origin}")).await?)
    }
}

/// The URLs of the gateway's client metadata document and of its redirect URI.
pub fn document_url(origin: &str) -> String {
    format!("{origin}/oauth/client.json")
}

pub fn callback_url(origin: &str) -> String {
    format!("{origin}/oauth/connected")
}

/// The gateway's client metadata document.
pub fn document(origin: &str) -> Value {
    let mut document = registration(origin, "none");
    document["client_id"] = document_url(origin).into();
    document
}

fn registration(origin: &str, way: &str) -> Value {
    let local = Url::parse(origin).is_ok_and(|url| url.scheme() == "http");
    json!({
        "client_name": "Doorward",
        "redirect_uris": [callback_url(origin)],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": way,
        "application_type": if local { "native" } else { "web" },
    })
}

async fn register(
    endpoint: &Url,
    author: Author,
    metadata: &Metadata,
    origin: &str,
) -> Result<Known, Error> {
    let takes = |way| metadata.lists("token_endpoint_auth_methods_supported", way);
    // A secret is preferred. If the metadata lists no methods, the default is `client_secret_basic`.
    let ways = ["client_secret_basic", "client_secret_post", "none"];
    let way = ways.into_iter().find(|way| takes(way) != Some(false)).unwrap_or("none");
    let answer = outbound::post_json(endpoint, author, &registration(origin, way)).await;
    let answer = answer.and_then(|answer| answer.object());
    let answer: Map<String, Value> = answer.map_err(|error| format!("{endpoint}: {error}"))?;
    let text = |member: &str| answer.get(member).and_then(Value::as_str).map(str::to_owned);
    let id = text("client_id").ok_or_else(|| format!("{endpoint}: it returned no 'client_id'"))?;
    let way = text("token_endpoint_auth_method").unwrap_or_else(|| way.to_owned());
    let secret = text("client_secret").filter(|_| way != "none").map(Secret);
    tracing::info!(%endpoint, client = id, "registered the gateway as a client");
    Ok(Known { id, secret, post: way == "client_secret_post" })
}

/// Determines the authorization server of a protected resource.
async fn resource(url: &Url, settings: &Delegation) -> Result<Resource, Error> {
    let plain = url.as_str().trim_end_matches('/').to_owned();
    let challenge = challenge(url).await;
    let asked = challenge.as_deref().map(parse_challenge).unwrap_or_default();
    let scopes = asked.get("scope").cloned();
    let written = settings.issuer.clone();
    let said = asked.get("resource_metadata").map(String::as_str);
    let metadata = find(url, said, settings.same_host).await;
    let (metadata, name) = match (metadata, written.is_some()) {
        (Ok(found), _) => found,
        // With a configured issuer, metadata is not required.
        (Err(_), true) => (Map::new(), plain),
        (Err(why), false) => return Err(why),
    };
    let supported = metadata
        .get("scopes_supported")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    let scopes = scopes.or(supported);
    if let Some(issuer) = written {
        return Ok(Resource { issuer, author: Author::Operator, scopes, name });
    }
    let servers = metadata.get("authorization_servers").and_then(Value::as_array);
    let issuer = servers.and_then(|all| all.first()?.as_str()).map(str::to_owned);
    let issuer = issuer.ok_or_else(|| format!("{url}: it names no authorization server"))?;
    let named =
        Url::parse(&issuer).map_err(|_| format!("{url}: its authorization server is not a URL"))?;
    let author = Author::Operator.for_linked_url(&named, url, settings.same_host);
    Ok(Resource { issuer, author, scopes, name })
}

/// The metadata of a protected resource: at the URL in its challenge, or at the well-known paths (RFC 9728
/// section 3). It must apply to this server. Returned with the resource's name.
async fn find(
    url: &Url,
    said: Option<&str>,
    same_host: bool,
) -> Result<(Map<String, Value>, String), Error> {
    let well_known = crate::identity::WELL_KNOWN;
    let at = |path: &str| {
        let mut found = url.clone();
        found.set_path(path);
        found.set_query(None);
        found
    };
    let path = url.path().trim_end_matches('/');
    let mut places: Vec<Url> = said.and_then(|said| Url::parse(said).ok()).into_iter().collect();
    if places.is_empty() {
        places.push(at(&format!("{well_known}{path}")));
        places.push(at(well_known));
        places.dedup();
    }
    let mut last = String::new();
    for place in places {
        let author = Author::Operator.for_linked_url(&place, url, same_host);
        let answer = outbound::get(&place, author).await.and_then(|answer| answer.object());
        let metadata = match answer {
            Ok(metadata) => metadata,
            Err(error) => {
                last = format!("{place}: {error}");
                continue;
            }
        };
        let name = metadata.get("resource").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !covers(&name, url) {
            let name = name.escape_debug();
            return Err(format!("{place}: it is the metadata of '{name}', not of {url}").into());
        }
        return Ok((metadata, name));
    }
    Err(last.into())
}

/// Whether a resource is the server's URL or a parent path on the same origin.
fn covers(name: &str, url: &Url) -> bool {
    let Ok(name) = Url::parse(name) else { return false };
    let (below, path) = (name.path().trim_end_matches('/'), url.path().trim_end_matches('/'));
    let inside =
        path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    name.origin() == url.origin() && name.fragment().is_none() && inside
}

/// The server's challenge to a request without credentials.
async fn challenge(url: &Url) -> Option<String> {
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let answer = outbound::post_json(url, Author::Operator, &ping).await.ok()?;
    if answer.status != http::StatusCode::UNAUTHORIZED {
        return None;
    }
    let value = answer.headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    (value.len() <= 4096).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_applies_to_the_server_or_a_parent_path() {
        let url = Url::parse("https://a.example/mcp/x").unwrap();
        for (name, fits) in [
            ("https://a.example/mcp/x", true),
            ("https://a.example/mcp", true),
            ("https://a.example", true),
            ("https://a.example/", true),
            ("https://a.example/mc", false),
            ("https://a.example/mcp/x/y", false),
            ("https://b.example/mcp/x", false),
            ("http://a.example/mcp/x", false),
            ("https://a.example/mcp#x", false),
            ("", false),
        ] {
            assert_eq!(covers(name, &url), fits, "{name}");
        }
    }
}
