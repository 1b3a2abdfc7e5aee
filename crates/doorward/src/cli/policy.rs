//! Commands for policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::audit::Span;
use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Check policies and report problems with file and line
    Check {
        /// Files of policies, or folders with *.cedar files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Run the policy tests in *.test.yaml files
    Test {
        /// Files of policies and tests, or folders with *.cedar and *.test.yaml files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Show which policies decide one request, and why
    Explain(Box<Explain>),
    /// Show what would change if policies were applied
    Diff {
        #[command(flatten)]
        kept: Kept,
        /// Files of policies, or folders with *.cedar files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Show which recorded calls would be decided differently if policies were applied
    Simulate(Box<Simulate>),
    /// Apply policies, after checking them
    Apply {
        #[command(flatten)]
        kept: Kept,
        /// Files of policies, or folders with *.cedar files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Reason
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Roll back to an earlier version
    Rollback {
        #[command(flatten)]
        kept: Kept,
        /// Version [default: the previous one]
        #[arg(long, value_name = "VERSION")]
        to: Option<i64>,
    },
    /// List the versions and which one is active
    Versions {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Print the active policies, or those of a version
    Show {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "VERSION")]
        number: Option<i64>,
    },
    /// Write a ready-made set and its tests into a folder, or list the sets
    Example {
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[arg(short, long, value_name = "FOLDER", default_value = "policies")]
        output: PathBuf,
    },
    /// Print the Cedar schema
    Schema,
}

#[derive(Debug, Args)]
pub struct Simulate {
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub span: Span,
    /// Files of policies, or folders with *.cedar files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Time zone for the hour and day that policies see [default: the configuration's]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    pub kept: Kept,
    /// Files of policies, or folders with *.cedar files [default: the active policies]
    #[arg(long = "policies", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    #[arg(long = "team", value_name = "TEAM")]
    pub teams: Vec<String>,
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// As server/tool
    #[arg(long, value_name = "TOOL")]
    pub tool: Option<String>,
    /// As server/prompt
    #[arg(long, value_name = "PROMPT")]
    pub prompt: Option<String>,
    /// As server/uri
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,
    #[arg(long, value_name = "SERVER")]
    pub server: Option<String>,
    /// The tool is read-only
    #[arg(long)]
    pub reads_only: bool,
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    #[arg(long, value_name = "RISK")]
    pub risk: Option<String>,
    /// Portal of the request
    #[arg(long, value_name = "PORTAL")]
    pub through: Option<String>,
    /// When, as `mon 09:30` [default: now]
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Arguments: name=value; the value is parsed as JSON if it is valid JSON
    #[arg(value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    #[arg(long)]
    pub json: bool,
}
