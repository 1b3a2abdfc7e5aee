//! The gateway as an authorization server (OAuth 2.1; spec 2026-07-28 basic/authorization), in front of an OpenID
//! provider that supports neither client ID metadata documents nor dynamic client registration. Clients receive the
//! gateway's own tokens; users sign in at the provider, whose tokens never leave the gateway.

mod answer;
pub mod approving;
mod authenticate;
mod authorize;
pub mod browser;
mod callback;
mod clients;
pub mod editing;
pub mod form;
pub mod logout;
pub mod page;
pub mod provider;
mod register;
mod token;

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use doorward_mcp::{RpcError, message};
use doorward_store::{Error, Kind, MasterKey, Store, now};
use futures_util::future::BoxFuture;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::answer::{OAuthError, json_answer};
use self::clients::Clients;
use self::form::Form;
use self::provider::{Provider, Secrets};
use self::register::Registrations;
use doorward_config::{
    Algorithm, AuthorizationServerSettings, Claims, IssuerSettings, Period, Secret, Settings,
};
use doorward_governance::stops::{CallerFacts, StopKind, Stops};
use doorward_identity::delegation;
use doorward_identity::identity::issuer::Issuer;
use doorward_identity::identity::{CallerToken, Peer};
use doorward_identity::seal::Sealer;
use doorward_identity::signing::Signing;

/// Path prefix of all endpoints.
const PREFIX: &str = "/oauth/";
/// Paths of the metadata (RFC 8414, OpenID Connect Discovery 1.0).
const METADATA: [&str; 2] =
    ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
/// Maximum size of a body and of a query, in bytes.
const MOST: usize = 16 << 10;
const MOST_QUERY: usize = 8 << 10;
/// Limits concurrent requests, so that unauthenticated clients cannot use up the store's connections, through
/// which keys and revocations are read.
static BUSY: Semaphore = Semaphore::const_new(64);
/// Maximum lifetime of access tokens in seconds. A revoked grant is remembered at least that long.
const LONGEST_TOKEN: i64 = 60 * 60;

/// The gateway, as seen by the authorization server.
pub trait Host: Send + Sync {
    fn authorization(&self) -> &Authorization;
    fn store(&self) -> Option<&Store>;
    fn signing(&self) -> &Signing;
    /// Who is stopped in an emergency.
    fn stops(&self) -> &Stops;
    /// Scopes that clients should request initially.
    fn requested_scopes(&self) -> BTreeSet<String>;
    /// All scopes that may be required anywhere.
    fn all_scopes(&self) -> BTreeSet<String>;
    /// Whether there is an endpoint at a path.
    fn has_endpoint(&self, path: &str) -> bool;
    /// Reads a request body of at most `most` bytes.
    fn read(
        &self,
        body: Incoming,
        most: usize,
    ) -> BoxFuture<'_, Result<Bytes, (StatusCode, String)>>;
    /// Reads the store again. When this returns, earlier writes are in effect here.
    fn reread_store(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Continues with the connection to a server for a user who has signed in.
    fn connect(&self, wanted: delegation::link::Wanted) -> BoxFuture<'_, Response<Bytes>>;
    /// Continues with the approval of a call for a user who has signed in; the token says who they are.
    fn approver(&self, id: &str, headers: &HeaderMap, token: &str) -> Response<Bytes>;
}

/// The authorization server, if one is configured.
#[derive(Debug, Default)]
pub struct Authorization {
    server: ArcSwapOption<Server>,
    registrations: Arc<Registrations>,
}

/// The authorization server with its configuration.
#[derive(Debug)]
pub struct Server {
    settings: AuthorizationServerSettings,
    /// Its issuer identifier: the gateway's URL without a path.
    issuer: String,
    provider: Provider,
    clients: Clients,
    master: MasterKey,
    sealer: Sealer,
    /// Verifies the tokens signed here.
    identity: Arc<Issuer>,
    registrations: Arc<Registrations>,
}

/// The context of a request.
struct RequestContext<'a> {
    host: &'a dyn Host,
    server: &'a Server,
    store: &'a Store,
    /// The client's address.
    address: IpAddr,
}

