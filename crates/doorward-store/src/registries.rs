//! External registries: when each was read, and the state of its entries. Proposals themselves are
//! servers ([`Store::propose_server`]).

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Act, Error, Result, Store, now};

/// Maximum number of stored entries per registry.
pub const MOST_ENTRIES: i64 = 5_000;

/// The state of a registry entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Will be proposed once there is room for another proposal.
    Waiting,
    /// A server was proposed for it. The server's state says how that was decided.
    Proposed,
    /// It cannot be proposed.
    Skipped,
    /// It was deleted from the registry.
    Deleted,
}

impl EntryState {
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Proposed, Self::Skipped, Self::Deleted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Proposed => "proposed",
            Self::Skipped => "skipped",
            Self::Deleted => "deleted",
        }
    }
}

/// An entry of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEntry {
    pub registry: String,
    /// Its name in the registry, such as `io.github.acme/weather`.
    pub entry: String,
    pub version: String,
    pub state: EntryState,
    /// Why it is skipped or waits, or other remarks; may be empty.
    pub reason: String,
    /// The server that was proposed for it; empty if none was.
    pub server: String,
    /// The proposed version; empty if none was.
    pub proposed: String,
    /// While the entry waits, the settings to propose, as JSON; else empty.
    pub spec: String,
    /// While the entry waits, the digest of `spec`. If its proposal was withdrawn, the digest of that. Else empty.
    pub digest: String,
    /// When this row was written, in seconds since 1970.
    pub updated: i64,
}

/// The state of reading a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryRead {
    pub registry: String,
    /// When it is read next, in seconds since 1970.
    pub due: i64,
    /// Until when a gateway may be reading it, in seconds since 1970. Also identifies the read.
    pub busy: i64,
    /// The settings of the last read.
    pub settings: String,
    /// The next read requests entries updated since then; empty for all.
    pub since: String,
    /// When it was last read in full, in seconds since 1970; 0 for never.
    pub whole: i64,
    /// When a read last completed, in seconds since 1970.
    pub done: Option<i64>,
    /// Why the last read did not complete; empty if it did.
    pub problem: String,
    /// As JSON.
    pub counts: String,
}

/// Inserts the row of a registry that has none, due at once.
const INSERT: &str = "INSERT INTO registry_reads \
     (registry, due, busy, settings, since, whole, problem, counts) \
     VALUES ($1, 0, 0, '', '', 0, '', '') ON CONFLICT (registry) DO NOTHING";

const COLUMNS: &str =
    "registry, entry, version, state, reason, server, proposed, spec, digest, updated";

impl RegistryEntry {
    /// Whether the registry itself, not a reviewer, has withdrawn its proposal.
    pub fn is_withdrawn(&self) -> bool {
        matches!(self.state, EntryState::Skipped | EntryState::Deleted) && !self.digest.is_empty()
    }

    fn read(row: &AnyRow) -> Result<Self> {
        let state: String = row.try_get("state")?;
        let known = EntryState::ALL.into_iter().find(|it| it.as_str() == state);
        Ok(Self {
            registry: row.try_get("registry")?,
            entry: row.try_get("entry")?,
            version: row.try_get("version")?,
            // A newer version may know more states.
            state: known.unwrap_or(EntryState::Skipped),
            reason: row.try_get("reason")?,
            server: row.try_get("server")?,
            proposed: row.try_get("proposed")?,
            spec: row.try_get("spec")?,
            digest: row.try_get("digest")?,
            updated: row.try_get("updated")?,
        })
    }
}

impl RegistryRead {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            registry: row.try_get("registry")?,
            due: row.try_get("due")?,
            busy: row.try_get("busy")?,
            settings: row.try_get("settings")?,
            since: row.try_get("since")?,
            whole: row.try_get("whole")?,
            done: row.try_get("done")?,
            problem: row.try_get("problem")?,
            counts: row.try_get("counts")?,
        })
    }
}

impl Store {
    /// Claims the read of a registry that is due and that nobody is reading: one of all gateways
    /// gets it. It is due next at `next`; nobody else gets it until `busy`, or until
    /// [`Store::end_registry`].
    pub async fn claim_registry(
        &self,
        registry: &str,
        next: i64,
        busy: i64,
    ) -> Result<Option<RegistryRead>> {
        let mut change = self.write().await?;
        sqlx::query(INSERT).bind(registry).execute(&mut *change).await?;
        let claimed = sqlx::query(
            "UPDATE registry_reads SET due = $1, busy = $2 \
             WHERE registry = $3 AND due <= $4 AND busy <= $4",
        )
        .bind(next)
        .bind(busy)
        .bind(registry)
        .bind(now())
        .execute(&mut *change)
        .await?;
        let row = sqlx::query("SELECT * FROM registry_reads WHERE registry = $1")
            .bind(registry)
            .fetch_one(&mut *change)
            .await?;
        let read = RegistryRead::read(&row)?;
        change.commit_bookkeeping().await?;
        Ok((claimed.rows_affected() == 1).then_some(read))
    }

