//! The command that locks packages.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct LockPackages {
    /// Configuration whose packages are locked; the lock file is doorward.packages.lock beside it
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "DOORWARD_CONFIG",
        default_value = "doorward.yaml"
    )]
    pub config: PathBuf,
    /// Resolve the dependencies of this server's package again even if it is locked; repeatable
    #[arg(long, value_name = "SERVER", conflicts_with = "check")]
    pub update: Vec<String>,
    /// Change and download nothing; fail if the lock file does not match the configuration, or a downloaded package has
    /// been changed
    #[arg(long)]
    pub check: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
