//! Legal holds: what no retention may take away.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::act::Act;
use crate::{Error, Result, Store, now, random_id};

/// Keeps all records of a tenant's, of one principal's, or all there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A user's, agent's or service account's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    pub reason: String,
    pub created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<i64>,
}

impl Hold {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant")?,
            principal: row.try_get("principal")?,
            reason: row.try_get("reason")?,
            created: row.try_get("created")?,
            released: row.try_get("released")?,
        })
    }

    /// Whether a record of these is held.
    pub fn covers(&self, tenant: Option<&str>, principals: &[Option<&str>]) -> bool {
        self.released.is_none()
            && self.tenant.as_deref().is_none_or(|held| tenant == Some(held))
            && self.principal.as_deref().is_none_or(|held| principals.contains(&Some(held)))
    }
}

impl Store {
    pub async fn hold_audit(
        &self,
        tenant: Option<&str>,
        principal: Option<&str>,
        reason: &str,
    ) -> Result<Hold> {
        if reason.trim().is_empty() {
            return Err(Error::Refused("a hold needs a reason".into()));
        }
        let id = random_id::<6>()?;
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO audit_holds (id, tenant, principal, reason, created) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&id)
        .bind(tenant)
        .bind(principal)
        .bind(reason)
        .bind(now())
        .execute(&mut *change)
        .await?;
        let act = Act::new("audit.hold", &id).with("tenant", tenant).with("principal", principal);
        change.commit(&act.with("reason", reason)).await?;
        self.audit_hold(&id).await
    }

    /// Ends a hold. Doing it twice changes nothing.
    pub async fn release_audit(&self, id: &str) -> Result<Hold> {
        let mut change = self.write().await?;
        let released =
            sqlx::query("UPDATE audit_holds SET released = COALESCE(released, $1) WHERE id = $2")
                .bind(now())
                .bind(id)
                .execute(&mut *change)
                .await?;
        if released.rows_affected() == 0 {
            return Err(Error::absent("hold", id));
        }
        change.commit(&Act::new("audit.release", id)).await?;
        self.audit_hold(id).await
    }

    async fn audit_hold(&self, id: &str) -> Result<Hold> {
        let all = self.audit_holds().await?;
        all.into_iter().find(|hold| hold.id == id).ok_or_else(|| Error::absent("hold", id))
    }

    /// All holds, the newest first.
    pub async fn audit_holds(&self) -> Result<Vec<Hold>> {
        let rows = sqlx::query(
            "SELECT id, tenant, principal, reason, created, released FROM audit_holds \
             ORDER BY created DESC, id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Hold::read).collect()
    }
}
