//! Commands for external registries.

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
    /// List the entries of a registry with their states
    Entries {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "NAME")]
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Read a registry now instead of when it is next due
    Read {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "NAME")]
        name: String,
    },
}
