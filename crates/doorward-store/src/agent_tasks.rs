//! Tasks of clients that use the gateway as an agent (A2A). What they contain is sealed by the gateway.

use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::{Change, Error, Result, Store};

/// Tasks that are not over, of one caller and in all.
pub const MOST_OPEN_AGENT_TASKS: i64 = 50;
const MOST_OPEN: i64 = 5_000;
/// All tasks, with those that are over: how many, and their bytes, of one caller and in all. The oldest go first.
pub const MOST_AGENT_TASKS: i64 = 1_000;
pub const MOST_AGENT_TASK_BYTES: i64 = 32 << 20;
const MOST: i64 = 50_000;
const MOST_BYTES: i64 = 1 << 30;

const OPEN: &str = "state IN ('working', 'input', 'auth')";
const COLUMNS: &str =
    "id, owner, portal, context, state, version, updated, expires, lease, content";

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentTaskState {
    /// A gateway runs its call, until its lease.
    Working,
    /// It waits for a message of its client.
    Input,
    /// It waits until its client has authorized the gateway.
    Auth,
    Completed,
    Failed,
    Rejected,
    Canceled,
    /// The gateway that ran its call has ended.
    Lost,
}

impl AgentTaskState {
    const ALL: [Self; 8] = [
        Self::Working,
        Self::Input,
        Self::Auth,
        Self::Completed,
        Self::Failed,
        Self::Rejected,
        Self::Canceled,
        Self::Lost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Input => "input",
            Self::Auth => "auth",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Canceled => "canceled",
            Self::Lost => "lost",
        }
    }
}

impl FromStr for AgentTaskState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::Refused(format!("a stored task has the state '{text}'")))
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTask {
    pub id: String,
    /// A hash of who has created it.
    pub owner: String,
    /// Where.
    pub portal: String,
    /// A hash of the ID of its context.
    pub context: String,
    pub state: AgentTaskState,
    /// Counts its changes.
    pub version: i64,
    /// When its state has changed, in milliseconds since 1970.
    pub updated: i64,
    /// In seconds since 1970.
    pub expires: i64,
    /// While it works, in seconds since 1970.
    pub lease: i64,
    /// All of it, sealed.
    pub content: String,
}

/// Which tasks are listed.
#[derive(Debug, Clone, Default)]
pub struct AgentTaskFilter {
    pub owner: String,
    pub portal: String,
    /// A hash.
    pub context: Option<String>,
    /// None: all.
    pub states: Vec<AgentTaskState>,
    /// Changed then or later, in milliseconds since 1970.
    pub since: i64,
    /// After the task with this time and ID.
    pub after: Option<(i64, String)>,
    pub limit: u32,
}

fn read(row: &AnyRow) -> Result<AgentTask> {
    Ok(AgentTask {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        portal: row.try_get("portal")?,
        context: row.try_get("context")?,
        state: row.try_get::<String, _>("state")?.parse()?,
        version: row.try_get("version")?,
        updated: row.try_get("updated")?,
        expires: row.try_get("expires")?,
        lease: row.try_get("lease")?,
        content: row.try_get("content")?,
    })
}

fn bytes(task: &AgentTask) -> i64 {
    i64::try_from(task.content.len()).unwrap_or(i64::MAX)
}

