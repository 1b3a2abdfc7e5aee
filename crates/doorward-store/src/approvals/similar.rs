//! What was decided about other calls of the same tool by the same caller, and what came of these.

use doorward_governance::approvals::{Approval, Similar};
use sqlx::Row;

use super::{COLUMNS, read, with_votes};
use crate::{Result, Store};

/// Decisions that are shown, and requests that are read for them: some were never decided.
const MOST: usize = 5;
const MOST_READ: i64 = 20;

impl Store {
    /// The last decisions about other calls of the same tool by the same caller, the newest first.
    pub async fn similar_approvals(&self, to: &Approval) -> Result<Vec<Similar>> {
        let query = format!(
            "SELECT {COLUMNS}, outcome FROM approvals \
             WHERE principal = (SELECT principal FROM approvals WHERE id = $1) AND target = $2 \
             AND id <> $1 AND decided IS NOT NULL AND state <> 'waiting' ORDER BY decided DESC LIMIT $3"
        );
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(&to.id)
            .bind(to.subject.target())
            .bind(MOST_READ)
            .fetch_all(&mut *connection)
            .await?;
        let mut all = Vec::with_capacity(MOST);
        for row in &rows {
            let mut other = read(row)?;
            with_votes(&mut other, &mut connection).await?;
            all.extend(Similar::of(&other, row.try_get("outcome")?, &to.subject));
            if all.len() == MOST {
                break;
            }
        }
        Ok(all)
    }

    /// Keeps the outcome of a call that was sent with an approval.
    pub async fn note_outcome(&self, approval: &str, outcome: &str) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE approvals SET outcome = $1 WHERE id = $2 AND state = 'used'")
            .bind(outcome)
            .bind(approval)
            .execute(&mut *change)
            .await?;
        change.commit_bookkeeping().await
    }
}
