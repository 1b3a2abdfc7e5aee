//! Held calls as tasks, for clients that take tasks. What they contain is sealed by the gateway.

use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::grants::count;
use crate::{Change, Error, Result, Store};

/// Tasks that are not over, of one caller and in all.
pub const MOST_TASKS_OF_CALLER: i64 = 20;
const MOST_TASKS: i64 = 1_000;
/// All tasks, with those that are over: how many, and their bytes, of one caller and in all. The oldest go first.
pub const MOST_KEPT_OF_CALLER: Room = Room { tasks: 40, bytes: 16 << 20 };
const MOST_KEPT: Room = Room { tasks: 5_000, bytes: 512 << 20 };

const OPEN: &str = "state <> 'completed' AND state <> 'failed' AND state <> 'cancelled'";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub tasks: i64,
    pub bytes: i64,
}

const COLUMNS: &str =
    "id, principal, approval, state, version, created, expires, updated, lease, request, outcome";

/// Where a held call stands that is a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Its approval is not used yet.
    Waiting,
    /// A gateway runs it, until its lease.
    Running,
    /// Its server asks for input.
    Input,
    /// Its server has made a task of it, which the outcome names.
    Passed,
    Completed,
    Failed,
    Cancelled,
}

impl TaskState {
    const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Input,
        Self::Passed,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Input => "input",
            Self::Passed => "passed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for TaskState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::Refused(format!("a stored task has the state '{text}'")))
    }
}

/// A held call that is a task. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalTask {
    pub id: String,
    pub principal: String,
    /// The ID of its approval.
    pub approval: String,
    pub state: TaskState,
    /// Counts its changes.
    pub version: i64,
    pub created: i64,
    pub expires: i64,
    pub updated: i64,
    /// While it runs.
    pub lease: i64,
    /// The call, sealed.
    pub request: String,
    /// What has come of it, sealed; empty before.
    pub outcome: String,
}

impl ApprovalTask {
    fn bytes(&self) -> i64 {
        i64::try_from(self.request.len() + self.outcome.len()).unwrap_or(i64::MAX)
    }
}

fn read(row: &AnyRow) -> Result<ApprovalTask> {
    Ok(ApprovalTask {
        id: row.try_get("id")?,
        principal: row.try_get("principal")?,
        approval: row.try_get("approval")?,
        state: row.try_get::<String, _>("state")?.parse()?,
        version: row.try_get("version")?,
        created: row.try_get("created")?,
        expires: row.try_get("expires")?,
        updated: row.try_get("updated")?,
        lease: row.try_get("lease")?,
        request: row.try_get("request")?,
        outcome: row.try_get("outcome")?,
    })
}

impl Store {
    /// Keeps a task, unless its approval has one, which is returned. `None` if there are too many.
    pub async fn begin_approval_task(
        &self,
        new: &ApprovalTask,
        now: i64,
    ) -> Result<Option<ApprovalTask>> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM approval_tasks WHERE expires <= $1")
            .bind(now)
            .execute(&mut *change)
            .await?;
        if let Some(found) = of_approval(&new.approval, &mut change).await? {
            change.commit_bookkeeping().await?;
            return Ok(Some(found));
        }
        let own = format!("SELECT COUNT(*) FROM approval_tasks WHERE principal = $1 AND {OPEN}");
        let all = format!("SELECT COUNT(*) FROM approval_tasks WHERE id <> $1 AND {OPEN}");
        if count(&mut change, own, &new.principal).await? >= MOST_TASKS_OF_CALLER
            || count(&mut change, all, "").await? >= MOST_TASKS
        {
            change.commit_bookkeeping().await?;
            return Ok(None);
        }
        sqlx::query(
            "INSERT INTO approval_tasks (id, principal, approval, state, version, created, expires, updated, \
             lease, bytes, request, outcome) VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $8, $9, $10, $11) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&new.id)
        .bind(&new.principal)
        .bind(&new.approval)
        .bind(new.state.as_str())
        .bind(new.version)
        .bind(new.created)
        .bind(new.expires)
        .bind(new.lease)
        .bind(new.bytes())
        .bind(&new.request)
        .bind(&new.outcome)
        .execute(&mut *change)
        .await?;
        // Another replica may have been first.
        let kept = of_approval(&new.approval, &mut change).await?;
        for (of, room) in [(Some(&*new.principal), MOST_KEPT_OF_CALLER), (None, MOST_KEPT)] {
            make_room(&mut change, of, room, &new.id).await?;
        }
        change.commit_bookkeeping().await?;
        Ok(kept)
    }

    /// A task of a principal, unless it has expired.
    pub async fn approval_task(
        &self,
        id: &str,
        principal: &str,
        now: i64,
    ) -> Result<Option<ApprovalTask>> {
        let query = format!(
            "SELECT {COLUMNS} FROM approval_tasks WHERE id = $1 AND principal = $2 AND expires > $3"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .bind(principal)
            .bind(now)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Makes a task what `to` says, if it has not changed since it was read; what it has become.
    pub async fn change_approval_task(
        &self,
        to: ApprovalTask,
        now: i64,
    ) -> Result<Option<ApprovalTask>> {
        let mut change = self.write().await?;
        let changed = sqlx::query(
            "UPDATE approval_tasks SET state = $1, lease = $2, outcome = $3, updated = $4, \
             version = version + 1, bytes = $5 WHERE id = $6 AND version = $7",
        )
        .bind(to.state.as_str())
        .bind(to.lease)
        .bind(&to.outcome)
        .bind(now)
        .bind(to.bytes())
        .bind(&to.id)
        .bind(to.version)
        .execute(&mut *change)
        .await?;
        if !to.outcome.is_empty() {
            make_room(&mut change, Some(&to.principal), MOST_KEPT_OF_CALLER, &to.id).await?;
        }
        change.commit_bookkeeping().await?;
        let version = to.version + 1;
        Ok((changed.rows_affected() == 1).then_some(ApprovalTask { version, updated: now, ..to }))
    }
}

/// Removes the oldest tasks that are over, of a caller or of all, until the others have room.
async fn make_room(change: &mut Change, of: Option<&str>, room: Room, new: &str) -> Result<()> {
    let whose = if of.is_some() { "principal = $1" } else { "$1 = ''" };
    let sum = format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM approval_tasks WHERE {whose}"
    );
    let oldest = format!(
        "DELETE FROM approval_tasks WHERE id = (SELECT id FROM approval_tasks \
         WHERE {whose} AND id <> $2 AND NOT ({OPEN}) ORDER BY updated, id LIMIT 1)"
    );
    loop {
        let row = sqlx::query(sqlx::AssertSqlSafe(&*sum))
            .bind(of.unwrap_or_default())
            .fetch_one(&mut **change)
            .await?;
        if row.try_get::<i64, _>(0)? <= room.tasks && row.try_get::<i64, _>(1)? <= room.bytes {
            return Ok(());
        }
        let removed = sqlx::query(sqlx::AssertSqlSafe(&*oldest))
            .bind(of.unwrap_or_default())
            .bind(new)
            .execute(&mut **change)
            .await?;
        if removed.rows_affected() == 0 {
            return Ok(());
        }
    }
}

async fn of_approval(
    approval: &str,
    connection: &mut AnyConnection,
) -> Result<Option<ApprovalTask>> {
    let query = format!("SELECT {COLUMNS} FROM approval_tasks WHERE approval = $1");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(approval).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}
