//! Servers and their steps, as rows of the database.

use doorward_governance::lifecycle::{State, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Change, Error, Result, now};

/// Maximum number of proposals awaiting review: per proposer, and in total.
const MOST_OPEN_OF_ONE: i64 = 20;
const MOST_OPEN: i64 = 200;
/// Maximum number of servers proposed at run time, in any state.
const MOST_SERVERS: i64 = 2_000;
/// Steps retained per server; the audit log has all of them.
const MOST_STEPS: i64 = 1_000;

/// The origin of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerOrigin {
    /// The configuration file.
    File,
    /// A proposal at run time.
    RunTime,
}

impl ServerOrigin {
    fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::RunTime => "run_time",
        }
    }
}

/// The deprecation notice that clients of a server receive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Deprecation {
    /// Why, in words for users.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The server to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// The day after which it is gone, such as `2027-01-31`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retires: Option<String>,
}

/// A server and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredServer {
    pub name: String,
    pub origin: ServerOrigin,
    pub state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_from: Option<State>,
    /// As JSON; empty for a server of the configuration file.
    #[serde(skip)]
    pub spec: String,
    /// SHA-256 of the approved settings, in hexadecimal.
    pub digest: String,
    /// Whether it may be at addresses that are not public.
    pub allow_private: bool,
    pub proposed_by: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub proposed: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation: Option<Deprecation>,
    /// Counts its changes.
    pub revision: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: i64,
}

/// One step of a server's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStep {
    pub n: i64,
    pub step: String,
    pub from: State,
    pub to: State,
    pub who: String,
    /// The channel: `command`, `admin`, `gateway`.
    pub via: String,
    pub why: String,
    pub at: i64,
}

/// The result of an inspection of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLook {
    /// Digest of the inspected settings.
    pub digest: String,
    /// As JSON.
    pub found: String,
    pub who: String,
    pub at: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(time: &i64) -> bool {
    *time == 0
}

impl StoredServer {
    fn read(row: &AnyRow) -> Result<Self> {
        let (origin, state): (String, String) = (row.try_get("origin")?, row.try_get("state")?);
        let from: Option<String> = row.try_get("quarantined_from")?;
        let deprecation: Option<String> = row.try_get("deprecation")?;
        Ok(Self {
            name: row.try_get("name")?,
            origin: match origin.as_str() {
                "file" => ServerOrigin::File,
                _ => ServerOrigin::RunTime,
            },
            state: State::read(&state),
            quarantined_from: from.as_deref().map(State::read),
            spec: row.try_get("spec")?,
            digest: row.try_get("digest")?,
            allow_private: row.try_get::<i64, _>("allow_private")? == 1,
            proposed_by: row.try_get("proposed_by")?,
            proposed: row.try_get("proposed")?,
            approved_by: row.try_get("approved_by")?,
            deprecation: deprecation.map(|text| serde_json::from_str(&text)).transpose()?,
            revision: row.try_get("revision")?,
            changed: row.try_get("changed")?,
        })
    }

    /// A server from the configuration file that needs no review and has no stored decision.
    pub fn trusted(name: &str, digest: &str) -> Self {
        let by = "the configuration file";
        let server = Self::new(name, ServerOrigin::File, State::Active, by);
        Self { digest: digest.into(), proposed: 0, changed: 0, ..server }
    }

    pub(super) fn new(name: &str, origin: ServerOrigin, state: State, proposed_by: &str) -> Self {
        Self {
            name: name.into(),
            origin,
            state,
            quarantined_from: None,
            spec: String::new(),
            digest: String::new(),
            allow_private: false,
            proposed_by: proposed_by.into(),
            proposed: now(),
            approved_by: None,
            deprecation: None,
            revision: 0,
            changed: now(),
        }
    }

    pub(super) async fn write(&mut self, change: &mut Change) -> Result<()> {
        self.revision += 1;
        self.changed = now();
        if self.proposed == 0 {
            self.proposed = self.changed;
        }
        let deprecation = self.deprecation.as_ref().map(serde_json::to_string).transpose()?;
        sqlx::query(
            "INSERT INTO servers (id, name, origin, state, quarantined_from, spec, digest, allow_private, \
             proposed_by, proposed, approved_by, deprecation, revision, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, origin = excluded.origin, \
             state = excluded.state, quarantined_from = excluded.quarantined_from, \
             spec = excluded.spec, digest = excluded.digest, \
             allow_private = excluded.allow_private, proposed_by = excluded.proposed_by, \
             proposed = excluded.proposed, approved_by = excluded.approved_by, \
             deprecation = excluded.deprecation, revision = excluded.revision, \
             changed = excluded.changed",
        )
        .bind(self.name.to_ascii_lowercase())
        .bind(&self.name)
        .bind(self.origin.as_str())
        .bind(self.state.as_str())
        .bind(self.quarantined_from.map(State::as_str))
        .bind(&self.spec)
        .bind(&self.digest)
        .bind(i64::from(self.allow_private))
        .bind(&self.proposed_by)
        .bind(self.proposed)
        .bind(&self.approved_by)
        .bind(deprecation)
        .bind(self.revision)
        .bind(self.changed)
        .execute(&mut **change)
        .await?;
        Ok(())
    }
}

