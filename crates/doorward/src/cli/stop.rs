//! Commands for emergency stops.

use clap::{Args, Subcommand};

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Stop {
    /// Stop a server: its lists, calls, sessions and streams
    Server(Named),
    /// Stop one tool, by its server and original name
    Tool {
        #[arg(value_name = "SERVER/TOOL")]
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Stop an agent, for all users it acts for
    Agent(Named),
    /// Stop a user
    User(Named),
    /// Stop a service account
    ServiceAccount(Named),
    /// Stop an API key; other keys of its owner stay valid
    Key {
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        how: How,
    },
    /// Stop presenting the credentials of a server, or a provided one: mail/user:alice
    Credential(OfServer),
    /// Stop an OAuth client
    Client {
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        how: How,
    },
    /// Stop everybody in a tenant
    Tenant(Named),
    /// Stop all calls of all callers
    All {
        #[command(flatten)]
        how: How,
    },
    /// List the stops in force
    List {
        #[command(flatten)]
        kept: Kept,
        /// Include stops that were undone
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Undo a stop
    Undo {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        /// Reason
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub how: How,
}

/// A credential. Its name must differ from that of the credential that a command presents.
#[derive(Debug, Args)]
pub struct OfServer {
    #[arg(value_name = "SERVER[/KIND:OWNER]")]
    pub name: String,
    #[command(flatten)]
    pub how: How,
}

/// The mode of a stop.
#[derive(Debug, Args)]
pub struct How {
    #[command(flatten)]
    pub kept: Kept,
    /// Reason
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Let calls in flight end instead of cancelling them
    #[arg(long)]
    pub let_end: bool,
}
