//! Credentials that users, agents, teams and tenants have provided for servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use crate::audit::{self, Act};
use crate::principals::subject;
use crate::seal::{MasterKey, SealError};
use crate::{Error, Kind, NotAName, Result, Store, delegated, grants, now, signing};

/// A stored credential: its owner and server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    pub server: String,
    pub owner_kind: Kind,
    pub owner: String,
    pub created: i64,
    pub changed: i64,
    #[serde(skip)]
    sealed: String,
}

impl Credential {
    /// The secret itself.
    pub fn open(&self, key: &MasterKey) -> std::result::Result<Zeroizing<String>, SealError> {
        key.open(&self.sealed, &place(&self.server, self.owner_kind, &self.owner))
    }

    fn read(row: &AnyRow) -> Result<Self> {
        let kind: String = row.try_get("owner_kind")?;
        Ok(Self {
            server: row.try_get("server")?,
            owner_kind: kind.parse().map_err(Error::Refused)?,
            owner: row.try_get("owner")?,
            created: row.try_get("created")?,
            changed: row.try_get("changed")?,
            sealed: row.try_get("sealed")?,
        })
    }
}

/// The place to which a secret is bound. Quoted, so that places are unambiguous.
pub(crate) fn place(server: &str, kind: Kind, owner: &str) -> String {
    format!("credential {server:?} {kind} {owner:?}")
}

/// Says what a row's secret is bound to.
type Place = fn(&str) -> String;

/// What else is sealed: tables, and the places of their rows by their ids.
const SEALED: [(&str, Place); 5] = [
    ("audit_keys", audit::key_place),
    ("oauth_grants", grants::place),
    ("signing_keys", signing::place),
    ("delegated", delegated::place),
    ("upstream_clients", delegated::client_place),
];

impl Store {
    /// Stores a credential, replacing an existing one.
    pub async fn put_credential(
        &self,
        key: &MasterKey,
        server: &str,
        owner: (Kind, &str),
        secret: &str,
    ) -> Result<()> {
        let (kind, name) = owner;
        NotAName::check(name).map_err(|error| Error::Refused(format!("'{name}': {error}")))?;
        let sealed = key.seal(secret, &place(server, kind, name))?;
        let mut change = self.change().await?;
        sqlx::query(
            "INSERT INTO credentials (server, owner_kind, owner, sealed, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (server, owner_kind, owner) DO UPDATE \
             SET sealed = excluded.sealed, changed = excluded.changed",
        )
        .bind(server)
        .bind(kind.as_str())
        .bind(name)
        .bind(sealed)
        .bind(now())
        .bind(now())
        .execute(&mut *change)
        .await?;
        change
            .commit(&Act::new("credential.put", server).with("owner", subject(kind, name)))
            .await?;
        Ok(())
    }

    pub async fn remove_credential(&self, server: &str, kind: Kind, owner: &str) -> Result<()> {
        let mut change = self.change().await?;
        let removed = sqlx::query(
            "DELETE FROM credentials WHERE server = $1 AND owner_kind = $2 AND owner = $3",
        )
        .bind(server)
        .bind(kind.as_str())
        .bind(owner)
        .execute(&mut *change)
        .await?;
        if removed.rows_affected() == 0 {
            return Err(Error::absent("credential", &format!("{server} {kind} {owner}")));
        }
        change
            .commit(&Act::new("credential.remove", server).with("owner", subject(kind, owner)))
            .await?;
        Ok(())
    }

    pub async fn credentials(&self) -> Result<Vec<Credential>> {
        let rows = sqlx::query(
            "SELECT server, owner_kind, owner, sealed, created, changed FROM credentials \
             ORDER BY server, owner_kind, owner",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Credential::read).collect()
    }

    /// Seals everything that is sealed under another master key, or nothing. Returns how many secrets
    /// there were.
    pub async fn rekey(&self, from: &MasterKey, to: &MasterKey) -> Result<usize> {
        let mut change = self.change().await?;
        let rows = sqlx::query(
            "SELECT server, owner_kind, owner, sealed, created, changed FROM credentials",
        )
        .fetch_all(&mut *change)
        .await?;
        let mut count = rows.len();
        for row in &rows {
            let one = Credential::read(row)?;
            let at = place(&one.server, one.owner_kind, &one.owner);
            let sealed = from.hand_over(to, &one.sealed, &at).map_err(|error| {
                let (kind, owner) = (one.owner_kind, &one.owner);
                Error::Refused(format!(
                    "the credential of {kind} {owner} for {}: {error}",
                    one.server
                ))
            })?;
            sqlx::query(
                "UPDATE credentials SET sealed = $1 WHERE server = $2 AND owner_kind = $3 \
                 AND owner = $4",
            )
            .bind(sealed)
            .bind(&one.server)
            .bind(one.owner_kind.as_str())
            .bind(&one.owner)
            .execute(&mut *change)
            .await?;
        }
        for (table, place) in SEALED {
            let all = format!("SELECT id, sealed FROM {table} WHERE sealed IS NOT NULL");
            let rows = sqlx::query(sqlx::AssertSqlSafe(all)).fetch_all(&mut *change).await?;
            count += rows.len();
            for row in &rows {
                let (id, sealed): (String, String) = (row.try_get("id")?, row.try_get("sealed")?);
                let sealed = from.hand_over(to, &sealed, &place(&id));
                let sealed =
                    sealed.map_err(|error| Error::Refused(format!("{}: {error}", place(&id))))?;
                let update = format!("UPDATE {table} SET sealed = $1 WHERE id = $2");
                sqlx::query(sqlx::AssertSqlSafe(update))
                    .bind(sealed)
                    .bind(id)
                    .execute(&mut *change)
                    .await?;
            }
        }
        change.commit(&Act::new("secrets.rekey", "store").with("count", count)).await?;
        Ok(count)
    }
}
