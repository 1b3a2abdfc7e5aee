//! Emergency stops. They have a separate revision, which replicas poll through a dedicated connection
//! ([`StopWatch`]): neither a busy pool nor a change of anything else delays them.

use std::time::Duration;

use doorward_governance::stops::{Lifted, MOST_STOPS, Stop, Target};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Act, Change, Error, Result, Store};

/// Timeout of a poll; its connection is then closed.
const PATIENCE: Duration = Duration::from_secs(2);

const COLUMNS: &str = "id, kind, name, why, set_by, set_at, mode, lifted_by, lifted_why, lifted_at";

fn read(row: &AnyRow) -> Result<Stop> {
    let unreadable = |why: String| Error::Refused(format!("a stored stop cannot be read: {why}"));
    let kind: String = row.try_get("kind")?;
    let kind = kind.parse().map_err(|_| unreadable(format!("kind '{kind}'")))?;
    let mode: String = row.try_get("mode")?;
    let lifted_at: Option<i64> = row.try_get("lifted_at")?;
    let lifted = match lifted_at {
        Some(at) => {
            Some(Lifted { by: row.try_get("lifted_by")?, why: row.try_get("lifted_why")?, at })
        }
        None => None,
    };
    Ok(Stop {
        id: row.try_get("id")?,
        target: Target { kind, name: row.try_get("name")? },
        why: row.try_get("why")?,
        by: row.try_get("set_by")?,
        at: row.try_get("set_at")?,
        mode: mode.parse().map_err(unreadable)?,
        lifted,
    })
}

impl Store {
    /// Sets a stop, once for its id. Where the same is stopped already, at least as strictly, that stop is returned.
    /// The number is the revision of the stops that has it.
    pub async fn put_stop(&self, stop: &Stop) -> Result<(Stop, i64)> {
        let (mut change, revision) = self.begin_stop().await?;
        let (kind, compared) = (stop.target.kind.as_str(), stop.target.key());
        let known = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM stops WHERE id = $1 \
             OR (lifted_at IS NULL AND kind = $2 AND compared = $3)"
        )))
        .bind(&stop.id)
        .bind(kind)
        .bind(&compared)
        .fetch_all(&mut *change)
        .await?;
        for row in &known {
            let known = read(row)?;
            if known.id == stop.id || known.mode >= stop.mode {
                return Ok((known, revision - 1));
            }
        }
        let row = sqlx::query("SELECT COUNT(*) FROM stops WHERE lifted_at IS NULL")
            .fetch_one(&mut *change)
            .await?;
        if row.try_get::<i64, _>(0)? >= MOST_STOPS as i64 {
            let why = format!("{MOST_STOPS} stops are in force, the maximum: undo some first");
            return Err(Error::Refused(why));
        }
        sqlx::query(
            "INSERT INTO stops (id, kind, name, compared, why, set_by, set_at, mode) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&stop.id)
        .bind(kind)
        .bind(&stop.target.name)
        .bind(&compared)
        .bind(&stop.why)
        .bind(&stop.by)
        .bind(stop.at)
        .bind(stop.mode.as_str())
        .execute(&mut *change)
        .await?;
        let act = Act::new("stop.set", &stop.id)
            .with("kind", kind)
            .with("name", &stop.target.name)
            .with("why", &stop.why)
            .with("mode", stop.mode)
            .with("at", stop.at);
        change.commit(&act).await?;
        Ok((stop.clone(), revision))
    }

    /// Lifts a stop. Idempotent.
    pub async fn lift_stop(&self, id: &str, lifted: &Lifted) -> Result<(Stop, i64)> {
        let (mut change, revision) = self.begin_stop().await?;
        let query = format!("SELECT {COLUMNS} FROM stops WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&mut *change);
        let row = row.await?.ok_or_else(|| Error::absent("stop", id))?;
        let mut stop = read(&row)?;
        if stop.lifted.is_some() {
            return Ok((stop, revision - 1));
        }
        sqlx::query(
            "UPDATE stops SET lifted_by = $1, lifted_why = $2, lifted_at = $3 WHERE id = $4",
        )
        .bind(&lifted.by)
        .bind(&lifted.why)
        .bind(lifted.at)
        .bind(id)
        .execute(&mut *change)
        .await?;
        let act = Act::new("stop.lift", id)
            .with("kind", stop.target.kind)
            .with("name", &stop.target.name)
            .with("why", &lifted.why)
            .with("at", lifted.at);
        change.commit(&act).await?;
        stop.lifted = Some(lifted.clone());
        Ok((stop, revision))
    }

    /// Changes the stops; changes are serialized.
    async fn begin_stop(&self) -> Result<(Change, i64)> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE stops_revision SET n = n + 1").execute(&mut *change).await?;
        let row = sqlx::query("SELECT n FROM stops_revision").fetch_one(&mut *change).await?;
        let revision = row.try_get(0)?;
        Ok((change, revision))
    }

    pub async fn stop(&self, id: &str) -> Result<Option<Stop>> {
        let query = format!("SELECT {COLUMNS} FROM stops WHERE id = $1");
        let row =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// Stops, newest first: those in force, or all, up to a limit.
    pub async fn stops(&self, with_lifted: bool, most: i64) -> Result<Vec<Stop>> {
        let only = if with_lifted { "" } else { "WHERE lifted_at IS NULL" };
        let query = format!("SELECT {COLUMNS} FROM stops {only} ORDER BY set_at DESC, id LIMIT $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(most).fetch_all(&self.pool).await?;
        rows.iter().map(read).collect()
    }

    /// Polls for changes of the stops.
    pub fn watch_stops(&self) -> StopWatch {
        StopWatch { store: self.clone(), connection: None, seen: None }
    }
}

/// Polls for changes and reads the stops in force.
#[derive(Debug)]
pub struct StopWatch {
    store: Store,
    connection: Option<AnyConnection>,
    seen: Option<i64>,
}

impl StopWatch {
    /// The stops in force, if they have changed since the last time. An error, or a database that does not answer
    /// within two seconds, costs the connection: the next poll opens another.
    pub async fn poll(&mut self) -> Result<Option<(i64, Vec<Stop>)>> {
        let polled = tokio::time::timeout(PATIENCE, self.poll_once()).await;
        let polled = polled.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
        if polled.is_err() {
            self.connection = None;
        }
        polled
    }

    async fn poll_once(&mut self) -> Result<Option<(i64, Vec<Stop>)>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connect_apart().await?),
        };
        let row = sqlx::query("SELECT n FROM stops_revision").fetch_one(&mut *connection).await?;
        let revision: i64 = row.try_get(0)?;
        if self.seen == Some(revision) {
            return Ok(None);
        }
        // A change between the two reads is picked up with the next revision.
        let query = format!("SELECT {COLUMNS} FROM stops WHERE lifted_at IS NULL LIMIT $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(2 * MOST_STOPS as i64)
            .fetch_all(&mut *connection)
            .await?;
        let stops = rows.iter().map(read).collect::<Result<_>>()?;
        self.seen = Some(revision);
        Ok(Some((revision, stops)))
    }
}
