//! Delegation: users authorize the gateway to call servers on their behalf (OAuth 2.1; spec 2026-07-28
//! basic/authorization). Users without a grant are sent to the server's own authorization server. Grants are stored
//! encrypted, refreshed before they expire by one request for all callers, and sent only to that server.

pub mod discover;
pub mod link;
mod renew;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use doorward_store::{Delegated, MasterKey, Store, now};
use http::HeaderValue;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use url::Url;

use crate::identity::Principal;
use crate::identity::directory::kind_of;
use crate::oauth::{Authentication, Client};
use crate::seal::Sealer;
use doorward_config::{Delegation, Secret, ServerSettings};
use doorward_net::outbound;

/// The owner name of the gateway itself.
pub const GATEWAY: &str = "gateway";
/// Maximum number of cached owners. Beyond it, unused ones are removed.
const MOST: usize = 10_000;
/// Assumed lifetime of a token without `expires_in`.
pub const UNSAID: Duration = Duration::from_secs(60 * 60);

/// All delegated tokens.
#[derive(Debug, Default)]
pub struct Delegations {
    store: Option<Store>,
    master: Option<MasterKey>,
    sealer: Option<Sealer>,
    holders: Mutex<HashMap<(String, String), Arc<Holder>>>,
    /// Notified when a user has authorized the gateway.
    arrived: Notify,
}

/// The tokens of one owner for one server.
#[derive(Debug, Default)]
struct Holder {
    held: ArcSwapOption<Held>,
    /// Locked while tokens are read or refreshed, for all waiters.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    row: Delegated,
    tokens: Tokens,
    shown: HeaderValue,
    /// The server has rejected it.
    refused: AtomicBool,
}

/// The tokens of an authorization server, in the form in which they are encrypted.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    pub issuer: String,
    pub token_endpoint: Url,
    /// The server named the authorization server, and it is at another origin: only public addresses are allowed.
    pub stranger: bool,
    pub access_token: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    pub issued: i64,
    pub expires: i64,
    pub scopes: String,
    pub resource: String,
    /// The gateway's client there, unless it is from the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Known>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The gateway's client at an authorization server where it registered itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Secret>,
    /// The secret is sent in the form.
    #[serde(default)]
    post: bool,
}

impl Known {
    pub fn by_document(url: &str) -> Self {
        Self { id: url.to_owned(), secret: None, post: false }
    }

    pub fn client(&self) -> Client {
        let authentication = match &self.secret {
            None => Authentication::Nothing,
            Some(secret) if self.post => Authentication::Post(secret.clone()),
            Some(secret) => Authentication::Basic(secret.clone()),
        };
        Client { id: self.id.clone(), authentication }
    }
}

/// The client in the configuration.
pub fn by_hand(settings: &Delegation) -> Option<Client> {
    Client::new(
        settings.client_id.as_deref()?,
        settings.client_secret.as_ref(),
        settings.private_key.as_ref(),
        settings.key_id.as_deref(),
    )
}

/// Why tokens are unavailable; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store: {0}")]
    Store(#[from] doorward_store::Error),
    #[error("{0}")]
    Failed(String),
}

impl From<String> for Error {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<&str> for Error {
    fn from(why: &str) -> Self {
        Self::Failed(why.to_owned())
    }
}

/// The owner of tokens: the user, whichever agent acts on behalf of them.
pub fn owner(principal: &Principal) -> String {
    format!("{} {:?}", kind_of(principal.who.kind), principal.who.id)
}

impl Delegations {
    pub fn new(store: Option<Store>, key: Option<&Secret>) -> Self {
        Self {
            store,
            master: key.and_then(|key| MasterKey::new(key.expose()).ok()),
            sealer: key.and_then(|key| Sealer::new(Some(key)).ok()),
            ..Self::default()
        }
    }

    /// Seals links; `None` without a `store_key`.
    pub fn sealer(&self) -> Option<&Sealer> {
        self.sealer.as_ref()
    }

    /// The store, and the key that encrypts tokens in it.
    pub fn stored(&self) -> Result<(&Store, &MasterKey), Error> {
        match (&self.store, &self.master) {
            (Some(store), Some(master)) => Ok((store, master)),
            _ => Err("there is no store, or no 'store_key'".into()),
        }
    }

