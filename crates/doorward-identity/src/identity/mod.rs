//! Stage: authentication. All credentials of a request are checked here, before its body is read: API keys, tokens,
//! certificates. Nothing else creates a [`Principal`].

mod bearer;
pub mod browser;
mod certificate;
mod challenge;
pub mod directory;
mod introspection;
pub mod issuer;
pub mod jwt;
mod keys;
mod lease;
mod metadata;
mod presented;
mod principal;
pub mod token;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use doorward_governance::stops::{Stop, Stops};
use doorward_store::{Entry, Key, Presented, now};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};
use parking_lot::Mutex;
use serde_json::Value;

pub use challenge::{Hints, Refused, Unavailable};
pub use doorward_net::peer::{Certificate, Peer};
pub use lease::Lease;
pub use metadata::{Resources, WELL_KNOWN};
pub use presented::CallerToken;
pub use principal::{Grant, LOCAL, Principal};

use self::bearer::Bearer;
use self::browser::{BrowserSessions, TOKEN_PREFIX};
use self::certificate::Certificates;
use self::directory::People;
use self::issuer::Issuer;
use self::keys::KeyRing;
use self::lease::Leases;
use self::token::{Resource, claim};
use crate::seal;
use doorward_config::{IssuerSettings, Settings};
use doorward_core::flood::Flood;

/// Number of refused callers that are logged in a burst. Beyond it, a few per minute are logged and the rest is
/// counted.
const REFUSALS: usize = 20;
/// Maximum number of verified tokens that are cached until they expire.
const MOST_TOKENS: usize = 10_000;

/// The caller of a request, and the lease of its credential.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Arc<Principal>,
    pub lease: Arc<Lease>,
    pub address: Option<IpAddr>,
    /// The credential, if it may have to be exchanged for another token.
    pub credential: Option<Arc<CallerToken>>,
    /// The grant of the gateway's own authorization server.
    pub grant: Option<Arc<str>>,
}

/// The result of authentication.
#[derive(Debug, Clone)]
struct Known {
    principal: Arc<Principal>,
    lease: Arc<Lease>,
    credential: Option<Arc<CallerToken>>,
    grant: Option<Arc<str>>,
}

impl Known {
    fn new(principal: Arc<Principal>, lease: Arc<Lease>) -> Self {
        Self { principal, lease, credential: None, grant: None }
    }
}

/// Authenticates callers.
#[derive(Debug, Default)]
pub struct Identity {
    keys: KeyRing,
    certificates: Certificates,
    issuers: ArcSwap<Vec<Arc<Issuer>>>,
    /// Providers at which people sign in to the console and the portal; their tokens are not accepted.
    logins: ArcSwap<Vec<Arc<Issuer>>>,
    /// Revoked grants of the gateway itself for which tokens may still be valid.
    revoked: ArcSwap<HashSet<String>>,
    people: ArcSwap<People>,
    leases: Leases,
    tokens: Mutex<HashMap<[u8; 32], CachedToken>>,
    /// Incremented when memberships may have changed.
    generation: AtomicU64,
    /// Callers have to authenticate, now and as long as the gateway runs.
    closed: AtomicBool,
    /// The operator has allowed unauthenticated callers from any address.
    admits_all: AtomicBool,
    refusals: Flood<REFUSALS>,
    /// Callers' credentials may have to be exchanged for other tokens.
    retains_tokens: AtomicBool,
    pub resources: Resources,
    /// Who has signed in with a browser.
    pub browsers: BrowserSessions,
    /// Who is stopped in an emergency.
    pub stops: Arc<Stops>,
}

#[derive(Debug)]
struct CachedToken {
    caller: Known,
    bearer: Bearer,
    issuer: Arc<Issuer>,
    keys: Option<Arc<issuer::KeySet>>,
    generation: u64,
    expires: i64,
}

impl Identity {
    pub fn new(stops: Arc<Stops>) -> Self {
        Self { stops, ..Self::default() }
    }

