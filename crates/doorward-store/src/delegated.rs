//! Users' grants at the authorization servers of upstream servers, and the gateway's client
//! registrations there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use crate::seal::{MasterKey, SealError};
use crate::{Act, Change, Error, Result, Store, now};

/// Seconds for which other replicas wait for one replica to refresh a token.
const RENEWING: i64 = 20;

/// Stored tokens of one owner for one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delegated {
    pub server: String,
    /// The owner: a kind and a quoted name, or the gateway itself.
    pub owner: String,
    pub changed: i64,
    #[serde(skip)]
    sealed: String,
}

impl Delegated {
    pub fn open(&self, key: &MasterKey) -> std::result::Result<Zeroizing<String>, SealError> {
        key.open(&self.sealed, &place(&id(&self.server, &self.owner)))
    }

    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            server: row.try_get("server")?,
            owner: row.try_get("owner")?,
            changed: row.try_get("changed")?,
            sealed: row.try_get("sealed")?,
        })
    }
}

/// Quoted, so that ids are unambiguous; names of servers never differ in case alone.
fn id(server: &str, owner: &str) -> String {
    format!("{:?} {owner:?}", server.to_ascii_lowercase())
}

pub(crate) fn place(id: &str) -> String {
    format!("delegated {id}")
}

pub(crate) fn client_place(id: &str) -> String {
    format!("upstream client {id:?}")
}

impl Store {
    /// Stores newly consented tokens, replacing earlier ones. Replicas that have the earlier ones
    /// cached continue with the new ones.
    pub async fn put_delegated(
        &self,
        key: &MasterKey,
        server: &str,
        owner: &str,
        secret: &str,
    ) -> Result<()> {
        let change = self.keep_delegated(key, server, owner, secret).await?;
        let act = Act::new("delegation.put", server).with("owner", owner);
        change.commit(&act).await
    }

    /// Stores refreshed tokens in place of those they were issued for.
    pub async fn renew_delegated(
        &self,
        key: &MasterKey,
        server: &str,
        owner: &str,
        secret: &str,
    ) -> Result<()> {
        self.keep_delegated(key, server, owner, secret).await?.commit_bookkeeping().await
    }

    async fn keep_delegated(
        &self,
        key: &MasterKey,
        server: &str,
        owner: &str,
        secret: &str,
    ) -> Result<Change> {
        let id = id(server, owner);
        let sealed = key.seal(secret, &place(&id))?;
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO delegated (id, server, owner, sealed, changed) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, changed = excluded.changed, \
             renewing = NULL",
        )
        .bind(id)
        .bind(server)
        .bind(owner)
        .bind(sealed)
        .bind(now())
        .execute(&mut *change)
        .await?;
        Ok(change)
    }

    pub async fn delegated(&self, server: &str, owner: &str) -> Result<Option<Delegated>> {
        let row = sqlx::query("SELECT server, owner, sealed, changed FROM delegated WHERE id = $1")
            .bind(id(server, owner))
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(Delegated::read).transpose()
    }

    /// The grants of one owner.
    pub async fn delegated_of(&self, owner: &str) -> Result<Vec<Delegated>> {
        let rows = sqlx::query(
            "SELECT server, owner, sealed, changed FROM delegated WHERE owner = $1 ORDER BY id",
        )
        .bind(owner)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Delegated::read).collect()
    }

    pub async fn all_delegated(&self) -> Result<Vec<Delegated>> {
        let rows = sqlx::query("SELECT server, owner, sealed, changed FROM delegated ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(Delegated::read).collect()
    }

    /// Claims the refresh of tokens for this replica, unless they have changed since.
    pub async fn may_renew(&self, known: &Delegated) -> Result<bool> {
        let mut change = self.write().await?;
        let claimed = sqlx::query(
            "UPDATE delegated SET renewing = $1 WHERE id = $2 AND sealed = $3 \
             AND (renewing IS NULL OR renewing < $4)",
        )
        .bind(now())
        .bind(id(&known.server, &known.owner))
        .bind(&known.sealed)
        .bind(now() - RENEWING)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        Ok(claimed.rows_affected() == 1)
    }

    /// Deletes tokens, on every replica.
    pub async fn remove_delegated(&self, server: &str, owner: &str) -> Result<()> {
        let mut change = self.change().await?;
        let removed = sqlx::query("DELETE FROM delegated WHERE id = $1")
            .bind(id(server, owner))
            .execute(&mut *change)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(Error::absent("grant", &format!("{server} {owner}")));
        }
        change.commit(&Act::new("delegation.remove", server).with("owner", owner)).await?;
        Ok(())
    }

    /// Stores the gateway's client registration at an authorization server.
    pub async fn put_upstream_client(&self, key: &MasterKey, id: &str, secret: &str) -> Result<()> {
        let sealed = key.seal(secret, &client_place(id))?;
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO upstream_clients (id, sealed, created) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, created = excluded.created",
        )
        .bind(id)
        .bind(sealed)
        .bind(now())
        .execute(&mut *change)
        .await?;
        change.commit(&Act::new("upstream_client.put", id)).await?;
        Ok(())
    }

    pub async fn upstream_client(
        &self,
        key: &MasterKey,
        id: &str,
    ) -> Result<Option<Zeroizing<String>>> {
        let row = sqlx::query("SELECT sealed FROM upstream_clients WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let sealed: String = row.try_get("sealed")?;
        Ok(Some(key.open(&sealed, &client_place(id))?))
    }

    pub async fn remove_upstream_client(&self, id: &str) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM upstream_clients WHERE id = $1")
            .bind(id)
            .execute(&mut *change)
            .await?;
        change.commit(&Act::new("upstream_client.remove", id)).await?;
        Ok(())
    }
}