    fn holder(&self, server: &str, owner: &str) -> Arc<Holder> {
        let mut holders = self.holders.lock();
        if holders.len() >= MOST {
            // Entries in use remain; the others are read again when needed.
            holders.retain(|_, holder| Arc::strong_count(holder) > 1);
        }
        let place = (server.to_ascii_lowercase(), owner.to_owned());
        holders.entry(place).or_default().clone()
    }

    /// Clears the cache, because tokens may have been removed from the store.
    pub fn forget(&self) {
        self.holders.lock().clear();
    }

    /// The credential for a server on behalf of an owner; `None` if the owner has not authorized the gateway.
    pub async fn token(
        self: &Arc<Self>,
        server: &str,
        settings: &ServerSettings,
        owner: &str,
    ) -> Result<Option<HeaderValue>, Error> {
        let Some(settings) = &settings.delegated else { return Ok(None) };
        let holder = self.holder(server, owner);
        if let Some(held) = holder.held.load_full() {
            let (refresh, expires) = held.times();
            let now = now();
            if now < refresh && !held.refused.load(Ordering::Acquire) {
                return Ok(Some(held.shown.clone()));
            }
            if now < expires && !held.refused.load(Ordering::Acquire) {
                // Refreshed in the background while callers use the current token.
                if let Ok(flight) = holder.flight.try_lock() {
                    drop(flight);
                    let (this, holder, settings) = (self.clone(), holder.clone(), settings.clone());
                    let (server, owner) = (server.to_owned(), owner.to_owned());
                    tokio::spawn(async move {
                        if let Err(error) = this.settle(&holder, &server, &settings, &owner).await {
                            tracing::warn!(server, owner, "refreshing a token failed: {error}");
                        }
                    });
                }
                return Ok(Some(held.shown.clone()));
            }
        }
        self.settle(&holder, server, settings, owner).await
    }

    /// Marks a credential that the server has rejected, so that it is refreshed before the next use.
    pub fn refused(&self, server: &str, owner: &str, shown: &HeaderValue) {
        let holder = self.holder(server, owner);
        if let Some(held) = holder.held.load().as_ref().filter(|held| held.shown == *shown) {
            held.refused.store(true, Ordering::Release);
        }
    }

    /// Called when a user has authorized the gateway.
    pub fn arrived(&self, server: &str, owner: &str) {
        self.reread(server, owner);
        self.arrived.notify_waiters();
    }

    /// Removes an owner's tokens from the cache, so that they are read again.
    pub fn reread(&self, server: &str, owner: &str) {
        self.holder(server, owner).held.store(None);
    }

    /// The scopes of an owner's token, if it is cached.
    pub fn scopes(&self, server: &str, owner: &str) -> Option<BTreeSet<String>> {
        let held = self.holder(server, owner).held.load_full()?;
        let scopes = held.tokens.scopes.split(' ').filter(|scope| !scope.is_empty());
        Some(scopes.map(str::to_owned).collect())
    }

    /// Waits up to 500 ms for a user to authorize the gateway here. Afterwards, the caller checks the store for other
    /// replicas.
    pub async fn news(&self) {
        let _ = tokio::time::timeout(Duration::from_millis(500), self.arrived.notified()).await;
    }
}

impl Held {
    fn new(row: Delegated, master: &MasterKey) -> Result<Arc<Self>, Error> {
        let text = row.open(master).map_err(|error| error.to_string())?;
        let tokens: Tokens =
            serde_json::from_str(&text).map_err(|error| format!("cannot be read: {error}"))?;
        let shown = outbound::bearer(tokens.access_token.expose());
        let shown = shown.ok_or("the token is not a valid header value")?;
        Ok(Arc::new(Self { row, tokens, shown, refused: AtomicBool::new(false) }))
    }

    /// When it is refreshed, and when it is no longer used, in seconds since 1970.
    fn times(&self) -> (i64, i64) {
        let (issued, lifetime) = (self.tokens.issued, self.tokens.expires - self.tokens.issued);
        (issued + lifetime * 3 / 4, issued + lifetime * 19 / 20)
    }
}
