//! `doorward apply` and `doorward export`.

use std::path::PathBuf;

use clap::Args;

use super::stored::Kept;

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    pub kept: Kept,
    /// Resources: a folder with YAML, JSON and Cedar files, a file, or `-` for standard input; repeatable
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Delete what was applied before and is no longer in the files
    #[arg(long)]
    pub prune: bool,
    /// Print the plan and change nothing; exits with status 2 if something would change
    #[arg(long, conflicts_with = "yes")]
    pub check: bool,
    /// Apply without asking, on a terminal
    #[arg(short, long)]
    pub yes: bool,
    /// Reason, for the list of policy versions and the history of servers
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    /// Let servers that are put in use have addresses that are not public
    #[arg(long)]
    pub allow_private: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    pub kept: Kept,
    /// Write the active policies to this folder instead of printing them
    #[arg(long, value_name = "FOLDER")]
    pub policies: Option<PathBuf>,
}
