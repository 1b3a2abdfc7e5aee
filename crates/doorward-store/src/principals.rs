//! The directory of users, agents, service accounts, teams and tenants.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Act, Error, Result, Store, now};

/// Maximum length of names.
const MAX_NAME: usize = 256;

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    User,
    Agent,
    ServiceAccount,
    Team,
    Tenant,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::User, Self::Agent, Self::ServiceAccount, Self::Team, Self::Tenant];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::ServiceAccount => "service_account",
            Self::Team => "team",
            Self::Tenant => "tenant",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let text = text.replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| "expected user, agent, service_account, team or tenant".into())
    }
}

/// Why a name is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name must have 1 to 256 characters, all of them visible")]
pub struct NotAName;

impl NotAName {
    /// Names come from people and providers: any script is allowed, but no invisible characters.
    pub fn check(name: &str) -> std::result::Result<(), Self> {
        let visible = name.trim() == name
            && name.chars().all(|c| !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'));
        if name.is_empty() || name.len() > MAX_NAME || !visible { Err(Self) } else { Ok(()) }
    }
}

/// The subject of an audit record: `user alice`.
pub(crate) fn subject(kind: Kind, name: &str) -> String {
    format!("{kind} {name}")
}

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    pub kind: Kind,
    pub name: String,
    /// The tenant it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// Whether the principal is disabled: all its credentials are refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

impl Entry {
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
            tenant: None,
            teams: BTreeSet::new(),
            roles: BTreeSet::new(),
            disabled: false,
        }
    }

    pub(crate) fn read(row: &AnyRow) -> Result<Self> {
        let kind: String = row.try_get("kind")?;
        let teams: String = row.try_get("teams")?;
        let roles: String = row.try_get("roles")?;
        Ok(Self {
            kind: kind.parse().map_err(Error::Refused)?,
            name: row.try_get("name")?,
            tenant: row.try_get("tenant")?,
            teams: serde_json::from_str(&teams)?,
            roles: serde_json::from_str(&roles)?,
            disabled: row.try_get::<i64, _>("disabled")? != 0,
        })
    }
}

impl Store {
    /// Creates an entry, or replaces it as a whole.
    pub async fn put_principal(&self, entry: &Entry) -> Result<()> {
        let names = [Some(&entry.name), entry.tenant.as_ref()];
        for name in names.into_iter().flatten().chain(&entry.teams).chain(&entry.roles) {
            NotAName::check(name).map_err(|error| Error::Refused(format!("'{name}': {error}")))?;
        }
        let mut change = self.change().await?;
        sqlx::query(
            "INSERT INTO principals (kind, name, tenant, teams, roles, disabled, created) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (kind, name) DO UPDATE SET \
             tenant = excluded.tenant, teams = excluded.teams, roles = excluded.roles, \
             disabled = excluded.disabled",
        )
        .bind(entry.kind.as_str())
        .bind(&entry.name)
        .bind(entry.tenant.as_deref())
        .bind(serde_json::to_string(&entry.teams)?)
        .bind(serde_json::to_string(&entry.roles)?)
        .bind(i64::from(entry.disabled))
        .bind(now())
        .execute(&mut *change)
        .await?;
        change
            .commit(
                &Act::new("principal.put", subject(entry.kind, &entry.name)).with("entry", entry),
            )
            .await?;
        Ok(())
    }

    pub async fn remove_principal(&self, kind: Kind, name: &str) -> Result<()> {
        let mut change = self.change().await?;
        let removed = sqlx::query("DELETE FROM principals WHERE kind = $1 AND name = $2")
            .bind(kind.as_str())
            .bind(name)
            .execute(&mut *change)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(Error::absent(kind.as_str(), name));
        }
        change.commit(&Act::new("principal.remove", subject(kind, name))).await?;
        Ok(())
    }

    pub async fn principals(&self) -> Result<Vec<Entry>> {
        let rows = sqlx::query(
            "SELECT kind, name, tenant, teams, roles, disabled FROM principals ORDER BY kind, name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Entry::read).collect()
    }
}
