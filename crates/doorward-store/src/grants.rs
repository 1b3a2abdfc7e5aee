//! Users' consent (grants), and the codes and refresh tokens issued for it. Codes and tokens are
//! stored as hashes; each is used once.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use crate::seal::{MasterKey, SealError};
use crate::{Act, Change, Error, Result, Store, now, sha256_hex};

/// Seconds for which ended grants are retained: until then, everything issued for them has expired.
const AFTERLIFE: i64 = 24 * 60 * 60;

/// A user's consent to one client, given at login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OAuthGrant {
    pub id: String,
    pub client: String,
    pub client_name: String,
    /// The user's subject at the identity provider.
    pub subject: String,
    /// Further claims of the provider, as JSON.
    #[serde(skip)]
    pub claims: String,
    pub resource: String,
    pub scopes: BTreeSet<String>,
    pub created: i64,
    pub expires: i64,
    pub revoked: Option<i64>,
    #[serde(skip)]
    sealed: Option<String>,
}

/// A grant to be stored.
#[derive(Debug)]
pub struct NewGrant<'a> {
    pub id: &'a str,
    pub client: &'a str,
    pub client_name: &'a str,
    pub subject: &'a str,
    pub claims: &'a str,
    pub resource: &'a str,
    pub scopes: &'a BTreeSet<String>,
    /// Tokens that the identity provider issued for the user.
    pub secret: Option<&'a str>,
    pub expires: i64,
}

/// A code or refresh token to be stored.
#[derive(Debug)]
pub struct NewTicket<'a> {
    pub kind: TicketKind,
    pub secret: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub challenge: Option<&'a str>,
    pub expires: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketKind {
    Code,
    Refresh,
}

impl TicketKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Refresh => "refresh",
        }
    }
}

/// A stored code or refresh token, with its grant.
#[derive(Debug)]
pub struct Ticket {
    pub grant: OAuthGrant,
    pub redirect_uri: Option<String>,
    pub challenge: Option<String>,
    pub expires: i64,
    /// When it was used.
    pub used: Option<i64>,
}

const COLUMNS: &str = "g.id, g.client, g.client_name, g.subject, g.claims, g.resource, g.scopes, \
                       g.sealed, g.created, g.expires, g.revoked";

impl OAuthGrant {
    /// Tokens that the identity provider issued for the user.
    pub fn secret(
        &self,
        key: &MasterKey,
    ) -> std::result::Result<Option<Zeroizing<String>>, SealError> {
        let open = |sealed: &String| key.open(sealed, &place(&self.id));
        self.sealed.as_ref().map(open).transpose()
    }

    pub fn is_good_at(&self, now: i64) -> bool {
        self.revoked.is_none() && now < self.expires
    }

    fn read(row: &AnyRow) -> Result<Self> {
        let scopes: String = row.try_get("scopes")?;
        Ok(Self {
            id: row.try_get("id")?,
            client: row.try_get("client")?,
            client_name: row.try_get("client_name")?,
            subject: row.try_get("subject")?,
            claims: row.try_get("claims")?,
            resource: row.try_get("resource")?,
            scopes: serde_json::from_str(&scopes)?,
            created: row.try_get("created")?,
            expires: row.try_get("expires")?,
            revoked: row.try_get("revoked")?,
            sealed: row.try_get("sealed")?,
        })
    }
}

/// The context that a grant's secret is bound to.
pub(crate) fn place(id: &str) -> String {
    format!("grant {id:?}")
}

/// The audit record of a grant.
fn granted(grant: &NewGrant<'_>) -> Act {
    Act::new("grant.create", grant.id)
        .with("client", grant.client)
        .with("subject", grant.subject)
        .with("resource", grant.resource)
        .with("scopes", grant.scopes)
        .with("expires", grant.expires)
}

/// The stored hash of a secret. The secret has enough entropy that it needs no salt.
pub fn hash_of(secret: &str) -> String {
    sha256_hex(secret.as_bytes())
}

