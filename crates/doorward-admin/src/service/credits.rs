//! Credit, budgets and the ledger.

use doorward_policy::{Action, Target};
use doorward_store::{Account, Amount, Books, BudgetPeriod, CreditEntry, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::directory::People;
use crate::desk::{self, Desk};
use crate::openapi::Nothing;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging, no_cursor};
use crate::problem::Problem;

pub const LIST: Operation<Paging, Page<Account>> = Operation::new(
    "credits.list",
    (Verb::Get, "/admin/v1/credits"),
    "List accounts: free, held and spent credit, and budgets",
    (Action::Bill, On::Decides),
    |desk, paging| Box::pin(async move { list(&desk, &paging).await }),
);

pub const SHOW: Operation<Of, Account> = Operation::new(
    "credits.show",
    (Verb::Get, "/admin/v1/credits/{kind}/{name}"),
    "Show an account",
    (Action::Bill, On::Decides),
    |desk, input| {
        Box::pin(async move {
            permitted(&desk, &input.kind, &input.name).await?;
            Ok(desk.store()?.credit_account(&id(&input.kind, &input.name)).await?)
        })
    },
);

pub const ENTRIES: Operation<Entries, Page<CreditEntry>> = Operation::new(
    "credits.entries",
    (Verb::Get, "/admin/v1/credits/{kind}/{name}/entries"),
    "List the entries of an account, the latest first",
    (Action::Bill, On::Decides),
    |desk, input| Box::pin(async move { entries(&desk, &input).await }),
);

pub const GRANT: Operation<Grant, Account> = Operation::new(
    "credits.grant",
    (Verb::Post, "/admin/v1/credits/{kind}/{name}/grant"),
    "Grant credit to an account; a negative amount takes it back",
    // Who a tenant's admin is for its bills may not give it credit.
    (Action::Bill, On::Gateway),
    |desk, input| Box::pin(async move { grant(&desk, &input).await }),
)
.making();

pub const BUDGET: Operation<SetBudget, Account> = Operation::new(
    "credits.budget",
    (Verb::Put, "/admin/v1/credits/{kind}/{name}/budget"),
    "Set the budget of a team, user or agent; without an amount, remove it",
    (Action::Bill, On::Decides),
    |desk, input| Box::pin(async move { budget(&desk, &input).await }),
);

pub const CHECK: Operation<Nothing, Books> = Operation::new(
    "credits.check",
    (Verb::Get, "/admin/v1/ledger"),
    "Check that the ledger is consistent",
    (Action::Bill, On::Gateway),
    |desk, _| Box::pin(async move { Ok(desk.store()?.check_books().await?) }),
);

/// Whose account: `tenant`, `team`, `user`, `agent` or `service_account`, and a name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    pub kind: doorward_store::Kind,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Entries {
    pub kind: doorward_store::Kind,
    pub name: String,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub kind: doorward_store::Kind,
    pub name: String,
    pub amount: Amount,
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBudget {
    pub kind: doorward_store::Kind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Default: a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<BudgetPeriod>,
}

/// An account's id: `tenant/acme`.
fn id(kind: &doorward_store::Kind, name: &str) -> String {
    format!("{kind}/{name}")
}

async fn permitted(desk: &Desk, kind: &doorward_store::Kind, name: &str) -> Result<(), Problem> {
    let people = People::read(desk).await?;
    desk.require(Action::Bill, &people.about(*kind, name))
}

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Account>, Problem> {
    let accounts = match desk.maybe_store() {
        Some(store) => store.credit_accounts().await?,
        None => Vec::new(),
    };
    let people = People::read(desk).await?;
    let about = |account: &Account| -> Target {
        let whose =
            account.id.split_once('/').and_then(|(kind, name)| Some((kind.parse().ok()?, name)));
        whose.map_or_else(desk::gateway, |(kind, name)| people.about(kind, name))
    };
    let accounts = desk.visible(Action::Bill, accounts, about)?;
    paging.of(accounts, |account| account.id.clone())
}

async fn entries(desk: &Desk, input: &Entries) -> Result<Page<CreditEntry>, Problem> {
    permitted(desk, &input.kind, &input.name).await?;
    let count = input.paging.count_at(desk)?;
    let after = match input.paging.after()? {
        None => None,
        Some(key) => Some(serde_json::from_str::<CreditEntry>(&key).map_err(|_| no_cursor())?),
    };
    let most = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
    let account = id(&input.kind, &input.name);
    let entries = desk.store()?.credit_entries(&account, after.as_ref(), most).await?;
    // What was said of an entry is not needed to find the next one.
    Ok(Page::cut(entries, count, |entry| {
        let place = CreditEntry { note: String::new(), ..entry.clone() };
        serde_json::to_string(&place).unwrap_or_default()
    }))
}

async fn grant(desk: &Desk, input: &Grant) -> Result<Account, Problem> {
    if input.amount.0 == 0 {
        return Err(Problem::invalid("'amount' must not be zero"));
    }
    let account = id(&input.kind, &input.name);
    let store = desk.store()?;
    let granted = store.grant_credit(&account, input.amount, &input.note).await;
    if !desk.is_rehearsal() {
        let account = granted?;
        desk.settle().await?;
        return Ok(account);
    }
    // Nothing was granted: it is as it was, or not there yet.
    match granted {
        Ok(account) => Ok(Account { balance: account.balance.plus(input.amount), ..account }),
        Err(Error::Absent { .. }) => Ok(Account { balance: input.amount, ..empty(account) }),
        Err(error) => Err(error.into()),
    }
}

/// An account in which nothing is.
fn empty(id: String) -> Account {
    let none = Amount(0);
    Account {
        id,
        balance: none,
        held: none,
        spent: none,
        allowance: None,
        period: None,
        current: None,
    }
}

async fn budget(desk: &Desk, input: &SetBudget) -> Result<Account, Problem> {
    permitted(desk, &input.kind, &input.name).await?;
    if input.kind == doorward_store::Kind::Tenant {
        let why = "budgets are for teams, users and agents; grant credit to a tenant";
        return Err(Problem::invalid(why));
    }
    if input.amount.is_some_and(|amount| amount.0 < 0) {
        return Err(Problem::invalid("'amount' must not be negative"));
    }
    let period = input.period.unwrap_or(BudgetPeriod::Month);
    let account = id(&input.kind, &input.name);
    let store = desk.store()?;
    store.set_budget(&account, input.amount.map(|amount| (amount, period))).await?;
    desk.settle().await?;
    if desk.is_rehearsal() {
        let (allowance, period) = (input.amount, input.amount.map(|_| period));
        return Ok(Account { allowance, period, ..empty(account) });
    }
    Ok(store.credit_account(&account).await?)
}
