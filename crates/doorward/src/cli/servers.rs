//! Commands for servers: their health and their lifecycle.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use url::Url;

use super::packages::LockPackages;
use super::pins::{DecideDefinitions, PinServers};
use super::reach::Operator;

/// Options and subcommands for servers.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Servers {
    #[command(subcommand)]
    pub command: Option<ServersCommand>,
    #[command(flatten)]
    pub operator: Operator,
    /// Print the states as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ServersCommand {
    /// Propose a server: somebody else reviews and approves it before it is used
    Propose(Box<ProposeServer>),
    /// Show a server for review; for a proposed one, its review begins
    Review(ReviewServer),
    /// Let the gateway connect to a server under review, list what it offers, and disconnect
    Look(OneServer),
    /// Approve a server as inspected last
    Approve(ApproveServer),
    /// Reject a proposed server
    Reject(StepServer),
    /// Put an approved or deprecated server in use
    Activate(StepServer),
    /// Tell clients to stop using a server
    Deprecate(DeprecateServer),
    /// Retire a server: it is no longer used
    Retire(StepServer),
    /// Take a server out of use until it is released
    Quarantine(StepServer),
    /// Release a server from quarantine
    Release(StepServer),
    /// Show the history of a server: who did what, when, and why
    History(OneServer),
    /// Show how a server's definitions differ from the approved ones, word by word
    Diff(OneServer),
    /// Accept withheld definitions of a server: they are pinned and served
    Accept(DecideDefinitions),
    /// Refuse withheld definitions of a server: they stay withheld
    Refuse(DecideDefinitions),
    /// Connect to the servers of a configuration and write their definitions to the lock file,
    /// doorward.lock
    Pin(PinServers),
    /// Resolve the packages of servers with all dependencies, verify and download them, and write the lock file
    Lock(LockPackages),
}

/// Where the servers are: at a running gateway, unless a database is named.
#[derive(Debug, Clone, Args)]
pub struct ServersAt {
    #[command(flatten)]
    pub operator: Operator,
    /// Work on this database instead, where no gateway runs: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Work on the database of this configuration instead, where no gateway runs
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ProposeServer {
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub from: ProposedFrom,
    /// URL of the server; with --openapi, of the API
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// Owner: a team or a user
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// Contact for questions
    #[arg(long, value_name = "TEXT")]
    pub contact: Option<String>,
    #[arg(long, value_name = "TEXT")]
    pub environment: Option<String>,
    /// Risk level, such as high
    #[arg(long, value_name = "TEXT")]
    pub risk: Option<String>,
    /// Repeatable
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Day of the next review, such as 2027-01-31
    #[arg(long, value_name = "DAY")]
    pub review_by: Option<String>,
    /// Notes for reviewers
    #[arg(long, value_name = "TEXT")]
    pub notes: Option<String>,
    #[command(flatten)]
    pub reason: Reason,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

/// What to propose, other than a URL.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct ProposedFrom {
    /// An OpenAPI document: a file, or a URL that the gateway fetches
    #[arg(long, value_name = "FILE|URL")]
    pub openapi: Option<String>,
    /// A server.json of the MCP registry; one of its remotes is used
    #[arg(long, value_name = "FILE")]
    pub registry_entry: Option<PathBuf>,
    /// The configuration file of an MCP client; its entry NAME is used
    #[arg(long, value_name = "FILE")]
    pub client_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct Reason {
    /// Reason, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct ReviewServer {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Let the gateway inspect the server first
    #[arg(long)]
    pub look: bool,
    /// Allow addresses that are not public
    #[arg(long)]
    pub allow_private: bool,
    #[command(flatten)]
    pub reason: Reason,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct OneServer {
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ApproveServer {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The reviewed revision; the approval fails if the server has changed since
    #[arg(long, value_name = "NUMBER")]
    pub revision: Option<i64>,
    /// Allow addresses that are not public
    #[arg(long)]
    pub allow_private: bool,
    #[command(flatten)]
    pub reason: Reason,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct StepServer {
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub reason: Reason,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DeprecateServer {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The notice for clients
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    /// The server to use instead
    #[arg(long, value_name = "SERVER")]
    pub successor: Option<String>,
    /// The last day on which it is served, such as 2027-01-31
    #[arg(long, value_name = "DAY")]
    pub retires: Option<String>,
    #[command(flatten)]
    pub reason: Reason,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}
