//! Reads tokens from the store, and refreshes them: one caller on one replica does it for all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_store::now;
use http::HeaderValue;

use super::{Delegations, Error, Held, Holder, Known, Tokens, UNSAID, by_hand};
use crate::oauth::Fetched;
use doorward_config::{Delegation, Secret};
use doorward_net::outbound::Author;

/// How long to wait for another replica that is refreshing the token.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOKS: Duration = Duration::from_millis(200);

impl Delegations {
    /// Reads the stored token, and refreshes it if necessary. `None` if there is none or its grant has ended.
    pub(super) async fn settle(
        &self,
        holder: &Holder,
        server: &str,
        settings: &Delegation,
        owner: &str,
    ) -> Result<Option<HeaderValue>, Error> {
        let _flight = holder.flight.lock().await;
        let (store, master) = self.stored()?;
        let end = tokio::time::Instant::now() + PATIENCE;
        let before = holder.held.load_full();
        loop {
            let Some(row) = store.delegated(server, owner).await? else {
                holder.held.store(None);
                return Ok(None);
            };
            let held = Held::new(row, master)?;
            // It may have been refreshed in the meantime, in this process or on another replica.
            let same = before.as_ref().is_some_and(|before| before.shown == held.shown);
            let refused =
                same && before.as_ref().is_some_and(|b| b.refused.load(Ordering::Acquire));
            if now() < held.times().0 && !refused {
                holder.held.store(Some(held.clone()));
                return Ok(Some(held.shown.clone()));
            }
            if held.tokens.refresh_token.is_none() {
                // It cannot be refreshed, so it is used until it expires.
                let good = now() < held.times().1 && !refused;
                holder.held.store(good.then(|| held.clone()));
                return Ok(good.then(|| held.shown.clone()));
            }
            if store.may_renew(&held.row).await? {
                return self.renew(holder, &held, settings, refused).await;
            }
            if tokio::time::Instant::now() >= end {
                return Err("another replica is refreshing the token and does not finish".into());
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    async fn renew(
        &self,
        holder: &Holder,
        held: &Arc<Held>,
        settings: &Delegation,
        refused: bool,
    ) -> Result<Option<HeaderValue>, Error> {
        let (store, master) = self.stored()?;
        let (server, owner) = (&held.row.server, &held.row.owner);
        let tokens = &held.tokens;
        let client = tokens.client.as_ref().map(Known::client).or_else(|| by_hand(settings));
        let client = client.ok_or("the gateway's client ID there is no longer valid")?;
        let refresh_token = tokens.refresh_token.as_ref().map_or("", Secret::expose);
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("resource", &tokens.resource),
        ];
        let author = if tokens.stranger { Author::Stranger } else { Author::Operator };
        let fetched = client.fetch(&tokens.token_endpoint, author, &tokens.issuer, &fields).await;
        match fetched {
            Ok(fetched) => {
                let renewed =
                    tokens.renewed(&fetched).ok_or("the response contains no bearer token")?;
                let secret = serde_json::to_string(&renewed).map_err(|error| error.to_string())?;
                let secret = zeroize::Zeroizing::new(secret);
                store.renew_delegated(master, server, owner, &secret).await?;
                let row = store.delegated(server, owner).await?.ok_or("it was revoked")?;
                let held = Held::new(row, master)?;
                holder.held.store(Some(held.clone()));
                tracing::debug!(server, owner, "a token was refreshed");
                Ok(Some(held.shown.clone()))
            }
            Err(error) if error.is_final() => {
                tracing::info!(server, owner, "a grant has ended: {error}");
                holder.held.store(None);
                store.remove_delegated(server, owner).await?;
                Ok(None)
            }
            // It is used until it expires.
            Err(error) if now() < held.times().1 && !refused => {
                tracing::warn!(server, owner, "refreshing a token failed: {error}");
                holder.held.store(Some(held.clone()));
                Ok(Some(held.shown.clone()))
            }
            Err(error) => Err(Error::Failed(error.to_string())),
        }
    }
}

impl Tokens {
    /// The refreshed tokens. Values missing in the response are retained (RFC 6749 section 6).
    fn renewed(&self, fetched: &Fetched) -> Option<Self> {
        let lifetime = i64::try_from(fetched.lifetime(UNSAID).as_secs()).unwrap_or(0);
        let refresh_token = fetched.text("refresh_token").map(|token| Secret(token.to_owned()));
        Some(Self {
            access_token: Secret(fetched.bearer()?.to_owned()),
            refresh_token: refresh_token.or_else(|| self.refresh_token.clone()),
            issued: now(),
            expires: now() + lifetime,
            scopes: fetched.text("scope").unwrap_or(&self.scopes).to_owned(),
            ..self.clone()
        })
    }
}
