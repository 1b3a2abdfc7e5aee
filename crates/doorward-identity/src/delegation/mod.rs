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
use crate::oauth::{Client, Shows};
use crate::seal::Sealer;
use doorward_config::{Delegation, Secret, ServerSettings};
use doorward_net::outbound;

/// The gateway itself, as an owner.
pub const GATEWAY: &str = "gateway";
/// Owners whose tokens are at hand.
const MOST: usize = 10_000;
/// How long a token is used that does not say when it expires.
pub const UNSAID: Duration = Duration::from_secs(60 * 60);

/// All that was given, and what is needed to be given more.
#[derive(Debug, Default)]
pub struct Delegations {
    store: Option<Store>,
    master: Option<MasterKey>,
    sealer: Option<Sealer>,
    holders: Mutex<HashMap<(String, String), Arc<Holder>>>,
    /// Woken whenever somebody has given something.
    arrived: Notify,
}

/// The tokens of one owner for one server.
#[derive(Debug, Default)]
struct Holder {
    held: ArcSwapOption<Held>,
    /// Held while they are read or renewed, for all who wait.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    row: Delegated,
    tokens: Tokens,
    shown: HeaderValue,
    /// The server has refused it.
    refused: AtomicBool,
}

/// What an authorization server has given, as it is sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    pub issuer: String,
    pub token_endpoint: Url,
    /// The server has named the authorization server, and it is no other's neighbour.
    pub stranger: bool,
    pub access_token: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    pub issued: i64,
    pub expires: i64,
    pub scopes: String,
    pub resource: String,
    /// The gateway's name there, unless the operator has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Known>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What the gateway is known as where it has registered itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Secret>,
    /// The secret goes into the form.
    #[serde(default)]
    post: bool,
}

impl Known {
    pub fn by_document(url: &str) -> Self {
        Self { id: url.to_owned(), secret: None, post: false }
    }

    pub fn client(&self) -> Client {
        let shows = match &self.secret {
            None => Shows::Nothing,
            Some(secret) if self.post => Shows::Post(secret.clone()),
            Some(secret) => Shows::Basic(secret.clone()),
        };
        Client { id: self.id.clone(), shows }
    }
}

/// What the operator has registered by hand.
pub fn by_hand(settings: &Delegation) -> Option<Client> {
    Client::new(
        settings.client_id.as_deref()?,
        settings.client_secret.as_ref(),
        settings.private_key.as_ref(),
        settings.key_id.as_deref(),
    )
}

/// Why tokens cannot be had; for the operator.
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

/// Whose tokens they are: the user's, whichever agent acts for them.
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

    /// What seals links; `None` where nobody can give anything.
    pub fn sealer(&self) -> Option<&Sealer> {
        self.sealer.as_ref()
    }

    /// Where tokens are stored, and what seals them there.
    pub fn stored(&self) -> Result<(&Store, &MasterKey), Error> {
        match (&self.store, &self.master) {
            (Some(store), Some(master)) => Ok((store, master)),
            _ => Err("there is no store, or no 'store_key'".into()),
        }
    }

    fn holder(&self, server: &str, owner: &str) -> Arc<Holder> {
        let mut holders = self.holders.lock();
        if holders.len() >= MOST {
            // Those in use stay; the others are read again.
            holders.retain(|_, holder| Arc::strong_count(holder) > 1);
        }
        let place = (server.to_ascii_lowercase(), owner.to_owned());
        holders.entry(place).or_default().clone()
    }

    /// Reads everything again: somebody has taken something away.
    pub fn forget(&self) {
        self.holders.lock().clear();
    }

    /// What to show a server for an owner; `None` if they have given nothing.
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
                // Ahead of its time, while callers go on with what there is.
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

    /// The server has refused what was shown: it is renewed before it is shown again.
    pub fn refused(&self, server: &str, owner: &str, shown: &HeaderValue) {
        let holder = self.holder(server, owner);
        if let Some(held) = holder.held.load().as_ref().filter(|held| held.shown == *shown) {
            held.refused.store(true, Ordering::Release);
        }
    }

    /// Somebody has given something.
    pub fn arrived(&self, server: &str, owner: &str) {
        self.reread(server, owner);
        self.arrived.notify_waiters();
    }

    /// What is at hand of an owner's is read again the next time.
    pub fn reread(&self, server: &str, owner: &str) {
        self.holder(server, owner).held.store(None);
    }

    /// What an owner's token is good for, as far as it is at hand.
    pub fn scopes(&self, server: &str, owner: &str) -> Option<BTreeSet<String>> {
        let held = self.holder(server, owner).held.load_full()?;
        let scopes = held.tokens.scopes.split(' ').filter(|scope| !scope.is_empty());
        Some(scopes.map(str::to_owned).collect())
    }

    /// Waits until somebody has given something, here or on another replica.
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

    /// When it is renewed, and when it is not shown any more.
    fn times(&self) -> (i64, i64) {
        let (issued, lifetime) = (self.tokens.issued, self.tokens.expires - self.tokens.issued);
        (issued + lifetime * 3 / 4, issued + lifetime * 19 / 20)
    }
}
