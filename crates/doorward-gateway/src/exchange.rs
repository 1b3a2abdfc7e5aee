//! The credential for a server on behalf of a caller: a user-provided one, a token that was exchanged for the caller's,
//! or an assertion that the gateway signs. Each is sent only to its server, and stored only for its caller.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use doorward_store::now;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::call::{Call, Failure};
use crate::gateway::Gateway;
use doorward_config::{Assertion, Exchange};
use doorward_identity::identity::{Caller, Shown};
use doorward_identity::oauth::{self, TokenEndpoint};
use doorward_identity::seal;
use doorward_net::outbound;
use doorward_upstream::Server;
use doorward_upstream::http::Own;

/// Tokens that are kept until their time is nearly over.
const MOST: usize = 10_000;
/// How long a token is used that does not say when it expires.
const UNSAID: Duration = Duration::from_secs(5 * 60);
/// An identity assertion (draft-ietf-oauth-identity-assertion-authz-grant), as a type of token.
const ID_JAG: &str = "id-jag";

/// Whose tokens, for which server, and made of what.
type Place = (Arc<str>, Arc<str>, [u8; 32]);

/// Tokens that were made of callers' own.
#[derive(Debug, Default)]
pub struct Behalf {
    slots: Mutex<HashMap<Place, Arc<Slot>>>,
    exchangers: Mutex<HashMap<Arc<str>, Arc<Exchanger>>>,
}

/// One caller's token for one server; held while it is fetched, for all who wait.
type Slot = tokio::sync::Mutex<Option<(HeaderValue, Instant)>>;

/// Where tokens for a server are made.
#[derive(Debug)]
struct Exchanger {
    settings: Exchange,
    at: TokenEndpoint,
    grant: Option<TokenEndpoint>,
}

impl Exchanger {
    fn new(settings: &Exchange) -> Option<Self> {
        let grant = match &settings.grant {
            Some(grant) => Some(TokenEndpoint::new(grant)?),
            None => None,
        };
        Some(Self { settings: settings.clone(), at: TokenEndpoint::new(&settings.at)?, grant })
    }

    /// Makes a token for a server of what a caller has shown.
    async fn exchange(
        &self,
        shown: &Shown,
        resource: &str,
    ) -> Result<(HeaderValue, Duration), String> {
        let scopes = oauth::joined(&self.settings.scopes);
        let mut fields = vec![("resource", resource)];
        if !scopes.is_empty() {
            fields.push(("scope", &scopes));
        }
        let audience = self.grant.as_ref().map(TokenEndpoint::issuer);
        if let Some(audience) = self.settings.audience.as_deref().or(audience.as_deref()) {
            fields.push(("audience", audience));
        }
        let fetched = match &self.grant {
            None => shown.exchange(&self.at, "access_token", &fields).await,
            Some(grant) => {
                let jag = shown.exchange(&self.at, ID_JAG, &fields).await;
                let jag = jag.map_err(|error| error.to_string())?;
                let assertion =
                    jag.text("access_token").ok_or("the response contains no assertion")?;
                let kind = jag.text("issued_token_type").unwrap_or_default();
                if !kind.ends_with(ID_JAG) {
                    return Err("the provider did not issue an ID-JAG".into());
                }
                let mut fields = vec![
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion),
                ];
                if !scopes.is_empty() {
                    fields.push(("scope", &scopes));
                }
                grant.fetch(&fields).await
            }
        };
        let fetched = fetched.map_err(|error| error.to_string())?;
        let bearer = fetched.bearer().ok_or("the response contains no bearer token")?;
        let value = outbound::bearer(bearer).ok_or("the token is not a valid header value")?;
        Ok((value, fetched.lifetime(UNSAID).mul_f64(0.9)))
    }
}

impl Behalf {
    /// Forgets what is over.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.slots.lock().retain(|_, slot| {
            let over = |slot: &Option<(HeaderValue, Instant)>| {
                slot.as_ref().is_none_or(|(_, until)| *until <= now)
            };
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|slot| !over(&slot))
        });
    }

    fn exchanger(&self, server: &Server, settings: &Exchange) -> Option<Arc<Exchanger>> {
        let mut known = self.exchangers.lock();
        if let Some(exchanger) = known.get(&server.name).filter(|one| one.settings == *settings) {
            return Some(exchanger.clone());
        }
        let made = Arc::new(Exchanger::new(settings)?);
        known.insert(server.name.clone(), made.clone());
        Some(made)
    }

    /// Where a caller's token for a server is; `None` for a caller who has none that could be exchanged.
    fn slot(&self, server: &Server, caller: &Caller) -> Result<Option<Arc<Slot>>, Failure> {
        let mark = match (&caller.grant, &caller.shown) {
            // By the login, whatever the provider has said of it last.
            (Some(grant), _) => seal::sha256(grant.as_bytes()),
            (None, Some(shown)) => shown.mark(),
            (None, None) => return Ok(None),
        };
        let mut slots = self.slots.lock();
        let place = (server.name.clone(), caller.principal.id.clone(), mark);
        if slots.len() >= MOST && !slots.contains_key(&place) {
            let why = "Too many tokens are in use at once";
            return Err(Failure::new(Kind::Overloaded, why));
        }
        Ok(Some(slots.entry(place).or_default().clone()))
    }
}