impl Authorization {
    /// Applies new settings. If they have not changed, the current server is retained.
    pub fn take(&self, settings: &Settings, origin: &str) {
        let Some(wanted) = &settings.identity.authorization_server else {
            return self.server.store(None);
        };
        let current = self.server.load_full();
        if current.is_some_and(|now| now.settings == **wanted && now.issuer == origin) {
            return;
        }
        let registrations = self.registrations.clone();
        let key = settings.store_key.as_ref();
        let made = key.and_then(|key| Server::new(wanted, origin, key, registrations));
        if made.is_none() {
            // Excluded by the validation of the settings.
            tracing::error!(
                "the authorization server cannot start: check 'store_key' and its provider"
            );
        }
        self.server.store(made.map(Arc::new));
    }

    /// The issuer that verifies the authorization server's tokens.
    pub fn issuer(&self) -> Option<Arc<Issuer>> {
        self.server.load().as_ref().map(|server| server.identity.clone())
    }

    /// Updates the keys that tokens are signed with.
    pub fn take_keys(&self, signing: &Signing) {
        if let (Some(server), Some(keys)) = (&*self.server.load(), signing.keys()) {
            server.identity.set_keys(keys.set.clone());
        }
    }

    /// Revoked grants for which access tokens may still be valid.
    pub async fn revoked(&self, store: &Store) -> Result<HashSet<String>, Error> {
        if self.server.load().is_none() {
            return Ok(HashSet::new());
        }
        Ok(store.revoked_grants(now() - 2 * LONGEST_TOKEN).await?.into_iter().collect())
    }

    /// The provider's ID token of a valid grant.
    pub async fn signed_in(&self, store: &Store, grant: &str) -> Option<CallerToken> {
        let server = self.server.load_full()?;
        let grant = store.grant(grant).await.ok()?.filter(|grant| grant.is_good_at(now()))?;
        let kept = grant.secret(&server.master).ok()??;
        let kept: Secrets = serde_json::from_str(&kept).ok()?;
        kept.id_token.map(CallerToken::signed_in)
    }

    /// Removes expired entries.
    pub async fn maintain(&self, store: &Store) {
        self.registrations.sweep();
        if self.server.load().is_none() {
            return;
        }
        if let Err(error) = store.prune_grants().await {
            tracing::warn!(%error, "cleaning up grants failed");
        }
    }
}

impl Server {
    fn new(
        settings: &AuthorizationServerSettings,
        origin: &str,
        key: &Secret,
        registrations: Arc<Registrations>,
    ) -> Option<Self> {
        // The gateway verifies its own tokens as strictly as possible.
        let own = IssuerSettings {
            algorithms: [Algorithm::ES256].into(),
            leeway: Period(Duration::ZERO),
            require_at_jwt: true,
            claims: Claims {
                agent: vec!["client_id".into()],
                tenant: Some("tenant".into()),
                scopes: vec!["scope".into()],
                ..Claims::default()
            },
            tenant: settings.provider.tenant.clone(),
            trusted_for: settings.provider.trusted_for.clone(),
            ..IssuerSettings::new(origin)
        };
        Some(Self {
            provider: Provider::new(&settings.name, &settings.provider)?,
            clients: Clients::new(settings),
            master: MasterKey::new(key.expose()).ok()?,
            sealer: Sealer::new(Some(key)).ok()?,
            identity: Arc::new(Issuer::own(&settings.name, &own)),
            issuer: origin.to_owned(),
            settings: settings.clone(),
            registrations,
        })
    }

