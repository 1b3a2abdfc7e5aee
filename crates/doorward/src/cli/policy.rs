//! Commands about policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Kept, Span};

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Say what is wrong with policies: file, line, and what was expected
    Check {
        /// Files of policies, or folders with *.cedar files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Run the tests that stand beside policies, in *.test.yaml files
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
    /// Show which recorded calls would turn if policies were applied
    Simulate(Box<Simulate>),
    /// Put policies in force, after checking them
    Apply {
        #[command(flatten)]
        kept: Kept,
        /// Files of policies, or folders with *.cedar files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Why, in words
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Put an earlier version in force again
    Rollback {
        #[command(flatten)]
        kept: Kept,
        /// The version; when absent, the one that was in force before
        #[arg(long, value_name = "VERSION")]
        to: Option<i64>,
    },
    /// List the versions, and which of them is in force
    Versions {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Print the policies in force, or those of a version
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
    /// Print the schema that policies are checked against
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
    /// The time zone in which policies see the hour and the day [default: the configuration's]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    pub kept: Kept,
    /// Files of policies, or folders with *.cedar files [default: the policies in force]
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
    /// The tool changes nothing
    #[arg(long)]
    pub reads_only: bool,
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    #[arg(long, value_name = "RISK")]
    pub risk: Option<String>,
    /// The portal it comes through
    #[arg(long, value_name = "PORTAL")]
    pub through: Option<String>,
    /// When, as `mon 09:30` [default: now]
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Arguments: name=value, the value as JSON where it is JSON
    #[arg(value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    #[arg(long)]
    pub json: bool,
}
