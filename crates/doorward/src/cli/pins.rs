//! Commands for what servers say: the difference to what was approved, decisions about it, and the file with pins.

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
    /// Everything that is withheld and was not refused
    #[arg(long, conflicts_with = "hashes")]
    pub all: bool,
    #[command(flatten)]
    pub at: ServersAt,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PinServers {
    /// Servers to pin; all that are in use unless named
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