    /// Whether a client, or a user who has signed in with it, is stopped.
    fn is_stopped(&self, stops: &Stops, client: &str, user: Option<(&str, &str)>) -> bool {
        let Some(stopped) = stops.current() else { return false };
        if stopped.everything().is_some() || stopped.client(client).is_some() {
            return true;
        }
        let name = &self.settings.name;
        let own = |said: &str| format!("{name}:{said}");
        let agent = own(client);
        let facts = CallerFacts { agent: Some(&agent), issuer: Some(name), ..Default::default() };
        let Some((subject, claims)) = user else { return stopped.caller(&facts).is_some() };
        let claims: Value = serde_json::from_str(claims).unwrap_or_default();
        let said = claims["tenant"].as_str();
        // Under which of its names the tenant is known, the issuer's settings say: each is refused.
        let tenants =
            [self.settings.provider.tenant.clone(), said.map(str::to_owned), said.map(own), None];
        let subject = own(subject);
        tenants.iter().any(|tenant| {
            let (kind, id) = (Some(StopKind::User), subject.as_str());
            let facts = CallerFacts { kind, id, tenant: tenant.as_deref(), ..facts };
            stopped.caller(&facts).is_some()
        })
    }

    /// The owner of the tokens of a user who has signed in.
    fn owner_of(&self, subject: &str) -> String {
        let user = format!("{}:{subject}", self.settings.name);
        format!("{} {user:?}", Kind::User)
    }

    /// The URL of an endpoint.
    fn endpoint(&self, name: &str) -> String {
        format!("{}{PREFIX}{name}", self.issuer)
    }