impl Store {
    /// Stores a new task; false if there are too many that are not over.
    pub async fn begin_agent_task(&self, new: &AgentTask, now: i64) -> Result<bool> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM agent_tasks WHERE expires <= $1")
            .bind(now)
            .execute(&mut *change)
            .await?;
        lose(&mut change, &new.owner, now).await?;
        let open = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN owner = $1 THEN 1 ELSE 0 END), 0) AS BIGINT) \
             FROM agent_tasks WHERE {OPEN}"
        );
        let row = sqlx::query(AssertSqlSafe(open)).bind(&new.owner).fetch_one(&mut *change).await?;
        if row.try_get::<i64, _>(0)? >= MOST_OPEN
            || row.try_get::<i64, _>(1)? >= MOST_OPEN_AGENT_TASKS
        {
            change.commit_bookkeeping().await?;
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO agent_tasks (id, owner, portal, context, state, version, updated, expires, lease, bytes, content) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&new.id)
        .bind(&new.owner)
        .bind(&new.portal)
        .bind(&new.context)
        .bind(new.state.as_str())
        .bind(new.version)
        .bind(new.updated)
        .bind(new.expires)
        .bind(new.lease)
        .bind(bytes(new))
        .bind(&new.content)
        .execute(&mut *change)
        .await?;
        make_room(&mut change, new).await?;
        change.commit_bookkeeping().await?;
        Ok(true)
    }

    /// A task of a caller at a portal, unless it has expired.
    pub async fn agent_task(
        &self,
        id: &str,
        owner: &str,
        portal: &str,
        now: i64,
    ) -> Result<Option<AgentTask>> {
        let query = format!(
            "SELECT {COLUMNS} FROM agent_tasks WHERE id = $1 AND owner = $2 AND portal = $3 AND expires > $4"
        );
        let one = || {
            sqlx::query(AssertSqlSafe(query.as_str())).bind(id).bind(owner).bind(portal).bind(now)
        };
        let row = one().fetch_optional(&self.pool).await?;
        let Some(task) = row.as_ref().map(read).transpose()? else { return Ok(None) };
        if !is_lost(&task, now) {
            return Ok(Some(task));
        }
        self.lose_agent_tasks(owner, now).await?;
        one().fetch_optional(&self.pool).await?.as_ref().map(read).transpose()
    }

    /// Makes a task what `to` says, if its version is still that of `to`; whether it was, and is the next one now.
    pub async fn change_agent_task(&self, to: &AgentTask) -> Result<bool> {
        let mut change = self.write().await?;
        let changed = sqlx::query(
            "UPDATE agent_tasks SET state = $1, lease = $2, content = $3, updated = $4, expires = $5, bytes = $6, \
             version = version + 1 WHERE id = $7 AND version = $8",
        )
        .bind(to.state.as_str())
        .bind(to.lease)
        .bind(&to.content)
        .bind(to.updated)
        .bind(to.expires)
        .bind(bytes(to))
        .bind(&to.id)
        .bind(to.version)
        .execute(&mut *change)
        .await?;
        make_room(&mut change, to).await?;
        change.commit_bookkeeping().await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Says that a task is still worked on; false if another has changed it.
    pub async fn renew_agent_task(&self, id: &str, version: i64, lease: i64) -> Result<bool> {
        let mut change = self.write().await?;
        let renewed = sqlx::query(
            "UPDATE agent_tasks SET lease = $1 WHERE id = $2 AND version = $3 AND state = 'working'",
        )
        .bind(lease)
        .bind(id)
        .bind(version)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        Ok(renewed.rows_affected() == 1)
    }

    async fn lose_agent_tasks(&self, owner: &str, now: i64) -> Result<()> {
        let mut change = self.write().await?;
        lose(&mut change, owner, now).await?;
        change.commit_bookkeeping().await
    }

    /// A page of a caller's tasks at a portal, the newest first, and how many there are in all.
    pub async fn agent_tasks(
        &self,
        filter: &AgentTaskFilter,
        now: i64,
    ) -> Result<(Vec<AgentTask>, i64)> {
        // All with an expired lease would be found, whatever their state in the list is.
        let lost = sqlx::query(
            "SELECT COUNT(*) FROM agent_tasks WHERE owner = $1 AND state = 'working' AND lease <= $2",
        )
        .bind(&filter.owner)
        .bind(now)
        .fetch_one(&self.pool)
        .await?;
        if lost.try_get::<i64, _>(0)? > 0 {
            self.lose_agent_tasks(&filter.owner, now).await?;
        }
        let mut which =
            String::from("owner = $1 AND portal = $2 AND expires > $3 AND updated >= $4");
        which.push_str(match &filter.context {
            Some(_) => " AND context = $5",
            None => " AND $5 = ''",
        });
        if !filter.states.is_empty() {
            let names: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
            which.push_str(&format!(" AND state IN ('{}')", names.join("', '")));
        }
        let count = format!("SELECT COUNT(*) FROM agent_tasks WHERE {which}");
        let page = format!(
            "SELECT {COLUMNS} FROM agent_tasks WHERE {which} AND (updated < $6 OR (updated = $6 AND id > $7)) \
             ORDER BY updated DESC, id LIMIT {}",
            filter.limit
        );
        let context = filter.context.as_deref().unwrap_or_default();
        let row = sqlx::query(AssertSqlSafe(count))
            .bind(&filter.owner)
            .bind(&filter.portal)
            .bind(now)
            .bind(filter.since)
            .bind(context)
            .fetch_one(&self.pool)
            .await?;
        let (updated, id) = match &filter.after {
            Some((updated, id)) => (*updated, id.as_str()),
            None => (i64::MAX, ""),
        };
        let rows = sqlx::query(AssertSqlSafe(page))
            .bind(&filter.owner)
            .bind(&filter.portal)
            .bind(now)
            .bind(filter.since)
            .bind(context)
            .bind(updated)
            .bind(id)
            .fetch_all(&self.pool)
            .await?;
        let tasks = rows.iter().map(read).collect::<Result<_>>()?;
        Ok((tasks, row.try_get(0)?))
    }
}

fn is_lost(task: &AgentTask, now: i64) -> bool {
    task.state == AgentTaskState::Working && task.lease <= now
}

/// What a gateway has worked on that has ended is never worked on again.
async fn lose(change: &mut Change, owner: &str, now: i64) -> Result<()> {
    sqlx::query(
        "UPDATE agent_tasks SET state = 'lost', lease = 0, version = version + 1, updated = $1 \
         WHERE owner = $2 AND state = 'working' AND lease <= $3",
    )
    .bind(now.saturating_mul(1_000))
    .bind(owner)
    .bind(now)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Removes the oldest tasks that are over, of the caller and of all, until the others have room.
async fn make_room(change: &mut Change, newest: &AgentTask) -> Result<()> {
    for (owner, tasks, most) in
        [(&*newest.owner, MOST_AGENT_TASKS, MOST_AGENT_TASK_BYTES), ("", MOST, MOST_BYTES)]
    {
        let whose = if owner.is_empty() { "$1 = ''" } else { "owner = $1" };
        let sum = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM agent_tasks WHERE {whose}"
        );
        let oldest = format!(
            "DELETE FROM agent_tasks WHERE id = (SELECT id FROM agent_tasks \
             WHERE {whose} AND id <> $2 AND NOT ({OPEN}) ORDER BY updated, id LIMIT 1)"
        );
        loop {
            let row =
                sqlx::query(AssertSqlSafe(&*sum)).bind(owner).fetch_one(&mut **change).await?;
            if row.try_get::<i64, _>(0)? <= tasks && row.try_get::<i64, _>(1)? <= most {
                break;
            }
            let removed = sqlx::query(AssertSqlSafe(&*oldest))
                .bind(owner)
                .bind(&newest.id)
                .execute(&mut **change)
                .await?;
            if removed.rows_affected() == 0 {
                break;
            }
        }
    }
    Ok(())
}