/// The actor of a step, as it is stored and compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct By<'a> {
    pub who: &'a str,
    pub via: &'a str,
    pub why: &'a str,
}

pub(super) async fn all(store: &crate::Store) -> Result<Vec<StoredServer>> {
    let rows = sqlx::query(
        "SELECT name, origin, state, quarantined_from, spec, digest, allow_private, \
         proposed_by, proposed, approved_by, deprecation, revision, changed FROM servers ORDER BY id",
    )
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(StoredServer::read).collect()
}

pub(super) async fn find(
    connection: &mut sqlx::AnyConnection,
    name: &str,
) -> Result<Option<StoredServer>> {
    let row = sqlx::query(
        "SELECT name, origin, state, quarantined_from, spec, digest, allow_private, \
         proposed_by, proposed, approved_by, deprecation, revision, changed FROM servers WHERE id = $1",
    )
    .bind(name.to_ascii_lowercase())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(StoredServer::read).transpose()
}

pub(super) async fn look_of(
    connection: &mut sqlx::AnyConnection,
    name: &str,
) -> Result<Option<ServerLook>> {
    let row = sqlx::query("SELECT digest, found, who, at FROM server_looks WHERE id = $1")
        .bind(name.to_ascii_lowercase())
        .fetch_optional(connection)
        .await?;
    let read = |row: &AnyRow| {
        Ok(ServerLook {
            digest: row.try_get("digest")?,
            found: row.try_get("found")?,
            who: row.try_get("who")?,
            at: row.try_get("at")?,
        })
    };
    row.as_ref().map(read).transpose()
}

pub(super) async fn forget_look(change: &mut Change, name: &str) -> Result<()> {
    sqlx::query("DELETE FROM server_looks WHERE id = $1")
        .bind(name.to_ascii_lowercase())
        .execute(&mut **change)
        .await?;
    Ok(())
}

/// Checks that one more server fits.
pub(super) async fn check_room(change: &mut Change) -> Result<()> {
    let all = sqlx::query("SELECT COUNT(*) FROM servers WHERE origin = 'run_time'")
        .fetch_one(&mut **change)
        .await?;
    if all.try_get::<i64, _>(0)? >= MOST_SERVERS {
        let why =
            format!("there are already {MOST_SERVERS} servers that were proposed at run time");
        return Err(Error::Refused(why));
    }
    Ok(())
}

/// Checks that one more open proposal fits.
pub(super) async fn check_open(change: &mut Change, who: &str) -> Result<()> {
    let open = sqlx::query(
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN proposed_by = $1 THEN 1 ELSE 0 END), 0) \
         FROM servers WHERE origin = 'run_time' AND state IN ('proposed', 'in_review')",
    )
    .bind(who)
    .fetch_one(&mut **change)
    .await?;
    if open.try_get::<i64, _>(0)? >= MOST_OPEN {
        let why = format!("there are already {MOST_OPEN} proposals that wait for their review");
        return Err(Error::Refused(why));
    }
    if open.try_get::<i64, _>(1)? >= MOST_OPEN_OF_ONE {
        let why =
            format!("you already have {MOST_OPEN_OF_ONE} proposals that wait for their review");
        return Err(Error::Refused(why));
    }
    Ok(())
}

/// Stores a server and the step that led to its state.
pub(super) async fn note(
    change: &mut Change,
    server: &mut StoredServer,
    step: Step,
    from: State,
    by: By<'_>,
) -> Result<()> {
    server.write(change).await?;
    let id = server.name.to_ascii_lowercase();
    sqlx::query(
        "INSERT INTO server_steps (id, n, step, from_state, to_state, who, via, why, at) \
         SELECT $1, COALESCE(MAX(n), 0) + 1, $2, $3, $4, $5, $6, $7, $8 FROM server_steps \
         WHERE id = $9",
    )
    .bind(&id)
    .bind(step.as_str())
    .bind(from.as_str())
    .bind(server.state.as_str())
    .bind(by.who)
    .bind(by.via)
    .bind(by.why)
    .bind(now())
    .bind(&id)
    .execute(&mut **change)
    .await?;
    sqlx::query(
        "DELETE FROM server_steps WHERE id = $1 AND n <= (SELECT MAX(n) FROM server_steps WHERE id = $2) - $3",
    )
    .bind(&id)
    .bind(&id)
    .bind(MOST_STEPS)
    .execute(&mut **change)
    .await?;
    Ok(())
}
