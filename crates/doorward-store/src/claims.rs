//! Idempotency keys: a request that makes something takes its key in the transaction of what it makes, so that a repeated
//! request makes nothing twice, whatever breaks in between.

use std::sync::atomic::Ordering;

use sqlx::{AnyConnection, Row};

use crate::terms::Claim;
use crate::{Error, Result, Store, now};

/// How long a key is remembered, in seconds.
const REMEMBERED: i64 = 24 * 60 * 60;
/// Keys that one administrator may have in that time.
const MOST: i64 = 10_000;

/// What is known of a key that was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub digest: String,
    /// Status and body of the response; `None` if the gateway ended before it was known.
    pub response: Option<(u16, String)>,
}

/// Takes the key, with the first of the changes that a request makes.
pub(crate) async fn insert(claim: &Claim, connection: &mut AnyConnection) -> Result<()> {
    if claim.is_made.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    sqlx::query("DELETE FROM idempotency WHERE at < $1")
        .bind(now() - REMEMBERED)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT COUNT(*) FROM idempotency WHERE actor = $1")
        .bind(&claim.actor)
        .fetch_one(&mut *connection)
        .await?;
    if row.try_get::<i64, _>(0)? >= MOST {
        let why = format!("more than {MOST} idempotency keys were used within a day");
        return Err(Error::Refused(why));
    }
    let inserted = sqlx::query(
        "INSERT INTO idempotency (actor, name, digest, at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (actor, name) DO NOTHING",
    )
    .bind(&claim.actor)
    .bind(&claim.key)
    .bind(&claim.digest)
    .bind(now())
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Err(Error::Claimed);
    }
    Ok(())
}

impl Store {
    /// The request that an administrator has sent with a key before.
    pub async fn claimed(&self, actor: &str, key: &str) -> Result<Option<Claimed>> {
        let row = sqlx::query(
            "SELECT digest, status, body FROM idempotency WHERE actor = $1 AND name = $2 AND at >= $3",
        )
        .bind(actor)
        .bind(key)
        .bind(now() - REMEMBERED)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let status: Option<i64> = row.try_get("status")?;
        let body: Option<String> = row.try_get("body")?;
        let response = status.and_then(|status| u16::try_from(status).ok()).zip(body);
        Ok(Some(Claimed { digest: row.try_get("digest")?, response }))
    }

    /// Stores the response to a request. Secrets must not be in it. A request that has changed nothing in the store takes
    /// its key now.
    pub async fn answer_claim(&self, claim: &Claim, status: u16, body: &str) -> Result<()> {
        let mut change = self.write().await?;
        match insert(claim, &mut change).await {
            Ok(()) | Err(Error::Claimed) => {}
            Err(error) => return Err(error),
        }
        sqlx::query(
            "UPDATE idempotency SET status = $1, body = $2 \
             WHERE actor = $3 AND name = $4 AND digest = $5",
        )
        .bind(i64::from(status))
        .bind(body)
        .bind(&claim.actor)
        .bind(&claim.key)
        .bind(&claim.digest)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }
}