    /// Applies the issuers and directory of the configuration, and the content of the store. Returns whether
    /// authentication is required from now on and was not before.
    pub fn take(
        &self,
        settings: &Settings,
        own: Option<Arc<Issuer>>,
        kept: &[Entry],
        keys: &[Key],
        closed: bool,
    ) -> bool {
        let old = self.issuers.load_full();
        let unchanged = |name: &str, settings: &IssuerSettings| {
            let same = |issuer: &&Arc<Issuer>| {
                issuer.name == name && issuer.settings == *settings && !issuer.is_own()
            };
            old.iter().find(same).cloned()
        };
        let others = settings.identity.issuers.iter().map(|(name, settings)| {
            unchanged(name, settings).unwrap_or_else(|| Issuer::new(name, settings))
        });
        let issuers: Vec<_> = own.into_iter().chain(others).collect();
        let logins = settings.identity.login.providers.iter();
        let logins = logins.map(|(name, provider)| browser::issuer_of(name, provider)).collect();
        self.logins.store(Arc::new(logins));
        let exchanges = settings.servers.values().any(|server| server.exchange.is_some());
        self.retains_tokens.store(exchanges, Ordering::Release);
        let gone = old.iter().any(|old| !issuers.iter().any(|new| Arc::ptr_eq(old, new)));
        self.issuers.store(Arc::new(issuers));
        let people = Arc::new(People::new(&settings.directory, kept));
        self.people.store(people.clone());
        self.keys.take(keys, &people, &self.leases);
        self.certificates.recheck(&people);
        self.generation.fetch_add(1, Ordering::AcqRel);
        let by_certificate = settings.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        // Once required, authentication remains required even if the configuration changes.
        let closed = closed || by_certificate || !self.is_open();
        let before = self.closed.fetch_or(closed, Ordering::AcqRel);
        self.forget(gone);
        closed && !before
    }

    /// Applies revoked grants of the gateway: tokens issued from them end.
    pub fn revoke(&self, grants: HashSet<String>) {
        let news = !grants.is_subset(&self.revoked.load());
        self.revoked.store(Arc::new(grants));
        if news {
            self.forget(false);
        }
    }

    /// Ends leases of tokens whose bearers are disabled or have other memberships now; with `all`, of all tokens.
    fn forget(&self, all: bool) {
        let (people, revoked) = (self.people.load(), self.revoked.load());
        self.tokens.lock().retain(|_, token| {
            let who = &token.caller.principal.who;
            let now = people.find(who.kind, &who.id, token.bearer.said.clone());
            let out = all
                || now.as_ref() != Some(who)
                || token.caller.grant.as_ref().is_some_and(|grant| revoked.contains(&**grant))
                || token.bearer.is_disabled(&people);
            if out {
                token.caller.lease.end();
            }
            !out
        });
    }

