//! Commands for credit and usage.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use doorward_admin::service::usage::By;
use doorward_store::Amount;

use super::audit::Span;
use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Credits {
    /// Grant credit to a tenant; creates the account if needed
    Grant {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        #[arg(value_name = "AMOUNT", value_parser = parse_amount)]
        amount: Amount,
        /// Reason
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Correct an account by an adjustment; a negative amount takes credit back
    Adjust {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        #[arg(value_name = "AMOUNT", value_parser = parse_amount)]
        amount: Amount,
        /// Reason
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Set or remove a daily or monthly budget of a team, user or agent
    Budget {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        /// Amount; `none` removes the budget
        #[arg(value_name = "AMOUNT")]
        amount: String,
        #[arg(long, value_name = "PERIOD", default_value = "month")]
        each: Each,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// List the entries of an account, latest first
    Entries {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        /// Maximum number
        #[arg(short, long, value_name = "COUNT", default_value_t = 100)]
        limit: usize,
        #[arg(long)]
        json: bool,
    },
    /// Check the ledger: entries balance, and every balance is the sum of its entries
    Check {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
}

fn parse_amount(text: &str) -> Result<Amount, String> {
    text.parse()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Each {
    Day,
    Month,
}

/// The owner of an account.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UsageForm {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub struct Usage {
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub span: Span,
    /// Group by
    #[arg(
        long,
        value_name = "DIMENSION",
        value_delimiter = ',',
        default_value = "tenant,tool",
        value_parser = dimensions()
    )]
    pub by: Vec<By>,
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    #[arg(long, value_name = "SERVER")]
    pub server: Option<String>,
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: UsageForm,
    /// Invoice lines as CSV for a month such as 2026-11: what each tenant owes, by tool
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["since", "until", "by", "format"])]
    pub invoice: Option<String>,
}

/// The dimensions of usage, by their names.
fn dimensions() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(By::ALL.map(By::as_str)).map(|name| {
        // The parser accepts these names only.
        By::ALL.into_iter().find(|by| by.as_str() == name).unwrap_or(By::Tenant)
    })
}
