//! Commands about credit and usage.

use clap::{Args, Subcommand, ValueEnum};
use doorward_store::Amount;

use super::{Kept, Span};

#[derive(Debug, Subcommand)]
pub enum Credits {
    /// Give a tenant credit. The account is made where there is none
    Grant {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        #[arg(value_name = "AMOUNT", value_parser = parse_amount)]
        amount: Amount,
        /// Why, in words
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Set an account right by an entry of its own: with a minus credit is taken back
    Adjust {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        #[arg(value_name = "AMOUNT", value_parser = parse_amount)]
        amount: Amount,
        /// Why, in words
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Give a team, user or agent a budget that is filled again each day or month, or take it away
    Budget {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        /// How much; `none` takes the budget away
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
    /// List the entries of an account, the latest first
    Entries {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: Whose,
        /// How many at most
        #[arg(short, long, value_name = "COUNT", default_value_t = 100)]
        limit: i64,
        #[arg(long)]
        json: bool,
    },
    /// Check the books: that every movement gives what it takes, and every balance is the sum of its entries
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

/// Whose account it is.
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

/// By what usage is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    Tenant,
    User,
    Agent,
    Key,
    Server,
    Tool,
    Hour,
    Day,
    Month,
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
    /// By what it is told apart
    #[arg(long, value_name = "DIMENSION", value_delimiter = ',', default_value = "tenant,tool")]
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
    /// The lines of an invoice instead: what each tenant owes for a month such as 2026-11, by tool, as CSV
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["since", "until", "by", "format"])]
    pub invoice: Option<String>,
}
