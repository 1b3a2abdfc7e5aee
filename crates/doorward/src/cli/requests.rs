//! Commands for users' requests for access.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Requests {
    /// List requests of users for access and for new servers
    List {
        #[command(flatten)]
        kept: Kept,
        /// open, granted, refused, withdrawn, expired or all
        #[arg(long, value_name = "STATE", default_value = "open")]
        state: String,
        #[arg(long)]
        json: bool,
    },
    /// Show a request
    Show {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Grant a request
    Grant {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        by: GrantBy,
    },
    /// Refuse a request
    Refuse {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        /// Reason, for the requester and the audit log
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

/// How a request is granted.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct GrantBy {
    /// Give the requester this role
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Add the requester to this team
    #[arg(long, value_name = "TEAM")]
    pub team: Option<String>,
    /// Add this file to the active policies
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Access was given by other means, as this says
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}
