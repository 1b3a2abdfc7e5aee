//! Commands for other registries.

use clap::Subcommand;

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Registries {
    /// List the registries of the configuration, and when they were read
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// List what has become of the entries of a registry
    Entries {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "NAME")]
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Read a registry now instead of at its next time
    Read {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "NAME")]
        name: String,
    },
}
