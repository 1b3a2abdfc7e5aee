//! Commands about what is kept in the database: keys, principals, credentials, grants.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Operator;

/// Which database a command is about.
#[derive(Debug, Clone, Args)]
pub struct Kept {
    /// The database: sqlite:PATH or postgres://… [default: what the configuration says, else a file in
    /// the data folder of whoever runs the gateway]
    #[arg(long, value_name = "URL", env = "DOORWARD_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key. It is shown once, on standard output
    Create(Box<CreateKey>),
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        kept: Kept,
        /// Those that are revoked or expired, too
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Make a key that takes the place of another, which stays good for a while
    Rotate {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        /// How long the old key stays good
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_period)]
        overlap: Duration,
    },
    /// End a key, at once
    Revoke {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Grants {
    /// List who has let which client act for them
    List {
        #[command(flatten)]
        kept: Kept,
        /// Those that are revoked, too
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// End a grant, and every token that came of it, at once
    Revoke {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Clients {
    /// List the clients
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Forget a client, and end what users have consented to with it
    Remove {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateKey {
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub owner: Owner,
    /// What it is for, in words
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// The tenant of an owner that is new
    #[arg(long, value_name = "TENANT")]
    pub in_tenant: Option<String>,
    /// A team of an owner that is new; may be given several times
    #[arg(long = "in-team", value_name = "TEAM")]
    pub in_teams: Vec<String>,
    /// A role of an owner that is new; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Good at this portal only; may be given several times
    #[arg(long = "portal", value_name = "PORTAL")]
    pub portals: Vec<String>,
    /// Good for this server only; may be given several times
    #[arg(long = "server", value_name = "SERVER")]
    pub servers: Vec<String>,
    /// Good for these tools only, as server/tool with * for any run of characters; may be given
    /// several times
    #[arg(long = "tool", value_name = "PATTERN")]
    pub tools: Vec<String>,
    /// Good for tools only that are known to change nothing
    #[arg(long)]
    pub read_only: bool,
    /// Good for the admin listener, too
    #[arg(long)]
    pub admin: bool,
    /// For how long it is good, such as 30d
    #[arg(long, value_name = "TIME", value_parser = parse_period)]
    pub expires: Option<Duration>,
    #[arg(long)]
    pub json: bool,
}

/// Whom a key stands for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Owner {
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

pub fn parse_period(text: &str) -> Result<Duration, String> {
    text.parse::<doorward_config::Period>().map(|period| period.0)
}

/// What seals secrets in the database.
#[derive(Debug, Clone, Args)]
pub struct Sealing {
    /// The master key [default: `store_key` of the configuration]
    #[arg(long, value_name = "KEY", env = "DOORWARD_STORE_KEY", hide_env_values = true)]
    pub store_key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// Keep a credential, which is read from standard input
    Set {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        sealing: Sealing,
        #[arg(value_name = "SERVER")]
        server: String,
        #[command(flatten)]
        owner: Owner,
    },
    /// List whose credentials there are, and for which servers
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Forget a credential, or what somebody has let the gateway do for them
    Remove {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "SERVER")]
        server: String,
        #[command(flatten)]
        owner: Owner,
    },
    /// Ask a running gateway for a link, under which somebody lets the gateway itself use a server
    Connect {
        #[arg(value_name = "SERVER")]
        server: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// Forget what was given to the gateway itself
    Disconnect {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "SERVER")]
        server: String,
    },
    /// Seal all of them under another master key
    Rekey {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        sealing: Sealing,
        /// The master key that takes over
        #[arg(long, value_name = "KEY", env = "DOORWARD_STORE_KEY_NEW", hide_env_values = true)]
        new_key: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Principals {
    /// Enter somebody, or say anew what they belong to
    Set {
        #[command(flatten)]
        kept: Kept,
        /// user, agent, service-account, team or tenant
        #[arg(value_name = "KIND")]
        kind: doorward_store::Kind,
        #[arg(value_name = "NAME")]
        name: String,
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// May be given several times
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// May be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Nothing of theirs, or of their members', is accepted any more
        #[arg(long)]
        disabled: bool,
    },
    /// Give a team or tenant another name, wherever it is kept
    Rename {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        sealing: Sealing,
        /// team or tenant
        #[arg(value_name = "KIND")]
        kind: doorward_store::Kind,
        #[arg(value_name = "OLD")]
        old: String,
        #[arg(value_name = "NEW")]
        new: String,
    },
    /// List everybody who was entered at run time
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Strike somebody out
    Remove {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "KIND")]
        kind: doorward_store::Kind,
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    pub kept: Kept,
    /// A folder into which the policies in force are written, too
    #[arg(long, value_name = "FOLDER")]
    pub policies: Option<PathBuf>,
}
