//! Sessions of browsers at the console and the portal, and the tokens issued for them. Of the secret that a browser has, only
//! a hash is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Act, Change, Error, Result, Store, now};

/// One session, or one token of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrowserSession {
    /// A hash of the secret that the browser has; it reveals nothing about it.
    pub id: String,
    /// `console`, `portal`, or `token` for a token of a session.
    pub face: String,
    /// The session that a token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Who signed in, as audit records name them.
    pub principal: String,
    /// `user`, `agent` or `service_account`.
    pub kind: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `openid` or `key`.
    pub method: String,
    /// The ID of the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip)]
    pub subject: Option<String>,
    #[serde(skip)]
    pub sid: Option<String>,
    /// The address that signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip)]
    pub sealed: String,
    /// Seconds since 1970.
    pub created: i64,
    /// When it was last used, within a minute.
    pub used: i64,
    /// After how many seconds without use it ends.
    pub idle: i64,
    /// When it ends in any case.
    pub expires: i64,
}

impl BrowserSession {
    pub fn is_valid_at(&self, now: i64) -> bool {
        now < self.ends()
    }

    /// When it ends if it is not used again.
    pub fn ends(&self) -> i64 {
        self.expires.min(self.used.saturating_add(self.idle))
    }

    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            face: row.try_get("face")?,
            parent: row.try_get("parent")?,
            principal: row.try_get("principal")?,
            kind: row.try_get("kind")?,
            name: row.try_get("name")?,
            tenant: row.try_get("tenant")?,
            method: row.try_get("method")?,
            key: row.try_get("api_key")?,
            provider: row.try_get("provider")?,
            subject: row.try_get("subject")?,
            sid: row.try_get("sid")?,
            address: row.try_get("address")?,
            sealed: row.try_get("sealed")?,
            created: row.try_get("created")?,
            used: row.try_get("used")?,
            idle: row.try_get("idle")?,
            expires: row.try_get("expires")?,
        })
    }
}

/// Which sessions end.
#[derive(Debug, Clone, Copy)]
pub enum EndOf<'a> {
    /// One, by its ID.
    Session(&'a str),
    /// All of a principal.
    Principal(&'a str),
    /// Those of a login at a provider, by its session there.
    ProviderSession { provider: &'a str, sid: &'a str },
    /// All of a user of a provider.
    ProviderSubject { provider: &'a str, subject: &'a str },
}

impl EndOf<'_> {
    /// The condition, and its two values.
    fn condition(&self) -> (&'static str, [&str; 2]) {
        match *self {
            Self::Session(id) => ("id = $1 AND $2 = ''", [id, ""]),
            Self::Principal(principal) => ("principal = $1 AND $2 = ''", [principal, ""]),
            Self::ProviderSession { provider, sid } => {
                ("provider = $1 AND sid = $2", [provider, sid])
            }
            Self::ProviderSubject { provider, subject } => {
                ("provider = $1 AND subject = $2", [provider, subject])
            }
        }
    }

    /// Whether it is about a session.
    pub fn concerns(&self, session: &BrowserSession) -> bool {
        match *self {
            Self::Session(id) => session.id == id,
            Self::Principal(principal) => session.principal == principal,
            Self::ProviderSession { provider, sid } => {
                session.provider.as_deref() == Some(provider) && session.sid.as_deref() == Some(sid)
            }
            Self::ProviderSubject { provider, subject } => {
                session.provider.as_deref() == Some(provider)
                    && session.subject.as_deref() == Some(subject)
            }
        }
    }
}

impl Store {
    /// Stores a new session. Of those of its principal with the same face, only the newest `most` stay; tokens of ended
    /// sessions end.
    pub async fn put_browser_session(&self, session: &BrowserSession, most: i64) -> Result<()> {
        let mut change = self.write().await?;
        insert(&mut change, session).await?;
        sqlx::query(
            "DELETE FROM browser_sessions WHERE principal = $1 AND face = $2 AND id <> $3 AND id NOT IN \
             (SELECT id FROM browser_sessions WHERE principal = $1 AND face = $2 AND id <> $3 \
             ORDER BY created DESC, id LIMIT $4)",
        )
        .bind(&session.principal)
        .bind(&session.face)
        .bind(&session.id)
        .bind(most - 1)
        .execute(&mut *change)
        .await?;
        prune_tokens(&mut change).await?;
        change.commit_bookkeeping().await
    }