    /// Makes a registry due.
    pub async fn request_registry(&self, registry: &str) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query(INSERT).bind(registry).execute(&mut *change).await?;
        sqlx::query("UPDATE registry_reads SET due = 0 WHERE registry = $1")
            .bind(registry)
            .execute(&mut *change)
            .await?;
        change.commit(&Act::new("registry.read", registry)).await
    }

    /// When registries were read, and when they are due.
    pub async fn registry_reads(&self) -> Result<Vec<RegistryRead>> {
        let query = "SELECT * FROM registry_reads ORDER BY registry";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        rows.iter().map(RegistryRead::read).collect()
    }

    /// Stores the result of a read, unless its claim has expired and another read has begun.
    pub async fn end_registry(&self, read: &RegistryRead) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query(
            "UPDATE registry_reads SET busy = 0, settings = $1, since = $2, whole = $3, done = $4, \
             problem = $5, counts = $6 WHERE registry = $7 AND busy = $8",
        )
        .bind(&read.settings)
        .bind(&read.since)
        .bind(read.whole)
        .bind(read.done)
        .bind(&read.problem)
        .bind(&read.counts)
        .bind(&read.registry)
        .bind(read.busy)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }

    /// The entries of a registry after a given one, by name.
    pub async fn registry_entries(
        &self,
        registry: &str,
        after: &str,
        most: i64,
    ) -> Result<Vec<RegistryEntry>> {
        let query = format!(
            "SELECT {COLUMNS} FROM registry_entries WHERE registry = $1 AND entry > $2 \
             ORDER BY entry LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(registry)
            .bind(after)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(RegistryEntry::read).collect()
    }

    /// How many entries of a registry are in each state.
    pub async fn count_registry_entries(&self, registry: &str) -> Result<Vec<(EntryState, i64)>> {
        let rows = sqlx::query(
            "SELECT state, COUNT(*) FROM registry_entries WHERE registry = $1 GROUP BY state",
        )
        .bind(registry)
        .fetch_all(&self.pool)
        .await?;
        let mut counts = Vec::new();
        for row in &rows {
            let state: String = row.try_get(0)?;
            if let Some(known) = EntryState::ALL.into_iter().find(|it| it.as_str() == state) {
                counts.push((known, row.try_get(1)?));
            }
        }
        Ok(counts)
    }

    /// Stores the state of an entry. A new entry is refused if the registry already has
    /// [`MOST_ENTRIES`].
    pub async fn put_registry_entry(&self, entry: &RegistryEntry) -> Result<()> {
        let mut change = self.write().await?;
        let known = sqlx::query(
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN entry = $1 THEN 1 ELSE 0 END), 0) \
             FROM registry_entries WHERE registry = $2",
        )
        .bind(&entry.entry)
        .bind(&entry.registry)
        .fetch_one(&mut *change)
        .await?;
        if known.try_get::<i64, _>(1)? == 0 && known.try_get::<i64, _>(0)? >= MOST_ENTRIES {
            let why = format!("a registry has at most {MOST_ENTRIES} entries here");
            return Err(Error::Refused(why));
        }
        sqlx::query(
            "INSERT INTO registry_entries (registry, entry, version, state, reason, server, proposed, \
             spec, digest, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (registry, entry) DO UPDATE SET version = excluded.version, \
             state = excluded.state, reason = excluded.reason, server = excluded.server, \
             proposed = excluded.proposed, spec = excluded.spec, digest = excluded.digest, \
             updated = excluded.updated",
        )
        .bind(&entry.registry)
        .bind(&entry.entry)
        .bind(&entry.version)
        .bind(entry.state.as_str())
        .bind(&entry.reason)
        .bind(&entry.server)
        .bind(&entry.proposed)
        .bind(&entry.spec)
        .bind(&entry.digest)
        .bind(now())
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }

    /// One entry of a registry.
    pub async fn registry_entry(
        &self,
        registry: &str,
        entry: &str,
    ) -> Result<Option<RegistryEntry>> {
        let query =
            format!("SELECT {COLUMNS} FROM registry_entries WHERE registry = $1 AND entry = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(RegistryEntry::read).transpose()
    }
}