    /// Whether unauthenticated callers are admitted: there are no keys, no issuers and no providers to sign in at.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
            && self.keys.is_empty()
            && self.issuers.load().is_empty()
            && self.logins.load().is_empty()
    }

    /// Admits unauthenticated callers from any address, as long as no authentication is required.
    pub fn allow_unauthenticated(&self) {
        self.admits_all.store(true, Ordering::Release);
    }

    /// Ends and removes everything that has expired.
    pub fn sweep(&self) {
        let now = now();
        self.leases.sweep(now);
        self.certificates.sweep();
        self.tokens.lock().retain(|_, token| token.expires > now);
    }

    /// Authenticates the caller of a request (spec 2026-07-28 basic/authorization; RFC 6750). A token may be for
    /// `endpoint` only. Without an endpoint, as at the admin listener, it must be for the whole gateway.
    pub async fn identify(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        uri: &Uri,
        endpoint: Option<&str>,
    ) -> Result<Caller, Refused> {
        let found = self.find(peer, headers, uri, endpoint).await;
        match found {
            Ok(Known { principal, lease, credential, grant }) => {
                if let Some(stop) = self.stopped(&principal) {
                    return Err(Refused::Stopped(stop));
                }
                Ok(Caller { principal, lease, address: Some(peer.address), credential, grant })
            }
            Err(refused) => {
                if let Refused::Token(why) | Refused::Malformed(why) = &refused {
                    let (tell, suppressed) = self.refusals.count(Instant::now());
                    if suppressed > 0 {
                        tracing::warn!(
                            count = suppressed,
                            "number of other callers refused since the last message"
                        );
                    }
                    if tell {
                        let (address, path) = (peer.address, uri.path());
                        tracing::info!(%address, path, why, "refused a caller");
                    }
                }
                Err(refused)
            }
        }
    }

    /// The stop by which a caller is refused, if there is one.
    pub fn stopped(&self, principal: &Principal) -> Option<Arc<Stop>> {
        self.stops.current()?.caller(&principal.facts()).cloned()
    }

    async fn find(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        uri: &Uri,
        endpoint: Option<&str>,
    ) -> Result<Known, Refused> {
        let shown = bearer(headers)?;
        let in_query = uri.query().is_some_and(|query| {
            url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
        });
        let Some(token) = shown else {
            if let Some(shown) = &peer.certificate {
                let found = self.certificates.find(shown, &self.people, &self.leases);
                return found.map(|(who, lease)| Known::new(who, lease));
            }
            let near = peer.local.ip().is_loopback() || self.admits_all.load(Ordering::Acquire);
            if self.is_open() && near {
                return Ok(Known::new(Principal::local(), Lease::forever()));
            }
            return Err(Refused::Missing);
        };
        if in_query {
            return Err(Refused::Malformed("The query contains a token, too"));
        }
        if token.starts_with("dwk_") {
            let found = Presented::read(token).and_then(|presented| self.keys.find(&presented));
            let found = found.ok_or(Refused::Token("unknown, expired or revoked key"));
            return found.map(|(who, lease)| Known::new(who, lease));
        }
        if token.starts_with(TOKEN_PREFIX) {
            // For calls alone: neither the admin listener nor a page for people is an endpoint.
            endpoint.ok_or(Refused::Token("a token of a session is for calls only"))?;
            return Box::pin(self.by_session_token(token, peer.address)).await;
        }
        let issuers = self.issuers.load_full();
        if issuers.is_empty() {
            return Err(Refused::Token("no token issuer is configured"));
        }
        self.by_token(token, &issuers, endpoint, peer.address).await
    }

    async fn by_token(
        &self,
        token: &str,
        issuers: &[Arc<Issuer>],
        endpoint: Option<&str>,
        address: IpAddr,
    ) -> Result<Known, Refused> {
        let accepted = self.resources.accepted(endpoint);
        let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
        let resource = Resource { accepted: &accepted };
        // Includes the accepted audiences, because a token may be valid at one endpoint and not at another.
        let both = format!("{token} {}", accepted.join(" "));
        let hash = seal::sha256(both.as_bytes());
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(cached) = self.tokens.lock().get(&hash)
            && cached.still_holds(generation)
        {
            return Ok(cached.caller.clone());
        }
        // Boxed, because the future is large and every request would reserve space for it.
        let checked = Box::pin(token::check(token, issuers, &resource, address)).await?;
        let grant = claim(&checked.claims, "grant").and_then(Value::as_str).map(str::to_owned);
        let grant = grant.filter(|_| checked.issuer.is_own()).map(Arc::<str>::from);
        let (principal, bearer) = self.principal(&checked)?;
        let mut tokens = self.tokens.lock();
        // The lease is reused, so that streams opened earlier end with it.
        let before = tokens.get(&hash).map(|known| known.caller.lease.clone());
        let lease = before.filter(|lease| !lease.is_over()).unwrap_or_else(|| {
            let lease = Lease::until(Some(checked.expires));
            self.leases.watch(&lease);
            lease
        });
        // The token is retained only if it may have to be exchanged.
        let retains_tokens = self.retains_tokens.load(Ordering::Acquire) && grant.is_none();
        let credential = retains_tokens.then(|| Arc::new(CallerToken::token(token)));
        let caller = Known { principal, lease, credential, grant };
        // Under the lock, so that a revocation either comes before or finds the entry.
        if caller.grant.as_ref().is_some_and(|grant| self.revoked.load().contains(&**grant)) {
            caller.lease.end();
            return Err(Refused::Token("its grant is revoked"));
        }
        if tokens.len() >= MOST_TOKENS {
            // Tokens with open streams are retained, so that the streams can be ended.
            tokens.retain(|_, token| Arc::strong_count(&token.caller.lease) > 1);
        }
        tokens.insert(
            hash,
            CachedToken {
                caller: caller.clone(),
                bearer,
                issuer: checked.issuer,
                keys: checked.keys,
                generation,
                expires: checked.expires,
            },
        );
        Ok(caller)
    }

    /// How a caller that is not authenticated can log in.
    pub fn hints(&self, path: &str, scopes: BTreeSet<String>) -> Hints {
        let known = !self.issuers.load().is_empty();
        Hints { metadata: known.then(|| self.resources.metadata_url(path)), scopes }
    }

    /// The protected resource metadata, if there are issuers (RFC 9728).
    pub fn metadata(&self, path: &str, scopes: &BTreeSet<String>) -> Option<Value> {
        let issuers = self.issuers.load();
        if issuers.is_empty() {
            return None;
        }
        let issuers: Vec<&str> =
            issuers.iter().map(|issuer| issuer.settings.issuer.as_str()).collect();
        Some(self.resources.metadata(path, &issuers, scopes))
    }
}

impl CachedToken {
    /// Whether verifying the token again would give the same result.
    fn still_holds(&self, generation: u64) -> bool {
        let keys = match &self.keys {
            None => true,
            Some(keys) => self.issuer.known_keys().is_some_and(|known| Arc::ptr_eq(&known, keys)),
        };
        keys && self.generation == generation
            && self.expires > now()
            && !self.caller.lease.is_over()
    }
}

/// The bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Refused::Malformed("'Authorization' appears twice"));
    }
    let text = value.to_str().map_err(|_| Refused::Malformed("'Authorization' cannot be read"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        // Another scheme counts as no credential.
        return Ok(None);
    }
    let token = token.trim_matches(' ');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(plain) {
        return Err(Refused::Malformed("'Authorization' must be 'Bearer' and one token"));
    }
    Ok(Some(token))
}
