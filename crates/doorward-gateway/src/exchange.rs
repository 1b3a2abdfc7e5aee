//! The credential for a server on behalf of a caller: a user-provided one, a token exchanged for
//! the caller's, or an assertion signed by the gateway. Each is sent only to its server, and cached
//! only for its caller.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::call::Failure;
use doorward_config::Exchange;
use doorward_identity::identity::{Caller, CallerToken};
use doorward_identity::oauth::{self, TokenEndpoint};
use doorward_identity::seal;
use doorward_net::outbound;
use doorward_upstream::Server;

mod credential;

/// Maximum number of cached tokens.
const MOST: usize = 10_000;
/// Lifetime of a token without an expiry.
const UNSAID: Duration = Duration::from_secs(5 * 60);
/// The token type of an identity assertion (draft-ietf-oauth-identity-assertion-authz-grant).
const ID_JAG: &str = "id-jag";

/// The caller, the server, and a digest of the token's source.
type Place = (Arc<str>, Arc<str>, [u8; 32]);

/// Tokens obtained for callers.
#[derive(Debug, Default)]
pub struct Exchanges {
    slots: Mutex<HashMap<Place, Arc<Slot>>>,
    exchangers: Mutex<HashMap<Arc<str>, Arc<Exchanger>>>,
}

/// One caller's token for one server; locked while it is fetched, so that others wait.
type Slot = tokio::sync::Mutex<Option<(HeaderValue, Instant)>>;

/// Where a server's tokens are exchanged.
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

    /// Exchanges a caller's token for one for a server.
    async fn exchange(
        &self,
        presented: &CallerToken,
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
            None => presented.exchange(&self.at, "access_token", &fields).await,
            Some(grant) => {
                let jag = presented.exchange(&self.at, ID_JAG, &fields).await;
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

impl Exchanges {
    /// Drops expired tokens.
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

    /// The slot of a caller's token for a server; `None` if the caller has no token to exchange.
    fn slot(&self, server: &Server, caller: &Caller) -> Result<Option<Arc<Slot>>, Failure> {
        let mark = match (&caller.grant, &caller.credential) {
            // By the login, whichever claims the provider returned last.
            (Some(grant), _) => seal::sha256(grant.as_bytes()),
            (None, Some(presented)) => presented.mark(),
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
