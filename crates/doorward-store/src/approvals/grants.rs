//! What an approval covers beside its call: remembered decisions, and calls that continue once their server has its input.

use doorward_governance::approvals::Approval;
use sqlx::{AnyConnection, Row};

use crate::{Change, Result, Store};

/// Decisions that are remembered, of one caller and in all; further ones are not.
const MOST_GRANTS_OF_CALLER: i64 = 200;
const MOST_GRANTS: i64 = 10_000;

impl Store {
    /// Lets an approved call go on once, which its server has answered by asking for input: `hash` is of the call and of what
    /// it continues from.
    pub async fn continue_approval(
        &self,
        principal: &str,
        approval: &str,
        hash: &str,
        expires: i64,
    ) -> Result<()> {
        let mut change = self.write().await?;
        grant(&mut change, hash, principal, approval, "", expires).await?;
        change.commit_bookkeeping().await
    }

    /// Takes what [`continue_approval`](Self::continue_approval) has left, once: the ID of the approval, empty if there was
    /// none.
    pub async fn take_continuation(&self, hash: &str, now: i64) -> Result<Option<String>> {
        let taken = sqlx::query(
            "DELETE FROM approval_grants WHERE hash = $1 AND expires > $2 RETURNING approval",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        Ok(taken.map(|row| row.try_get(0)).transpose()?)
    }

    /// Whether a decision is remembered.
    pub async fn is_remembered(&self, hash: &str, now: i64) -> Result<bool> {
        let query = "SELECT hash FROM approval_grants WHERE hash = $1 AND expires > $2";
        let row = sqlx::query(query).bind(hash).bind(now).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }
}

pub(super) async fn count(
    connection: &mut AnyConnection,
    query: impl Into<String>,
    of: &str,
) -> Result<i64> {
    let row = sqlx::query(sqlx::AssertSqlSafe(query.into())).bind(of).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn remember(approval: &Approval, now: i64, change: &mut Change) -> Result<()> {
    let row = sqlx::query("SELECT principal FROM approvals WHERE id = $1")
        .bind(&approval.id)
        .fetch_one(&mut **change)
        .await?;
    let principal: String = row.try_get(0)?;
    for (hash, policy, expires) in approval.remembered(now) {
        grant(change, hash, &principal, &approval.id, policy, expires).await?;
    }
    Ok(())
}

/// Keeps a decision, if there is room.
async fn grant(
    change: &mut Change,
    hash: &str,
    principal: &str,
    approval: &str,
    policy: &str,
    expires: i64,
) -> Result<()> {
    let own = "SELECT COUNT(*) FROM approval_grants WHERE principal = $1";
    let all = "SELECT COUNT(*) FROM approval_grants WHERE hash <> $1";
    if count(change, own, principal).await? >= MOST_GRANTS_OF_CALLER
        || count(change, all, "").await? >= MOST_GRANTS
    {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO approval_grants (hash, principal, approval, policy, expires) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO UPDATE SET \
         approval = excluded.approval, expires = excluded.expires",
    )
    .bind(hash)
    .bind(principal)
    .bind(approval)
    .bind(policy)
    .bind(expires)
    .execute(&mut **change)
    .await?;
    Ok(())
}
