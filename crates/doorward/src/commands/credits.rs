//! `doorward credits`: accounts, grants of credit, and the consistency of the ledger.

use std::io::Write;

use doorward_admin::Paging;
use doorward_admin::openapi::Nothing;
use doorward_admin::service::credits;
use doorward_store::{Amount, BudgetPeriod, Kind};

use super::keys::date;
use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::{Credits, Each, Whose};
use crate::terminal::{self, one_line};

pub async fn run(options: Credits) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Credits::Grant { kept, whose, amount, note } => {
            if amount.0 <= 0 {
                let why = "the amount must be positive; to take credit back, use 'adjust'";
                return Err(Failed::new(Exit::Usage, why));
            }
            let (kind, name) = account(&whose);
            let wanted = credits::Grant { kind, name, amount, note };
            let account = place(&kept).await?.call(&credits::GRANT, wanted).await?;
            writeln!(out, "{}: {} available", named(&account.id), account.balance)?;
        }
        Credits::Adjust { kept, whose, amount, note } => {
            let (kind, name) = account(&whose);
            let wanted = credits::Grant { kind, name, amount, note };
            let account = place(&kept).await?.call(&credits::GRANT, wanted).await?;
            writeln!(out, "{}: {} available", named(&account.id), account.balance)?;
        }
        Credits::Budget { kept, whose, amount, each } => {
            if whose.tenant.is_some() {
                let why = "budgets are for teams, users and agents; use 'credits grant' for a \
                    tenant";
                return Err(Failed::new(Exit::Usage, why));
            }
            let period = match each {
                Each::Day => BudgetPeriod::Day,
                Each::Month => BudgetPeriod::Month,
            };
            let budget = match amount.as_str() {
                "none" => None,
                text => {
                    let amount: Amount =
                        text.parse().map_err(|why| Failed::new(Exit::Usage, why))?;
                    if amount.0 < 0 {
                        let why = "the amount must not be negative; 'none' removes the budget";
                        return Err(Failed::new(Exit::Usage, why));
                    }
                    Some((amount, period))
                }
            };
            let (kind, name) = account(&whose);
            let id = format!("{kind}/{name}");
            let (amount, period) = (budget.map(|(amount, _)| amount), budget.map(|(_, it)| it));
            let wanted = credits::SetBudget { kind, name, amount, period };
            place(&kept).await?.call(&credits::BUDGET, wanted).await?;
            match budget {
                Some((amount, period)) => {
                    writeln!(out, "{}: {amount} a {}", named(&id), period.as_str())?;
                }
                None => writeln!(out, "{}: no budget", named(&id))?,
            }
        }
        Credits::List { kept, json } => {
            let wanted = Paging::default();
            let accounts = place(&kept).await?.list(&credits::LIST, &wanted).await?;
            if json {
                return Ok(terminal::json(&mut out, &accounts)?);
            }
            let mut rows = vec![["ACCOUNT", "FREE", "HELD", "SPENT", "BUDGET"].map(str::to_owned)];
            rows.extend(accounts.iter().map(|account| {
                let budget = account.allowance.zip(account.period);
                let budget =
                    budget.map(|(amount, period)| format!("{amount} a {}", period.as_str()));
                [
                    named(&account.id),
                    account.balance.to_string(),
                    account.held.to_string(),
                    account.spent.to_string(),
                    budget.unwrap_or_else(|| "-".into()),
                ]
            }));
            terminal::table(&mut out, &rows)?;
        }
        Credits::Entries { kept, whose, limit, json } => {
            let (kind, name) = account(&whose);
            let wanted = credits::Entries { kind, name, paging: Paging::default() };
            let entries = place(&kept).await?.first(&credits::ENTRIES, &wanted, limit).await?;
            if json {
                return Ok(terminal::json(&mut out, &entries)?);
            }
            let mut rows =
                vec![["AT", "ACCOUNT", "AMOUNT", "KIND", "MOVEMENT", "NOTE"].map(str::to_owned)];
            rows.extend(entries.iter().map(|entry| {
                [
                    date(entry.at),
                    named(&entry.account),
                    entry.amount.to_string(),
                    entry.kind.clone(),
                    one_line(&entry.movement),
                    one_line(&entry.note),
                ]
            }));
            terminal::table(&mut out, &rows)?;
        }
        Credits::Check { kept, json } => {
            let books = place(&kept).await?.call(&credits::CHECK, Nothing {}).await?;
            if json {
                terminal::json(&mut out, &books)?;
            } else {
                for movement in &books.unbalanced {
                    writeln!(
                        out,
                        "the entries of transaction {} do not balance",
                        one_line(movement)
                    )?;
                }
                for account in &books.wrong {
                    writeln!(
                        out,
                        "the balance of {} is not the sum of its entries",
                        named(account)
                    )?;
                }
                let verdict = if books.are_good() {
                    "the ledger is consistent"
                } else {
                    "THE LEDGER IS NOT CONSISTENT"
                };
                writeln!(
                    out,
                    "{} entries, total {}; {} spent, {} reserved\n{verdict}",
                    books.entries, books.sum, books.spent, books.held
                )?;
            }
            if !books.are_good() {
                return Err(Failed::silent(Exit::Failure));
            }
        }
    }
    Ok(())
}

/// An account, with its owner's name in the form that options accept.
fn named(account: &str) -> String {
    match account.split_once('/') {
        Some((kind, name)) => format!("{}/{}", one_line(kind), terminal::name(name)),
        None => one_line(account),
    }
}

/// The account's owner: a kind and a name.
fn account(whose: &Whose) -> (Kind, String) {
    let all = [
        (Kind::Tenant, &whose.tenant),
        (Kind::Team, &whose.team),
        (Kind::User, &whose.user),
        (Kind::Agent, &whose.agent),
        (Kind::ServiceAccount, &whose.service_account),
    ];
    let named = all.into_iter().find_map(|(kind, name)| Some((kind, name.clone()?)));
    // The command line requires one of them.
    named.unwrap_or((Kind::Tenant, String::new()))
}
