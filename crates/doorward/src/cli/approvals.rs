//! Commands for calls that wait for approval.

use clap::Subcommand;

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// List calls that wait for approval
    List {
        #[command(flatten)]
        kept: Kept,
        /// waiting, approved, refused, expired, used, ended or all
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