impl Store {
    /// Stores a grant and its code, once per login.
    pub async fn put_grant(
        &self,
        key: &MasterKey,
        login: &str,
        grant: &NewGrant<'_>,
        code: &NewTicket<'_>,
    ) -> Result<()> {
        let sealed = grant.secret.map(|secret| key.seal(secret, &place(grant.id))).transpose()?;
        let mut change = self.write().await?;
        if !once(&mut change, login, now() + AFTERLIFE).await? {
            return Err(Error::Refused("the login is already complete".into()));
        }
        sqlx::query(
            "INSERT INTO oauth_grants (id, client, client_name, subject, claims, resource, scopes, \
             sealed, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(grant.id)
        .bind(grant.client)
        .bind(grant.client_name)
        .bind(grant.subject)
        .bind(grant.claims)
        .bind(grant.resource)
        .bind(serde_json::to_string(grant.scopes)?)
        .bind(sealed)
        .bind(now())
        .bind(grant.expires)
        .execute(&mut *change)
        .await?;
        insert(&mut change, grant.id, code).await?;
        sqlx::query("UPDATE oauth_clients SET used = $1 WHERE id = $2")
            .bind(now())
            .bind(grant.client)
            .execute(&mut *change)
            .await?;
        change.commit(&granted(grant)).await?;
        Ok(())
    }

    pub async fn put_ticket(&self, grant: &str, ticket: &NewTicket<'_>) -> Result<()> {
        let mut change = self.write().await?;
        insert(&mut change, grant, ticket).await?;
        change.commit_bookkeeping().await?;
        Ok(())
    }

    /// Finds a code or refresh token, even if used or expired.
    pub async fn ticket(&self, kind: TicketKind, secret: &str) -> Result<Option<Ticket>> {
        let query = format!(
            "SELECT {COLUMNS}, t.redirect_uri, t.challenge, t.expires AS ends, t.used \
             FROM oauth_tickets t JOIN oauth_grants g ON g.id = t.grant_id \
             WHERE t.hash = $1 AND t.kind = $2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(hash_of(secret))
            .bind(kind.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Ticket {
            grant: OAuthGrant::read(&row)?,
            redirect_uri: row.try_get("redirect_uri")?,
            challenge: row.try_get("challenge")?,
            expires: row.try_get("ends")?,
            used: row.try_get("used")?,
        }))
    }

    /// Uses a code or refresh token. Of concurrent callers, only one gets `true`.
    pub async fn use_ticket(&self, secret: &str) -> Result<bool> {
        let mut change = self.write().await?;
        let used =
            sqlx::query("UPDATE oauth_tickets SET used = $1 WHERE hash = $2 AND used IS NULL")
                .bind(now())
                .bind(hash_of(secret))
                .execute(&mut *change)
                .await?;
        change.commit_bookkeeping().await?;
        Ok(used.rows_affected() == 1)
    }

    /// All active grants, newest first; with `with_revoked`, also those that were revoked.
    pub async fn grants(&self, with_revoked: bool) -> Result<Vec<OAuthGrant>> {
        let only = if with_revoked { "" } else { "AND g.revoked IS NULL" };
        let query = format!(
            "SELECT {COLUMNS} FROM oauth_grants g WHERE g.expires > $1 {only} \
             ORDER BY g.created DESC, g.id"
        );
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(now()).fetch_all(&self.pool).await?;
        rows.iter().map(OAuthGrant::read).collect()
    }

    pub async fn grant(&self, id: &str) -> Result<Option<OAuthGrant>> {
        let query = format!("SELECT {COLUMNS} FROM oauth_grants g WHERE g.id = $1");
        let row =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(OAuthGrant::read).transpose()
    }

    /// Revokes a grant with its codes and tokens. Idempotent.
    pub async fn revoke_grant(&self, id: &str) -> Result<OAuthGrant> {
        let mut change = self.change().await?;
        let revoked =
            sqlx::query("UPDATE oauth_grants SET revoked = COALESCE(revoked, $1) WHERE id = $2")
                .bind(now())
                .bind(id)
                .execute(&mut *change)
                .await?;
        if revoked.rows_affected() == 0 {
            return Err(Error::absent("grant", id));
        }
        change.commit(&Act::new("grant.revoke", id)).await?;
        self.grant(id).await?.ok_or_else(|| Error::absent("grant", id))
    }

    /// Ids of grants revoked since a time: tokens issued for them may not have expired yet.
    pub async fn revoked_grants(&self, since: i64) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT id FROM oauth_grants WHERE revoked >= $1")
            .bind(since)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }

    /// Stores the claims and tokens that the provider returned on refresh.
    pub async fn renew_grant(
        &self,
        key: &MasterKey,
        id: &str,
        claims: &str,
        secret: Option<&str>,
    ) -> Result<()> {
        let sealed = secret.map(|secret| key.seal(secret, &place(id))).transpose()?;
        let mut change = self.write().await?;
        sqlx::query("UPDATE oauth_grants SET claims = $1, sealed = $2 WHERE id = $3")
            .bind(claims)
            .bind(sealed)
            .bind(id)
            .execute(&mut *change)
            .await?;
        change.commit_bookkeeping().await?;
        Ok(())
    }

    /// Whether an id is seen for the first time. It is remembered until `until`, in seconds since
    /// 1970.
    pub async fn is_first(&self, id: &str, until: i64) -> Result<bool> {
        let mut change = self.write().await?;
        let first = once(&mut change, id, until).await?;
        change.commit_bookkeeping().await?;
        Ok(first)
    }

    /// Deletes what has expired.
    pub async fn prune_grants(&self) -> Result<()> {
        let mut change = self.write().await?;
        for (query, before) in [
            ("DELETE FROM oauth_once WHERE expires < $1", now()),
            ("DELETE FROM oauth_grants WHERE expires < $1", now() - AFTERLIFE),
            ("DELETE FROM oauth_clients WHERE used IS NULL AND created < $1", now() - AFTERLIFE),
        ] {
            sqlx::query(query).bind(before).execute(&mut *change).await?;
        }
        change.commit_bookkeeping().await?;
        Ok(())
    }
}

async fn insert(change: &mut Change, grant: &str, ticket: &NewTicket<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO oauth_tickets (hash, kind, grant_id, redirect_uri, challenge, expires) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(hash_of(ticket.secret))
    .bind(ticket.kind.as_str())
    .bind(grant)
    .bind(ticket.redirect_uri)
    .bind(ticket.challenge)
    .bind(ticket.expires)
    .execute(&mut **change)
    .await?;
    Ok(())
}

async fn once(change: &mut Change, id: &str, until: i64) -> Result<bool> {
    let put = sqlx::query(
        "INSERT INTO oauth_once (id, expires) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(hash_of(id))
    .bind(until)
    .execute(&mut **change)
    .await?;
    Ok(put.rows_affected() == 1)
}
