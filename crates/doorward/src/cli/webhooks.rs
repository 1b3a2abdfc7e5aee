//! Commands for webhooks.

use clap::Subcommand;

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List the webhooks of the configuration
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// List events that were sent, or are to be, the latest first
    Deliveries {
        #[command(flatten)]
        kept: Kept,
        /// Only of this webhook
        #[arg(long, value_name = "NAME")]
        webhook: Option<String>,
        /// Only those waiting, delivered or failed
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Maximum number, up to 1000
        #[arg(short, long, value_name = "COUNT", default_value_t = 100)]
        number: usize,
        #[arg(long)]
        json: bool,
    },
    /// Send a test event
    Test {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Send an event again, under the same id
    Redeliver {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
}