    pub async fn browser_session(&self, id: &str) -> Result<Option<BrowserSession>> {
        let row = sqlx::query("SELECT * FROM browser_sessions WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(BrowserSession::read).transpose()
    }

    /// All sessions that are valid, without tokens.
    pub async fn browser_sessions(&self) -> Result<Vec<BrowserSession>> {
        let rows = sqlx::query(
            "SELECT * FROM browser_sessions WHERE face <> 'token' AND expires > $1 AND used + idle > $1",
        )
        .bind(now())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(BrowserSession::read).collect()
    }

    /// Notes that a session is used.
    pub async fn use_browser_session(&self, id: &str) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE browser_sessions SET used = $1 WHERE id = $2 AND used < $1")
            .bind(now())
            .bind(id)
            .execute(&mut *change)
            .await?;
        change.commit_bookkeeping().await
    }

    /// Ends sessions, with their tokens. Returns how many sessions there were.
    pub async fn end_browser_sessions(&self, which: EndOf<'_>, act: Option<Act>) -> Result<u64> {
        let (condition, [one, other]) = which.condition();
        let mut change = self.write().await?;
        let query = format!("DELETE FROM browser_sessions WHERE face <> 'token' AND {condition}");
        let ended = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(one)
            .bind(other)
            .execute(&mut *change)
            .await?;
        prune_tokens(&mut change).await?;
        match act {
            Some(act) if ended.rows_affected() > 0 => change.commit(&act).await?,
            _ => change.commit_bookkeeping().await?,
        }
        Ok(ended.rows_affected())
    }

    /// The same for one session in the name of an administrator; it must exist.
    pub async fn end_browser_session(&self, id: &str) -> Result<()> {
        let act = Act::new("login.end_by_administrator", id);
        match self.end_browser_sessions(EndOf::Session(id), Some(act)).await? {
            0 => Err(Error::absent("login", id)),
            _ => Ok(()),
        }
    }

    /// Ends all sessions of a principal in the name of an administrator. Returns how many there were.
    pub async fn end_browser_sessions_of(&self, principal: &str) -> Result<u64> {
        let act = Act::new("login.end_by_administrator", principal);
        self.end_browser_sessions(EndOf::Principal(principal), Some(act)).await
    }

    /// Removes what has expired.
    pub async fn prune_browser_sessions(&self) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM browser_sessions WHERE expires <= $1 OR used + idle <= $1")
            .bind(now())
            .execute(&mut *change)
            .await?;
        prune_tokens(&mut change).await?;
        change.commit_bookkeeping().await
    }
}

async fn insert(change: &mut Change, session: &BrowserSession) -> Result<()> {
    sqlx::query(
        "INSERT INTO browser_sessions (id, face, parent, principal, kind, name, tenant, method, api_key, \
         provider, subject, sid, address, sealed, created, used, idle, expires) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(&session.id)
    .bind(&session.face)
    .bind(&session.parent)
    .bind(&session.principal)
    .bind(&session.kind)
    .bind(&session.name)
    .bind(&session.tenant)
    .bind(&session.method)
    .bind(&session.key)
    .bind(&session.provider)
    .bind(&session.subject)
    .bind(&session.sid)
    .bind(&session.address)
    .bind(&session.sealed)
    .bind(session.created)
    .bind(session.used)
    .bind(session.idle)
    .bind(session.expires)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Removes tokens whose sessions have ended.
async fn prune_tokens(change: &mut Change) -> Result<()> {
    sqlx::query(
        "DELETE FROM browser_sessions WHERE parent IS NOT NULL AND parent NOT IN \
         (SELECT id FROM browser_sessions WHERE parent IS NULL)",
    )
    .execute(&mut **change)
    .await?;
    Ok(())
}
