//! The queue of webhook events. An event is queued in the transaction that advances its source's position, and sent by
//! one gateway at a time: the one that moves its due time owns it until then.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::audit::{ACTS, now_ms};
use crate::{Act, Change, Error, Result, Store, random_id};

/// Maximum number of queued events per webhook; further ones are dropped.
pub const MOST_WAITING: i64 = 10_000;
/// Completed deliveries that the log retains.
const MOST_ENDED: i64 = 10_000;
/// Maximum number of acts per read.
const MOST_ACTS: i64 = 200;
/// Maximum length of a stored error, in characters.
const LONGEST_ERROR: usize = 500;

/// An event for a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    pub webhook: String,
    pub kind: String,
    /// The request body, byte for byte.
    pub body: String,
}

/// An event for a webhook, pending or completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Sent as `webhook-id`.
    pub id: String,
    pub webhook: String,
    pub kind: String,
    pub body: String,
    /// Times are in milliseconds since 1970.
    pub created: i64,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    pub attempts: i64,
    /// When it is sent next, while it is waiting.
    pub due: i64,
    /// The HTTP status of the last attempt that was answered.
    pub status: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub ended: Option<i64>,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub status: Option<u16>,
    pub error: Option<String>,
    /// When to retry; `None` if it was delivered or has failed for good.
    pub again: Option<i64>,
}

const COLUMNS: &str =
    "id, webhook, kind, body, created, state, attempts, due, status, error, ended";

impl Delivery {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            webhook: row.try_get("webhook")?,
            kind: row.try_get("kind")?,
            body: row.try_get("body")?,
            created: row.try_get("created")?,
            state: row.try_get("state")?,
            attempts: row.try_get("attempts")?,
            due: row.try_get("due")?,
            status: row.try_get("status")?,
            error: row.try_get("error")?,
            ended: row.try_get("ended")?,
        })
    }
}

impl Store {
    /// Queues events. Returns how many were dropped because too many wait for their webhook.
    pub async fn queue_deliveries(&self, events: &[NewDelivery]) -> Result<u64> {
        if events.is_empty() {
            return Ok(0);
        }
        let mut change = self.write().await?;
        let dropped = insert(&mut change, events).await?;
        change.commit_bookkeeping().await?;
        Ok(dropped)
    }

