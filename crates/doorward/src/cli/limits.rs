//! Commands for limits and prices.

use clap::{Args, Subcommand};

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Limits {
    /// List rate limits and quotas, and where each is defined
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Show the usage of limits, and when they are reset; without a gateway, only quotas
    Use {
        #[command(flatten)]
        kept: Kept,
        /// Only this limit
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Only of limits that count this tenant separately
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only limits of which at least this percentage is used
        #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: Option<u8>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct Prices {
    #[command(flatten)]
    pub kept: Kept,
    /// Only the current price of this tool, as server/tool
    #[arg(long, value_name = "TOOL")]
    pub tool: Option<String>,
    #[arg(long)]
    pub json: bool,
}
