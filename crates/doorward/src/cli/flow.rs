//! Commands for the labels of flow rules.

use clap::{Args, Subcommand};

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Flow {
    /// Show which labels callers carry, and which call first returned each
    Show {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: FlowOf,
        #[arg(long)]
        json: bool,
    },
    /// Clear the labels of a caller or of a session
    Clear {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        whose: FlowOf,
        /// Reason, for the audit log
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

/// Whose labels.
#[derive(Debug, Args)]
pub struct FlowOf {
    /// A user, with all agents that act for the user
    #[arg(long, value_name = "NAME", conflicts_with = "service_account")]
    pub user: Option<String>,
    /// An agent; with --user, as it acts for the user
    #[arg(long, value_name = "NAME", conflicts_with = "service_account")]
    pub agent: Option<String>,
    /// A service account
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// A session or conversation, as this command and audit records name it
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
}