    /// The authorization server metadata (RFC 8414 section 2).
    fn metadata(&self, scopes: &BTreeSet<String>) -> Value {
        let ways = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
        let algorithms = IssuerSettings::new("").algorithms;
        let mut metadata = json!({
            "issuer": self.issuer,
            "authorization_endpoint": self.endpoint("authorize"),
            "token_endpoint": self.endpoint("token"),
            "revocation_endpoint": self.endpoint("revoke"),
            "introspection_endpoint": self.endpoint("introspect"),
            "jwks_uri": self.endpoint("jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": self.settings.metadata_documents,
            "scopes_supported": scopes,
            // Also required by OpenID Connect Discovery. No ID tokens are issued.
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        for endpoint in ["token", "revocation", "introspection"] {
            // Introspection requires client authentication.
            let known = &ways[usize::from(endpoint == "introspection")..];
            metadata[format!("{endpoint}_endpoint_auth_methods_supported")] = json!(known);
            metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")] =
                json!(algorithms);
        }
        if self.settings.dynamic_registration {
            metadata["registration_endpoint"] = self.endpoint("register").into();
        }
        metadata
    }
}

/// Sends a user to the login before the gateway is authorized at a server. `None` if the owner is not a user of
/// this authorization server.
pub async fn sign_in_for(
    host: &dyn Host,
    wanted: &delegation::link::Wanted,
) -> Option<Response<Bytes>> {
    let (server, store) = (host.authorization().server.load_full()?, host.store()?);
    let ours = server.owner_of("");
    if !wanted.owner.starts_with(ours.trim_end_matches('"')) {
        return None;
    }
    // No client is looked up for this request.
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let at = RequestContext { host, server: &server, store, address };
    let sent = at.send_to_provider(authorize::Purpose::Connect(wanted.clone())).await;
    Some(sent.unwrap_or_else(|why| {
        tracing::error!("users cannot sign in: {why}");
        let why = "The identity provider cannot be reached";
        page::problem(StatusCode::BAD_GATEWAY, why, browser::START_AGAIN)
    }))
}

/// The published signing keys (RFC 7517); `None` if the gateway signs nothing.
fn published_keys(host: &dyn Host) -> Option<Response<Bytes>> {
    Some(match host.signing().keys() {
        Some(keys) => public(&keys.published),
        None if host.signing().lacks_keys() => OAuthError::unavailable().response(),
        None => return None,
    })
}

/// Handles a request to the authorization server; `None` if the path is not one of its endpoints.
pub async fn answer(
    host: &dyn Host,
    peer: &Peer,
    request: &mut Option<Request<Incoming>>,
) -> Option<Response<Bytes>> {
    let path = request.as_ref()?.uri().path();
    if !path.starts_with(PREFIX) && !METADATA.contains(&path) {
        return None;
    }
    if path == "/oauth/jwks" && request.as_ref()?.method() == Method::GET {
        return published_keys(host);
    }
    let (server, store) = (host.authorization().server.load_full()?, host.store()?);
    let at = RequestContext { host, server: &server, store, address: peer.address };
    Some(at.answer(peer, request.take()?).await)
}

impl RequestContext<'_> {
    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let (path, method) = (head.uri.path(), &head.method);
        let query = head.uri.query().unwrap_or_default();
        if query.len() > MOST_QUERY {
            let why = "The request is too long";
            return page::problem(StatusCode::URI_TOO_LONG, why, "Start again from the program.");
        }
        let query = || Form::read(query.as_bytes());
        let wanted = match path {
            "/oauth/token" | "/oauth/revoke" | "/oauth/introspect" | "/oauth/register"
            | "/oauth/consent" => Method::POST,
            _ => Method::GET,
        };
        if *method != wanted {
            return not_allowed(if wanted == Method::POST { "POST" } else { "GET" });
        }
        let endpoint = path.strip_prefix(PREFIX).unwrap_or_default();
        match endpoint {
            "" if METADATA.contains(&path) => {
                public(&self.server.metadata(&self.host.requested_scopes()))
            }
            "authorize" | "callback" => {
                let Ok(_place) = BUSY.try_acquire() else {
                    return OAuthError::unavailable().response();
                };
                match endpoint {
                    "authorize" => self.authorize(&head.headers, &query()).await,
                    _ => self.callback(&head.headers, &query()).await,
                }
            }
            _ => {
                let text = match self.host.read(body, MOST).await {
                    Ok(text) => text,
                    Err((status, why)) => {
                        let word = "invalid_request";
                        return OAuthError::with_status(status, word, why).response();
                    }
                };
                // After the body was read, so that a slow client does not occupy a place.
                let Ok(_place) = BUSY.try_acquire() else {
                    return OAuthError::unavailable().response();
                };
                if endpoint == "register" {
                    let done = self.register(peer, &head.headers, &text).await;
                    return done.unwrap_or_else(|error| error.response());
                }
                if let Err(error) = is_form(&head.headers) {
                    return error.response();
                }
                let form = Form::read(&text);
                match endpoint {
                    "consent" => self.consent(&head.headers, &form).await,
                    "token" => ok(self.token(&head.headers, &form).await),
                    "revoke" => ok(self.revoke(&head.headers, &form).await),
                    "introspect" => ok(self.introspect(&head.headers, &form).await),
                    _ => page::problem(StatusCode::NOT_FOUND, "There is nothing here", ""),
                }
            }
        }
    }
}

/// The response to a method that an endpoint does not support.
pub fn not_allowed(methods: &'static str) -> Response<Bytes> {
    let error = RpcError::invalid_request(format!("This endpoint accepts {methods}"));
    let mut response = Response::new(message::error_response(None, &error));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn ok(done: Result<Value, OAuthError>) -> Response<Bytes> {
    match done {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(error) => error.response(),
    }
}

/// A response that anyone may read, including pages of other origins.
pub fn public(value: &Value) -> Response<Bytes> {
    let mut response = json_answer(StatusCode::OK, value);
    let headers = response.headers_mut();
    let public = HeaderValue::from_static("public, max-age=300");
    headers.insert(CACHE_CONTROL, public);
    headers.remove(http::header::PRAGMA);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn is_form(headers: &HeaderMap) -> Result<(), OAuthError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    let why = "'Content-Type' must be application/x-www-form-urlencoded";
    Err(OAuthError::new("invalid_request", why))
}