impl Gateway {
    /// What to show a server on behalf of a caller; `None` for what the gateway shows for all.
    pub async fn behalf(&self, call: &Call, server: &Server) -> Result<Option<Own>, Failure> {
        if let Some(exchange) = &server.settings.exchange {
            return self.exchanged(&call.caller, server, exchange).await.map(Some);
        }
        if let Some(assertion) = &server.settings.assertion {
            return self.asserted(&call.caller, server, assertion).map(Some);
        }
        self.given_for(server, &call.caller.principal)
    }

    /// The server does not take what it was shown: it is made anew the next time.
    pub async fn behalf_refused(&self, call: &Call, server: &Server) -> bool {
        if server.settings.exchange.is_none() {
            return false;
        }
        match self.behalf.slot(server, &call.caller) {
            Ok(Some(slot)) => slot.lock().await.take().is_some(),
            _ => false,
        }
    }

    /// What a caller has shown, or what their provider has said of them.
    async fn shown(&self, caller: &Caller) -> Option<Arc<Shown>> {
        if let Some(grant) = &caller.grant {
            let store = self.kept.store()?;
            return self.authorization.signed_in(store, grant).await.map(Arc::new);
        }
        caller.shown.clone()
    }

    async fn exchanged(
        &self,
        caller: &Caller,
        server: &Server,
        settings: &Exchange,
    ) -> Result<Own, Failure> {
        let refused =
            |why: &str| Failure { retryable: false, ..Failure::new(Kind::Unauthorized, why) };
        let none = || {
            refused(
                "The server requires a token of the caller to exchange, and you have not \
                presented one",
            )
        };
        let slot = self.behalf.slot(server, caller)?.ok_or_else(none)?;
        let mut held = slot.lock().await;
        let name = http::header::AUTHORIZATION;
        if let Some((value, _)) = held.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(Own { name, value: value.clone() });
        }
        let cannot = "Your token cannot be exchanged for one that is valid at the server";
        let exchanger = self.behalf.exchanger(server, settings);
        let exchanger = exchanger.ok_or_else(|| refused(cannot))?;
        let shown = self.shown(caller).await.ok_or_else(none)?;
        let own = server.settings.resource();
        let resource = settings.resource.as_deref().or(own).unwrap_or_default();
        let exchanged = exchanger.exchange(&shown, resource).await;
        let (value, lifetime) = exchanged.map_err(|cause| refused(cannot).because(cause))?;
        *held = Some((value.clone(), Instant::now() + lifetime));
        Ok(Own { name, value })
    }

    /// The gateway's own word for who calls (RFC 7519), good for one server and a short time.
    fn asserted(
        &self,
        caller: &Caller,
        server: &Server,
        settings: &Assertion,
    ) -> Result<Own, Failure> {
        let failed = |why: &str| {
            Failure::new(
                Kind::Unauthorized,
                "The gateway cannot create a token that identifies you",
            )
            .because(why)
        };
        let principal = &caller.principal;
        let id = seal::random_id().map_err(|_| failed("the random number generator failed"))?;
        let lifetime = i64::try_from(settings.lifetime.0.as_secs()).unwrap_or(0);
        let mut claims: Map<String, Value> = Map::new();
        for (name, value) in [
            ("iss", json!(self.identity.resources.origin())),
            ("sub", json!(principal.who.id)),
            (
                "sub_kind",
                json!(doorward_identity::identity::directory::kind_of(principal.who.kind).as_str()),
            ),
            ("aud", json!(settings.audience.as_deref().or(server.settings.resource()))),
            ("iat", json!(now())),
            ("exp", json!(now() + lifetime)),
            ("jti", json!(id)),
        ] {
            claims.insert(name.into(), value);
        }
        if let Some(tenant) = &principal.who.tenant {
            claims.insert("tenant".into(), json!(tenant));
        }
        for (name, all) in [("groups", &principal.who.teams), ("roles", &principal.who.roles)] {
            if !all.is_empty() {
                claims.insert(name.into(), json!(all));
            }
        }
        // Who acts for the user, the nearest outermost (RFC 8693 section 4.1).
        let agents: Vec<&String> = match principal.chain.is_empty() {
            true => principal.agent.iter().collect(),
            false => principal.chain.iter().collect(),
        };
        let actor = agents.into_iter().rev().fold(None, |inner: Option<Value>, agent| {
            let mut actor = json!({ "sub": agent });
            if let Some(inner) = inner {
                actor["act"] = inner;
            }
            Some(actor)
        });
        claims.extend(actor.map(|actor| ("act".to_owned(), actor)));
        let signed = self.signing.keys().and_then(|keys| keys.sign("JWT", &claims));
        let signed = signed.ok_or_else(|| failed("there is no signing key"))?;
        let text = match &settings.scheme {
            Some(scheme) => format!("{scheme} {signed}"),
            None => signed,
        };
        let name = HeaderName::try_from(&settings.header).map_err(|_| failed("no header"))?;
        let mut value =
            HeaderValue::try_from(text).map_err(|_| failed("not a valid header value"))?;
        value.set_sensitive(true);
        Ok(Own { name, value })
    }
}
