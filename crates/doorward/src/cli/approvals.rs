//! Commands for calls that wait for approval.

use clap::Subcommand;

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// List calls that wait for approval
    List {
        #[command(flatten)]
        kept: Kept,
        /// waiting, approved, refused, expired, taken, used, ended or all
        #[arg(long, value_name = "STATE", default_value = "waiting")]
        state: String,
        #[arg(long)]
        json: bool,
    },
    /// Show an approval with its arguments and votes
    Show {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Approve a call: it runs when its caller makes it again
    Approve {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        /// Run the call with another argument, as NAME=JSON; the policy says which can be edited. Needs --admin-url
        #[arg(long = "set", value_name = "NAME=JSON", value_parser = edit)]
        edits: Vec<(String, serde_json::Value)>,
        /// Reason, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Refuse a call
    Refuse {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        /// Reason, for the caller and the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// An edited argument.
fn edit(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=JSON")?;
    let value = serde_json::from_str(value)
        .map_err(|_| format!("'{value}' is not JSON; write a text as '\"{value}\"'"))?;
    Ok((name.to_owned(), value))
}
