//! Accounts that have reached a percentage of their credit, and whether an alert was sent.

use sqlx::Row;

use crate::{Result, Store, now};

impl Store {
    /// Stores that an account has reached a percentage of its credit; `false` if it was stored before.
    pub async fn note_alert(&self, account: &str, round: &str, percent: i64) -> Result<bool> {
        let mut change = self.write().await?;
        let noted = sqlx::query(
            "INSERT INTO credit_alerts (account, round, percent, at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (account, round, percent) DO NOTHING",
        )
        .bind(account)
        .bind(round)
        .bind(percent)
        .bind(now())
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        Ok(noted.rows_affected() == 1)
    }

    /// Alerts that were not sent yet: account, round, percent, and when they were stored.
    pub async fn unsent_alerts(&self) -> Result<Vec<(String, String, i64, i64)>> {
        let rows = sqlx::query(
            "SELECT account, round, percent, at FROM credit_alerts WHERE sent IS NULL ORDER BY at LIMIT 100",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
            .collect()
    }

    pub async fn alert_sent(&self, account: &str, round: &str, percent: i64) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query(
            "UPDATE credit_alerts SET sent = $1 WHERE account = $2 AND round = $3 AND percent = $4",
        )
        .bind(now())
        .bind(account)
        .bind(round)
        .bind(percent)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }
}
