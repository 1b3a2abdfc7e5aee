//! Daily and monthly quotas as a single gateway has counted them, so that a restart does not reset them.

use sqlx::Row;

use crate::{Result, Store};

/// What was used of one quota in a day or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaCount {
    pub rule: String,
    pub measure: String,
    /// What is counted apart.
    pub subject: String,
    /// Which day or month.
    pub period: i64,
    pub used: i64,
}

impl Store {
    pub async fn quota_counts(&self) -> Result<Vec<QuotaCount>> {
        let rows = sqlx::query("SELECT rule, measure, subject, period, used FROM quota_counts")
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(QuotaCount {
                rule: row.try_get("rule")?,
                measure: row.try_get("measure")?,
                subject: row.try_get("subject")?,
                period: row.try_get("period")?,
                used: row.try_get("used")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Keeps counts. Of two gateways that count by themselves, the one that has counted more is kept.
    pub async fn put_quota_counts(&self, counts: &[QuotaCount]) -> Result<()> {
        let mut change = self.write().await?;
        for count in counts {
            sqlx::query(
                "INSERT INTO quota_counts (rule, measure, subject, period, used) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (rule, measure, subject) DO UPDATE SET \
                 period = excluded.period, used = excluded.used \
                 WHERE excluded.period > quota_counts.period OR (excluded.period = quota_counts.period \
                 AND excluded.used > quota_counts.used)",
            )
            .bind(&count.rule)
            .bind(&count.measure)
            .bind(&count.subject)
            .bind(count.period)
            .bind(count.used)
            .execute(&mut *change)
            .await?;
        }
        change.commit_bookkeeping().await
    }
}
