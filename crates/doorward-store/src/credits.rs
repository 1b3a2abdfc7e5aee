//! Credit, by double entry: every transaction takes from one account what it gives to another, so that the sum of all
//! entries is always zero. Entries are never edited: errors are corrected by another transaction.

mod alerts;
mod books;

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};

pub use self::books::{Account, Books, BudgetPeriod, Entry};

use crate::amount::Amount;
use crate::{Act, Error, NotAName, Result, Store, WriterId, now, random_id};

/// The source account of granted credit and of budgets.
const GRANTED: &str = "granted";
const ALLOWANCE: &str = "allowance";

/// One movement on its way into a transaction.
struct Movement<'a> {
    id: String,
    kind: &'static str,
    note: &'a str,
}

impl Movement<'_> {
    /// Moves an amount from one account to another. Returns whether the first had it; with `overdraw`
    /// it need not.
    async fn move_credit(
        &self,
        connection: &mut AnyConnection,
        from: &str,
        to: &str,
        amount: Amount,
        overdraw: bool,
    ) -> Result<bool> {
        if amount == Amount::ZERO {
            return Ok(true);
        }
        // In the order of their names, so that two movements never wait for each other.
        let mut sides = [(from, -amount.0), (to, amount.0)];
        sides.sort();
        for (account, amount) in sides {
            open_account(connection, account).await?;
            let least = if account == from && !overdraw { -amount } else { i64::MIN };
            let moved = sqlx::query(
                "UPDATE credit_accounts SET balance = balance + $1 WHERE id = $2 AND balance >= $3",
            )
            .bind(amount)
            .bind(account)
            .bind(least)
            .execute(&mut *connection)
            .await?;
            if moved.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(
                "INSERT INTO credit_entries (movement, account, amount, kind, note, at) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(&self.id)
            .bind(account)
            .bind(amount)
            .bind(self.kind)
            .bind(self.note)
            .bind(now())
            .execute(&mut *connection)
            .await?;
        }
        Ok(true)
    }
}

fn held(writer: &str, account: &str) -> String {
    format!("held/{writer}/{account}")
}

fn spent(account: &str) -> String {
    format!("spent/{account}")
}

/// Creates an account if there is none.
async fn open_account(connection: &mut AnyConnection, account: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO credit_accounts (id, balance, created) VALUES ($1, 0, $2) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(account)
    .bind(now())
    .execute(connection)
    .await?;
    Ok(())
}

/// Settles what calls have cost out of what a gateway holds. `id` names the records it is for.
pub(crate) async fn settle(
    connection: &mut AnyConnection,
    writer: &str,
    id: &str,
    charges: &BTreeMap<String, Amount>,
) -> Result<()> {
    for (account, amount) in charges {
        let movement = Movement { id: format!("{id}/{account}"), kind: "settle", note: "" };
        let from = held(writer, account);
        // Costs beyond the reserved amount are owed.
        movement.move_credit(connection, &from, &spent(account), *amount, true).await?;
    }
    Ok(())
}

/// Settles what a dead gateway's calls have cost, and frees the rest of what it held.
pub(crate) async fn bury(
    connection: &mut AnyConnection,
    dead: &str,
    charges: &BTreeMap<String, Amount>,
) -> Result<()> {
    settle(connection, dead, &format!("died/{dead}"), charges).await?;
    free_all(connection, dead).await
}

/// Releases all credit that an ended gateway still holds.
pub(crate) async fn free_all(connection: &mut AnyConnection, ended: &str) -> Result<()> {
    let prefix = held(ended, "");
    let rows = sqlx::query(
        "SELECT id, balance FROM credit_accounts WHERE id >= $1 AND id < $2 ORDER BY id",
    )
    .bind(&prefix)
    .bind(format!("{}0", prefix.trim_end_matches('/')))
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let (id, balance): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let Some(account) = id.strip_prefix(&prefix) else { continue };
        let movement =
            Movement { id: format!("ended/{ended}/free/{account}"), kind: "free", note: "" };
        free(&movement, connection, &id, account, balance).await?;
    }
    Ok(())
}

/// Gives back what is held, or takes what is owed.
async fn free(
    movement: &Movement<'_>,
    connection: &mut AnyConnection,
    from: &str,
    to: &str,
    balance: i64,
) -> Result<()> {
    let (from, to) = if balance < 0 { (to, from) } else { (from, to) };
    movement.move_credit(connection, from, to, Amount(balance.abs()), true).await?;
    Ok(())
}

/// An account is somebody's who could be entered under that name.
fn check_owner(account: &str) -> Result<()> {
    let name = account.split_once('/').map_or(account, |(_, name)| name);
    NotAName::check(name).map_err(|error| Error::Refused(format!("'{name}': {error}")))
}

