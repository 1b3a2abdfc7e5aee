//! Commands for servers' definitions: differences from the approved ones, decisions about them, and
//! the lock file.

use std::path::PathBuf;

use clap::Args;

use super::servers::ServersAt;

#[derive(Debug, Args)]
pub struct DecideDefinitions {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Hashes as 'doorward servers diff' shows them; their first 8 digits or more are enough
    #[arg(value_name = "HASH", required_unless_present = "all")]
    pub hashes: Vec<String>,
    /// All withheld definitions that were not refused
    #[arg(long, conflicts_with = "hashes")]
    pub all: bool,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PinServers {
    /// Servers to pin [default: all that are in use]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Configuration whose servers are connected to
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "DOORWARD_CONFIG",
        default_value = "doorward.yaml"
    )]
    pub config: PathBuf,
    /// Write nothing; show what differs, and exit with status 2 if anything does
    #[arg(long)]
    pub check: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