    /// Queues events about a state if it differs from the last reported one. If many gateways see the same
    /// change, one queues it. With `quiet_at_first`, an initial state is not reported.
    pub async fn report_state(
        &self,
        name: &str,
        value: &str,
        quiet_at_first: bool,
        events: &[NewDelivery],
    ) -> Result<bool> {
        let mut change = self.write().await?;
        let before = sqlx::query("SELECT value FROM webhook_states WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut *change)
            .await?;
        let put = sqlx::query(
            "INSERT INTO webhook_states (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = $2 WHERE webhook_states.value <> $2",
        )
        .bind(name)
        .bind(value)
        .execute(&mut *change)
        .await?;
        let is_news = put.rows_affected() == 1;
        if is_news && !(before.is_none() && quiet_at_first) {
            insert(&mut change, events).await?;
        }
        change.commit_bookkeeping().await?;
        Ok(is_news)
    }

    /// The number of the latest act.
    pub async fn last_act(&self) -> Result<i64> {
        let row = sqlx::query("SELECT seq FROM audit_writers WHERE id = $1")
            .bind(ACTS)
            .fetch_optional(&self.pool)
            .await?;
        row.map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }

    /// Queues what `events_of` returns for each unprocessed act, a line of JSON each. The first call skips
    /// all earlier acts. Returns the number of the last processed act.
    pub async fn queue_acts(&self, events_of: impl Fn(&str) -> Vec<NewDelivery>) -> Result<i64> {
        let last = self.last_act().await?;
        let mut change = self.write().await?;
        // Other transactions wait here.
        sqlx::query("UPDATE webhook_position SET acts = acts").execute(&mut *change).await?;
        let row = sqlx::query("SELECT acts FROM webhook_position").fetch_one(&mut *change).await?;
        let position: i64 = row.try_get(0)?;
        let mut reached = position;
        if position < 0 {
            reached = last;
        } else {
            let rows = sqlx::query(
                "SELECT last_seq, body FROM audit_blocks WHERE writer = $1 AND first_seq > $2 \
                 ORDER BY first_seq LIMIT $3",
            )
            .bind(ACTS)
            .bind(position)
            .bind(MOST_ACTS)
            .fetch_all(&mut *change)
            .await?;
            for row in &rows {
                let body = crate::audit::unpack(row.try_get("body")?);
                for line in body.lines() {
                    insert(&mut change, &events_of(line)).await?;
                }
                reached = row.try_get("last_seq")?;
            }
            // Removed by retention before it was processed.
            if rows.is_empty() {
                reached = reached.max(last);
            }
        }
        if reached != position {
            sqlx::query("UPDATE webhook_position SET acts = $1")
                .bind(reached)
                .execute(&mut *change)
                .await?;
        }
        change.commit_bookkeeping().await?;
        Ok(reached)
    }

    /// Claims due events for their sender until a time: no one else gets them before then.
    pub async fn claim_deliveries(&self, until: i64, most: i64) -> Result<Vec<Delivery>> {
        let query = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE state = 'waiting' AND due <= $1 \
             ORDER BY due LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(now_ms())
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        let mut claimed = Vec::new();
        for row in &rows {
            let mut delivery = Delivery::read(row)?;
            let mut change = self.write().await?;
            let taken = sqlx::query(
                "UPDATE webhook_deliveries SET due = $1, attempts = attempts + 1 \
                 WHERE id = $2 AND state = 'waiting' AND due = $3",
            )
            .bind(until)
            .bind(&delivery.id)
            .bind(delivery.due)
            .execute(&mut *change)
            .await?;
            change.commit_bookkeeping().await?;
            if taken.rows_affected() == 1 {
                delivery.attempts += 1;
                claimed.push(delivery);
            }
        }
        Ok(claimed)
    }

    /// Stores the outcome of an attempt.
    pub async fn end_attempt(&self, id: &str, attempt: &Attempt) -> Result<()> {
        let (state, ended) = match (&attempt.again, &attempt.error) {
            (Some(_), _) => ("waiting", None),
            (None, Some(_)) => ("failed", Some(now_ms())),
            (None, None) => ("delivered", Some(now_ms())),
        };
        let error = attempt.error.as_ref();
        let error = error.map(|text| text.chars().take(LONGEST_ERROR).collect::<String>());
        let mut change = self.write().await?;
        sqlx::query(
            "UPDATE webhook_deliveries SET state = $1, due = COALESCE($2, due), status = $3, error = $4, \
             ended = $5 WHERE id = $6",
        )
        .bind(state)
        .bind(attempt.again)
        .bind(attempt.status.map(i64::from))
        .bind(error)
        .bind(ended)
        .bind(id)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }

    /// The delivery log, newest first, filtered by webhook and state, and paged by `before`.
    pub async fn deliveries(
        &self,
        webhook: Option<&str>,
        state: Option<&str>,
        before: Option<&str>,
        most: i64,
    ) -> Result<Vec<Delivery>> {
        let query = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE ($1 = '' OR webhook = $1) \
             AND ($2 = '' OR state = $2) AND ($3 = '' OR EXISTS (SELECT 1 FROM webhook_deliveries b \
             WHERE b.id = $3 AND (webhook_deliveries.created < b.created OR \
             (webhook_deliveries.created = b.created AND webhook_deliveries.id < b.id)))) \
             ORDER BY created DESC, id DESC LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(webhook.unwrap_or_default())
            .bind(state.unwrap_or_default())
            .bind(before.unwrap_or_default())
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(Delivery::read).collect()
    }

    /// Sends an event again, under the same id.
    pub async fn redeliver(&self, id: &str) -> Result<Delivery> {
        let mut change = self.write().await?;
        let query = format!("SELECT {COLUMNS} FROM webhook_deliveries WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&mut *change);
        let row = row.await?.ok_or_else(|| Error::absent("delivery", id))?;
        let mut delivery = Delivery::read(&row)?;
        if delivery.state == "waiting" {
            return Err(Error::Refused(format!("'{id}' is being delivered")));
        }
        (delivery.due, delivery.created) = (now_ms(), now_ms());
        delivery.state = "waiting".into();
        delivery.attempts = 0;
        // Retries last as long as after the first attempt.
        sqlx::query(
            "UPDATE webhook_deliveries SET state = 'waiting', due = $1, created = $1, attempts = 0, \
             ended = NULL WHERE id = $2",
        )
        .bind(delivery.due)
        .bind(id)
        .execute(&mut *change)
        .await?;
        let act = Act::new("webhook.redeliver", id)
            .with("webhook", &delivery.webhook)
            .with("event", &delivery.kind);
        change.commit(&act).await?;
        Ok(delivery)
    }

    /// Removes the oldest entries of the log.
    pub async fn prune_deliveries(&self) -> Result<()> {
        let row = sqlx::query(
            "SELECT ended FROM webhook_deliveries WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT 1 OFFSET $1",
        )
        .bind(MOST_ENDED)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(()) };
        let oldest: i64 = row.try_get(0)?;
        let mut change = self.write().await?;
        sqlx::query("DELETE FROM webhook_deliveries WHERE ended IS NOT NULL AND ended <= $1")
            .bind(oldest)
            .execute(&mut *change)
            .await?;
        change.commit_bookkeeping().await
    }
}

/// Adds events up to the limit. Returns how many were dropped.
async fn insert(change: &mut Change, events: &[NewDelivery]) -> Result<u64> {
    let mut dropped = 0;
    for event in events {
        let row = sqlx::query(
            "SELECT COUNT(*) FROM webhook_deliveries WHERE webhook = $1 AND state = 'waiting'",
        )
        .bind(&event.webhook)
        .fetch_one(&mut **change)
        .await?;
        if row.try_get::<i64, _>(0)? >= MOST_WAITING {
            dropped += 1;
            continue;
        }
        let id = format!("msg_{}", random_id::<16>()?);
        sqlx::query(
            "INSERT INTO webhook_deliveries (id, webhook, kind, body, created, state, attempts, due) \
             VALUES ($1, $2, $3, $4, $5, 'waiting', 0, $5)",
        )
        .bind(id)
        .bind(&event.webhook)
        .bind(&event.kind)
        .bind(&event.body)
        .bind(now_ms())
        .execute(&mut **change)
        .await?;
    }
    Ok(dropped)
}
