//! Commands for the database's contents: keys, principals, credentials, grants.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use url::Url;

use super::reach::{Credential, Operator};

/// The database that a command uses.
#[derive(Debug, Clone, Args)]
pub struct Kept {
    /// Database: sqlite:PATH or postgres://… [default: from the configuration, else a file in
    /// the data folder of the current user]
    #[arg(long, value_name = "URL", env = "DOORWARD_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Use the admin API of a running gateway instead of its database; pass an admin key with --key. The variable counts
    /// where neither --store nor --config names a database
    #[arg(long, value_name = "URL", env = "DOORWARD_ADMIN_URL")]
    pub admin_url: Option<Url>,
    #[command(flatten)]
    pub credential: Credential,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Create a key and print it once, on standard output
    Create(Box<CreateKey>),
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        kept: Kept,
        /// Include revoked and expired keys
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Create a replacement for a key; the old key stays valid for a while
    Rotate {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
        /// How long the old key stays valid
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_period)]
        overlap: Duration,
    },
    /// Revoke a key immediately
    Revoke {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Grants {
    /// List OAuth grants
    List {
        #[command(flatten)]
        kept: Kept,
        /// Include revoked grants
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Revoke a grant and all its tokens immediately
    Revoke {
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
    /// Description
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// Tenant, for a new owner
    #[arg(long, value_name = "TENANT")]
    pub in_tenant: Option<String>,
    /// Team, for a new owner; repeatable
    #[arg(long = "in-team", value_name = "TEAM")]
    pub in_teams: Vec<String>,
    /// Role, for a new owner; repeatable
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Restrict to this portal; repeatable
    #[arg(long = "portal", value_name = "PORTAL")]
    pub portals: Vec<String>,
    /// Restrict to this server; repeatable
    #[arg(long = "server", value_name = "SERVER")]
    pub servers: Vec<String>,
    /// Restrict to these tools, as server/tool; `*` matches any characters;
    /// repeatable
    #[arg(long = "tool", value_name = "PATTERN")]
    pub tools: Vec<String>,
    /// Restrict to read-only tools
    #[arg(long)]
    pub read_only: bool,
    /// Grant full access to the admin API
    #[arg(long)]
    pub admin: bool,
    /// Grant access to the admin API as far as policies permit the owner
    #[arg(long, conflicts_with = "admin")]
    pub administer: bool,
    /// Lifetime, such as 30d
    #[arg(long, value_name = "TIME", value_parser = parse_period)]
    pub expires: Option<Duration>,
    #[arg(long)]
    pub json: bool,
}

/// The owner of a key.
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

/// The master key that encrypts secrets in the database.
#[derive(Debug, Clone, Args)]
pub struct Sealing {
    /// Master key [default: `store_key` of the configuration]
    #[arg(long, value_name = "KEY", env = "DOORWARD_STORE_KEY", hide_env_values = true)]
    pub store_key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// Store a credential, read from standard input
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
    /// List stored credentials by owner and server
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Delete a credential or a per-user OAuth grant
    Remove {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "SERVER")]
        server: String,
        #[command(flatten)]
        owner: Owner,
    },
    /// Get a link from a running gateway to authorize the gateway itself at a server
    Connect {
        #[arg(value_name = "SERVER")]
        server: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// Delete the gateway's own grant for a server
    Disconnect {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "SERVER")]
        server: String,
    },
    /// Re-encrypt all secrets with another master key
    Rekey {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        sealing: Sealing,
        /// New master key
        #[arg(long, value_name = "KEY", env = "DOORWARD_STORE_KEY_NEW", hide_env_values = true)]
        new_key: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Principals {
    /// Create or update a principal
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
        /// Repeatable
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// Repeatable
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Disable: its credentials, and those of its members, are refused
        #[arg(long)]
        disabled: bool,
    },
    /// Rename a team or tenant everywhere
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
    /// List principals created at run time
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Delete a principal
    Remove {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "KIND")]
        kind: doorward_store::Kind,
        #[arg(value_name = "NAME")]
        name: String,
    },
}
