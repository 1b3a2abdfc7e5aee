//! Credit, budgets and the ledger.

use doorward_policy::{Action, Target};
use doorward_store::{Account, Amount, Books, BudgetPeriod, CreditEntry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::directory::People;
use crate::desk::{self, Desk};
use crate::openapi::Nothing;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
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
    "List the latest entries of an account",
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
#[serde(deny_unknown_fields)]
pub struct Entries {
    pub kind: doorward_store::Kind,
    pub name: String,
    /// The latest entries that are returned: 1 to 1000. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
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
    let count = Paging::new(None, input.limit).count()?;
    let most = i64::try_from(count).unwrap_or(i64::MAX);
    let items = desk.store()?.credit_entries(&id(&input.kind, &input.name), most).await?;
    Ok(Page { items, next_cursor: None })
}

async fn grant(desk: &Desk, input: &Grant) -> Result<Account, Problem> {
    if input.amount.0 == 0 {
        return Err(Problem::invalid("'amount' must not be zero"));
    }
    let account = id(&input.kind, &input.name);
    let account = desk.store()?.grant_credit(&account, input.amount, &input.note).await?;
    desk.settle().await?;
    Ok(account)
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
        let none = Amount(0);
        return Ok(Account {
            id: account,
            balance: none,
            held: none,
            spent: none,
            allowance: input.amount,
            period: input.amount.map(|_| period),
            current: None,
        });
    }
    Ok(store.credit_account(&account).await?)
}
