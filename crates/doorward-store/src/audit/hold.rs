//! Legal holds: records that no retention may remove.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::act::{ACTS, Act};
use super::checkpoint::PublicKeys;
use super::vouched::Walk;
use crate::{Error, Result, Store, now, random_id};

/// The acts that begin and end holds.
pub(super) const HOLD: &str = "audit.hold";
pub(super) const RELEASE: &str = "audit.release";

/// Retains all records of a tenant, of a principal, or all records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The name of a user, agent or service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    pub reason: String,
    pub created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<i64>,
}

/// The members of an act that concern holds.
#[derive(Deserialize)]
struct Acted {
    act: String,
    subject: String,
    #[serde(default)]
    details: Whose,
}

#[derive(Default, Deserialize)]
struct Whose {
    tenant: Option<String>,
    principal: Option<String>,
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

    /// Whether the hold covers records of this tenant and principal.
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
        let (id, created) = (random_id::<6>()?, now());
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO audit_holds (id, tenant, principal, reason, created) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&id)
        .bind(tenant)
        .bind(principal)
        .bind(reason)
        .bind(created)
        .execute(&mut *change)
        .await?;
        let act = Act::new(HOLD, &id).with("tenant", tenant).with("principal", principal);
        change.commit(&act.with("reason", reason)).await?;
        let (tenant, principal) = (tenant.map(str::to_owned), principal.map(str::to_owned));
        Ok(Hold { id, tenant, principal, reason: reason.to_owned(), created, released: None })
    }

    /// Ends a hold. Idempotent.
    pub async fn release_audit(&self, id: &str) -> Result<Hold> {
        let acted = self.holds_by_acts().await.unwrap_or_default().remove(id);
        let mut change = self.write().await?;
        let released =
            sqlx::query("UPDATE audit_holds SET released = COALESCE(released, $1) WHERE id = $2")
                .bind(now())
                .bind(id)
                .execute(&mut *change)
                .await?;
        let is_there = released.rows_affected() > 0;
        if !is_there && acted.is_none() {
            return Err(Error::absent("hold", id));
        }
        change.commit(&Act::new(RELEASE, id)).await?;
        // The row may have been deleted from the table.
        if let Some((tenant, principal)) = acted.filter(|_| !is_there) {
            let (reason, released) = (String::new(), Some(now()));
            return Ok(Hold { id: id.into(), tenant, principal, reason, created: 0, released });
        }
        let hold = self.audit_hold(id).await?;
        // A dry run does not end it.
        Ok(Hold { released: hold.released.or_else(|| Some(now())), ..hold })
    }

    async fn audit_hold(&self, id: &str) -> Result<Hold> {
        let all = self.audit_holds().await?;
        all.into_iter().find(|hold| hold.id == id).ok_or_else(|| Error::absent("hold", id))
    }

    /// The active holds. Fails if the acts contradict the table: otherwise anyone who can write to
    /// the database could end a hold by deleting its row.
    pub(super) async fn proven_holds(&self) -> Result<Vec<Hold>> {
        let acted = self.holds_by_acts().await?;
        let mut holds = self.audit_holds().await?;
        holds.retain(|hold| hold.released.is_none());
        for (id, (tenant, principal)) in acted {
            let is_there = holds.iter().any(|hold| {
                (&hold.id, &hold.tenant, &hold.principal) == (&id, &tenant, &principal)
            });
            if !is_there {
                return Err(Error::Refused(format!(
                    "the audit log says that hold {id} is active, but the database does not: \
                        nothing is removed until its row is restored, or 'doorward audit release \
                        {id}' releases it; run 'doorward audit verify'"
                )));
            }
        }
        Ok(holds)
    }

    /// Tenants and principals of active holds by id, according to the acts.
    async fn holds_by_acts(&self) -> Result<BTreeMap<String, (Option<String>, Option<String>)>> {
        let mut holds = BTreeMap::new();
        let (mut walk, keys) = (Walk::default(), PublicKeys::new());
        let mut scan = self.audit_chain(ACTS, i64::MIN);
        loop {
            let blocks = scan.next().await?;
            if blocks.is_empty() {
                return Ok(holds);
            }
            for text in blocks.iter().flat_map(super::Block::lines) {
                let begins = walk.last.is_none() && !text.contains("\"seq\":1,");
                if begins || !walk.take(text, ACTS, &keys, None) {
                    let why = "the chain of administrative actions is not intact, so it does not \
                        prove which legal holds are active: nothing is removed; run 'doorward \
                        audit verify'";
                    return Err(Error::Refused(why.into()));
                }
                match serde_json::from_str(text) {
                    Ok(Acted { act, subject, details }) if act == HOLD => {
                        holds.insert(subject, (details.tenant, details.principal));
                    }
                    Ok(Acted { act, subject, .. }) if act == RELEASE => _ = holds.remove(&subject),
                    _ => {}
                }
            }
        }
    }

    /// All holds, newest first.
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