impl Store {
    /// Grants credit, or takes some back where the amount is negative. The account is made where there is
    /// none.
    pub async fn grant_credit(&self, account: &str, amount: Amount, note: &str) -> Result<Account> {
        check_owner(account)?;
        let mut change = self.change().await?;
        let kind = if amount.0 < 0 { "adjust" } else { "grant" };
        let movement = Movement { id: random_id::<8>()?, kind, note };
        let (from, to) = if amount.0 < 0 { (account, GRANTED) } else { (GRANTED, account) };
        open_account(&mut change, account).await?;
        // Credit that is taken back may be spent already: then it is owed.
        movement.move_credit(&mut change, from, to, Amount(amount.0.abs()), true).await?;
        let act = Act::new("credit.grant", account).with("amount", amount).with("note", note);
        change.commit(&act.with("movement", &movement.id)).await?;
        self.credit_account(account).await
    }

    /// Gives somebody a budget that is filled again each day or month; `None` takes it away.
    pub async fn set_budget(
        &self,
        account: &str,
        budget: Option<(Amount, BudgetPeriod)>,
    ) -> Result<()> {
        if budget.is_some() {
            check_owner(account)?;
        }
        let mut change = self.change().await?;
        match budget {
            Some((allowance, period)) => {
                sqlx::query(
                    "INSERT INTO credit_accounts (id, balance, allowance, period, current, created) \
                     VALUES ($1, 0, $2, $3, '', $4) ON CONFLICT (id) DO UPDATE SET \
                     allowance = excluded.allowance, period = excluded.period, current = ''",
                )
                .bind(account)
                .bind(allowance.0)
                .bind(period.as_str())
                .bind(now())
                .execute(&mut *change)
                .await?;
            }
            None => {
                let gone = sqlx::query(
                    "UPDATE credit_accounts SET allowance = NULL, period = NULL, current = NULL \
                     WHERE id = $1 AND period IS NOT NULL",
                )
                .bind(account)
                .execute(&mut *change)
                .await?;
                if gone.rows_affected() == 0 {
                    return Err(Error::absent("budget", account));
                }
            }
        }
        let budget = budget.map(|(amount, period)| format!("{amount} a {}", period.as_str()));
        change.commit(&Act::new("credit.budget", account).with("budget", budget)).await
    }

    /// Takes credit ahead for a gateway: what is needed, and more where there is enough. `date` is today's,
    /// in the zone of budgets. `None` if there is not what is needed; with `overdraw` there always is.
    pub async fn hold_credit(
        &self,
        writer: &WriterId,
        account: &str,
        (needed, more): (Amount, Amount),
        date: &str,
        overdraw: bool,
    ) -> Result<Option<Amount>> {
        let mut change = self.write().await?;
        let row = sqlx::query(
            "UPDATE credit_accounts SET balance = balance WHERE id = $1 \
             RETURNING balance, allowance, period, current",
        )
        .bind(account)
        .fetch_optional(&mut *change)
        .await?;
        let Some(row) = row else { return Err(Error::absent("account", account)) };
        let mut balance: i64 = row.try_get("balance")?;
        let period: Option<String> = row.try_get("period")?;
        let allowance: Option<i64> = row.try_get("allowance")?;
        if let (Some(period), Some(allowance)) = (period, allowance) {
            let today = BudgetPeriod::read(&period).of(date);
            let current: Option<String> = row.try_get("current")?;
            // A clock that is set back does not start a new day.
            if current.as_deref().is_none_or(|current| *current < *today) {
                let movement =
                    Movement { id: format!("{account}/{today}"), kind: "renew", note: "" };
                let again = sqlx::query("SELECT 1 FROM credit_entries WHERE movement = $1")
                    .bind(&movement.id)
                    .fetch_optional(&mut *change)
                    .await?;
                let movement = match again {
                    // The budget was changed within the day.
                    Some(_) => Movement {
                        id: format!("{}/{}", movement.id, random_id::<8>()?),
                        ..movement
                    },
                    None => movement,
                };
                let difference = allowance - balance;
                let (from, to) =
                    if difference < 0 { (account, ALLOWANCE) } else { (ALLOWANCE, account) };
                movement.move_credit(&mut change, from, to, Amount(difference.abs()), true).await?;
                sqlx::query("UPDATE credit_accounts SET current = $1 WHERE id = $2")
                    .bind(today)
                    .bind(account)
                    .execute(&mut *change)
                    .await?;
                balance = allowance;
            }
        }
        // Leave some of the remaining credit to others.
        let more = more.0.min((balance - needed.0) / 8).max(0);
        let amount = Amount(needed.0 + more);
        let movement = Movement { id: random_id::<8>()?, kind: "hold", note: "" };
        let to = held(&writer.0, account);
        if !movement.move_credit(&mut change, account, &to, amount, overdraw).await? {
            return Ok(None);
        }
        change.commit_bookkeeping().await?;
        Ok(Some(amount))
    }

    /// Releases reserved credit.
    pub async fn free_credit(
        &self,
        writer: &WriterId,
        account: &str,
        amount: Amount,
    ) -> Result<()> {
        let mut change = self.write().await?;
        let movement = Movement { id: random_id::<8>()?, kind: "free", note: "" };
        let from = held(&writer.0, account);
        movement.move_credit(&mut change, &from, account, amount, true).await?;
        change.commit_bookkeeping().await
    }
}
