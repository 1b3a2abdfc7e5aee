//! The ledger: accounts, their entries, and whether it is consistent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};

use super::spent;
use crate::amount::Amount;
use crate::{Error, Result, Store};

/// The period after which a budget is refilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPeriod {
    Day,
    Month,
}

impl BudgetPeriod {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    pub(super) fn read(text: &str) -> Self {
        if text == "day" { Self::Day } else { Self::Month }
    }

    /// The day or month of a date such as `2026-11-21`.
    pub fn of(self, date: &str) -> String {
        date.get(..if self == Self::Day { 10 } else { 7 }).unwrap_or(date).to_owned()
    }
}

/// The current state of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    pub id: String,
    /// Available credit: neither spent nor held by a gateway.
    pub balance: Amount,
    /// Credit that gateways have reserved.
    pub held: Amount,
    pub spent: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<BudgetPeriod>,
    /// The day or month that its balance is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}

/// One side of a movement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    pub movement: String,
    pub account: String,
    pub amount: Amount,
    pub kind: String,
    pub note: String,
    pub at: i64,
}

/// The result of a consistency check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Books {
    pub entries: i64,
    /// The sum of all entries, which must be zero.
    pub sum: Amount,
    /// Movements whose entries do not add up to zero.
    pub unbalanced: Vec<String>,
    /// Accounts whose balance is not the sum of their entries.
    pub wrong: Vec<String>,
    pub spent: Amount,
    pub held: Amount,
}

impl Books {
    pub fn are_good(&self) -> bool {
        self.sum == Amount::ZERO && self.unbalanced.is_empty() && self.wrong.is_empty()
    }
}

impl Store {
    /// All accounts of tenants, teams, users and agents.
    pub async fn credit_accounts(&self) -> Result<Vec<Account>> {
        let rows = sqlx::query(
            "SELECT id, balance, allowance, period, current FROM credit_accounts ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut all: BTreeMap<String, Account> = BTreeMap::new();
        let mut aside: Vec<(String, i64)> = Vec::new();
        for row in &rows {
            let (id, balance): (String, i64) = (row.try_get("id")?, row.try_get("balance")?);
            if id.starts_with("held/") || id.starts_with("spent/") {
                aside.push((id, balance));
                continue;
            }
            if !id.contains('/') {
                continue;
            }
            let period: Option<String> = row.try_get("period")?;
            let account = Account {
                id: id.clone(),
                balance: Amount(balance),
                held: Amount::ZERO,
                spent: Amount::ZERO,
                allowance: row.try_get::<Option<i64>, _>("allowance")?.map(Amount),
                period: period.as_deref().map(BudgetPeriod::read),
                current: row.try_get("current")?,
            };
            all.insert(id, account);
        }
        for (id, balance) in aside {
            let (of, is_spent) = match id.strip_prefix("spent/") {
                Some(of) => (of, true),
                // The writer's name has no slash.
                None => (id.splitn(3, '/').nth(2).unwrap_or_default(), false),
            };
            if let Some(account) = all.get_mut(of) {
                let side = if is_spent { &mut account.spent } else { &mut account.held };
                *side = side.plus(Amount(balance));
            }
        }
        Ok(all.into_values().collect())
    }

    pub async fn credit_account(&self, id: &str) -> Result<Account> {
        let all = self.credit_accounts().await?;
        all.into_iter().find(|account| account.id == id).ok_or_else(|| Error::absent("account", id))
    }

    /// The credit of an account that is not spent, be it that gateways have reserved it; `None` if there is none.
    pub async fn credit_left(&self, id: &str) -> Result<Option<Amount>> {
        let rows = sqlx::query(
            "SELECT id, balance FROM credit_accounts WHERE id = $1 \
             OR (id >= 'held/' AND id < 'held0' AND substr(id, length(id) - length($1)) = '/' || $1)",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await?;
        let mut left: Option<Amount> = None;
        for row in &rows {
            let (of, balance): (String, i64) = (row.try_get("id")?, row.try_get("balance")?);
            // The writer's name has no slash.
            if of == id || of.splitn(3, '/').nth(2) == Some(id) {
                left = Some(left.unwrap_or(Amount::ZERO).plus(Amount(balance)));
            }
        }
        Ok(left)
    }

    /// The entries of an account, newest first; with `after`, those that follow it.
    pub async fn credit_entries(
        &self,
        account: &str,
        after: Option<&Entry>,
        most: i64,
    ) -> Result<Vec<Entry>> {
        let (at, movement, of) =
            after.map_or((i64::MAX, "", ""), |entry| (entry.at, &*entry.movement, &*entry.account));
        let rows = sqlx::query(
            "SELECT movement, account, amount, kind, note, at FROM credit_entries \
             WHERE (account = $1 OR account = $2) \
             AND (at < $3 OR (at = $3 AND (movement, account) > ($4, $5))) \
             ORDER BY at DESC, movement, account LIMIT $6",
        )
        .bind(account)
        .bind(spent(account))
        .bind(at)
        .bind(movement)
        .bind(of)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Entry {
                movement: row.try_get("movement")?,
                account: row.try_get("account")?,
                amount: Amount(row.try_get("amount")?),
                kind: row.try_get("kind")?,
                note: row.try_get("note")?,
                at: row.try_get("at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Checks the consistency of the ledger.
    pub async fn check_books(&self) -> Result<Books> {
        // One snapshot of everything, despite concurrent writes.
        let mut change = self.write().await?;
        if matches!(self.location(), crate::Location::Postgres(_)) {
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                .execute(&mut *change)
                .await?;
        }
        let total = sqlx::query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM credit_entries",
        )
        .fetch_one(&mut *change)
        .await?;
        let unbalanced = sqlx::query(
            "SELECT movement FROM credit_entries GROUP BY movement HAVING SUM(amount) <> 0 LIMIT 20",
        )
        .fetch_all(&mut *change)
        .await?;
        let wrong = sqlx::query(
            "SELECT a.id FROM credit_accounts a LEFT JOIN (SELECT account, SUM(amount) AS total \
             FROM credit_entries GROUP BY account) e ON e.account = a.id \
             WHERE a.balance <> COALESCE(e.total, 0) LIMIT 20",
        )
        .fetch_all(&mut *change)
        .await?;
        let part = async |change: &mut AnyConnection, prefix: &str| -> Result<Amount> {
            let row = sqlx::query(
                "SELECT CAST(COALESCE(SUM(balance), 0) AS BIGINT) FROM credit_accounts WHERE id LIKE $1",
            )
            .bind(format!("{prefix}/%"))
            .fetch_one(change)
            .await?;
            Ok(Amount(row.try_get(0)?))
        };
        let (spent, held) = (part(&mut change, "spent").await?, part(&mut change, "held").await?);
        let names = |rows: &[sqlx::any::AnyRow]| -> Result<Vec<String>> {
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        };
        Ok(Books {
            entries: total.try_get(0)?,
            sum: Amount(total.try_get(1)?),
            unbalanced: names(&unbalanced)?,
            wrong: names(&wrong)?,
            spent,
            held,
        })
    }
}
