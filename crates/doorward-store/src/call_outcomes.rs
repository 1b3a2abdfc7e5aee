//! Idempotency keys of calls. A key is taken before its call is made, and never given to another call while it is
//! remembered: whatever breaks in between, nothing is done twice. See [`claims`](crate::claims) for those of administrators,
//! whose requests change the store itself.

use sqlx::Row;

use crate::{Change, Result, Store};

/// How long a key is remembered, in seconds.
pub const OUTCOME_KEPT: i64 = 24 * 60 * 60;
/// Keys of one caller in that time, and of all.
pub const MOST_OUTCOMES_OF_CALLER: i64 = 10_000;
const MOST_OUTCOMES: i64 = 100_000;
/// The longest outcome that is stored, sealed, in bytes; and of all of a caller, and of all callers together. To make room,
/// the oldest are forgotten, but not that they were made.
pub const LONGEST_OUTCOME: usize = 1 << 20;
pub const MOST_OUTCOME_BYTES_OF_CALLER: i64 = 16 << 20;
const MOST_OUTCOME_BYTES: i64 = 512 << 20;

/// A call that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutcome {
    /// A hash of who makes it.
    pub owner: String,
    /// A hash of the key.
    pub name: String,
    /// A hash of the request.
    pub digest: String,
    /// This run of it.
    pub holder: String,
    /// When it counts as lost unless renewed, in seconds since 1970.
    pub lease: i64,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It was not used before: the call may be made.
    New,
    /// Its call is being made.
    Running,
    /// It was used for another request.
    Other,
    /// Its call was made. Without an outcome, this is all that is known.
    Done(Option<String>),
    /// Its call was begun, and nobody knows what came of it.
    Unknown,
    /// There are too many keys.
    TooMany,
}

impl Store {
    /// Takes a key for a call, unless it was used before.
    pub async fn begin_outcome(&self, new: &NewOutcome, now: i64) -> Result<Begun> {
        if let Some(known) = self.outcome(new, now).await? {
            return Ok(known);
        }
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM call_outcomes WHERE created <= $1")
            .bind(now - OUTCOME_KEPT)
            .execute(&mut *change)
            .await?;
        let own = sqlx::query("SELECT COUNT(*) FROM call_outcomes WHERE owner = $1")
            .bind(&new.owner)
            .fetch_one(&mut *change)
            .await?;
        let all = sqlx::query("SELECT COUNT(*) FROM call_outcomes").fetch_one(&mut *change).await?;
        if own.try_get::<i64, _>(0)? >= MOST_OUTCOMES_OF_CALLER
            || all.try_get::<i64, _>(0)? >= MOST_OUTCOMES
        {
            change.commit_bookkeeping().await?;
            return Ok(Begun::TooMany);
        }
        let inserted = sqlx::query(
            "INSERT INTO call_outcomes (owner, name, digest, holder, state, lease, created, bytes, outcome) \
             VALUES ($1, $2, $3, $4, 'running', $5, $6, 0, '') ON CONFLICT (owner, name) DO NOTHING",
        )
        .bind(&new.owner)
        .bind(&new.name)
        .bind(&new.digest)
        .bind(&new.holder)
        .bind(new.lease)
        .bind(now)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        if inserted.rows_affected() == 1 {
            return Ok(Begun::New);
        }
        // Another replica was faster.
        Ok(self.outcome(new, now).await?.unwrap_or(Begun::Running))
    }

    /// What is known of a key that a request has, if it was used before.
    pub async fn outcome(&self, of: &NewOutcome, now: i64) -> Result<Option<Begun>> {
        let row = sqlx::query(
            "SELECT digest, state, lease, outcome FROM call_outcomes \
             WHERE owner = $1 AND name = $2 AND created > $3",
        )
        .bind(&of.owner)
        .bind(&of.name)
        .bind(now - OUTCOME_KEPT)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.try_get::<String, _>("digest")? != of.digest {
            return Ok(Some(Begun::Other));
        }
        let state: String = row.try_get("state")?;
        Ok(Some(match &*state {
            "done" => {
                let outcome: String = row.try_get("outcome")?;
                Begun::Done(Some(outcome).filter(|outcome| !outcome.is_empty()))
            }
            _ if row.try_get::<i64, _>("lease")? <= now => Begun::Unknown,
            _ => Begun::Running,
        }))
    }

    /// Says that a call is still being made.
    pub async fn renew_outcome(&self, of: &NewOutcome, lease: i64) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query(
            "UPDATE call_outcomes SET lease = $1 \
             WHERE owner = $2 AND name = $3 AND holder = $4 AND state = 'running'",
        )
        .bind(lease)
        .bind(&of.owner)
        .bind(&of.name)
        .bind(&of.holder)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }

    /// Stores what came of a call, be it that it counts as lost meanwhile.
    pub async fn end_outcome(&self, of: &NewOutcome, outcome: &str) -> Result<()> {
        let outcome = if outcome.len() > LONGEST_OUTCOME { "" } else { outcome };
        let mut change = self.write().await?;
        sqlx::query(
            "UPDATE call_outcomes SET state = 'done', lease = 0, bytes = $1, outcome = $2 \
             WHERE owner = $3 AND name = $4 AND holder = $5",
        )
        .bind(i64::try_from(outcome.len()).unwrap_or(i64::MAX))
        .bind(outcome)
        .bind(&of.owner)
        .bind(&of.name)
        .bind(&of.holder)
        .execute(&mut *change)
        .await?;
        for (owner, most) in [(&*of.owner, MOST_OUTCOME_BYTES_OF_CALLER), ("", MOST_OUTCOME_BYTES)]
        {
            make_room(&mut change, owner, most, &of.name).await?;
        }
        change.commit_bookkeeping().await
    }

    /// Gives a key back whose call was not sent to a server.
    pub async fn forget_outcome(&self, of: &NewOutcome) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM call_outcomes WHERE owner = $1 AND name = $2 AND holder = $3")
            .bind(&of.owner)
            .bind(&of.name)
            .bind(&of.holder)
            .execute(&mut *change)
            .await?;
        change.commit_bookkeeping().await
    }
}

/// Forgets the oldest outcomes of a caller, or of all, until the others have room; not that they were made.
async fn make_room(change: &mut Change, owner: &str, most: i64, newest: &str) -> Result<()> {
    let whose = if owner.is_empty() { "$1 = ''" } else { "owner = $1" };
    let sum = format!(
        "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM call_outcomes WHERE {whose} AND bytes > 0"
    );
    let oldest = format!(
        "SELECT owner, name FROM call_outcomes WHERE {whose} AND bytes > 0 AND name <> $2 \
         ORDER BY created, name LIMIT 1"
    );
    loop {
        let row =
            sqlx::query(sqlx::AssertSqlSafe(&*sum)).bind(owner).fetch_one(&mut **change).await?;
        if row.try_get::<i64, _>(0)? <= most {
            return Ok(());
        }
        let row = sqlx::query(sqlx::AssertSqlSafe(&*oldest))
            .bind(owner)
            .bind(newest)
            .fetch_optional(&mut **change)
            .await?;
        let Some(row) = row else { return Ok(()) };
        sqlx::query(
            "UPDATE call_outcomes SET bytes = 0, outcome = '' WHERE owner = $1 AND name = $2",
        )
        .bind(row.try_get::<String, _>(0)?)
        .bind(row.try_get::<String, _>(1)?)
        .execute(&mut **change)
        .await?;
    }
}
