//! The command that writes an evidence pack.

use std::path::PathBuf;

use clap::Args;

use super::audit::{Trust, When, parse_when};
use super::stored::Kept;

#[derive(Debug, Args)]
pub struct Evidence {
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub trust: Trust,
    /// Start: a date such as 2026-10-01, a time, or an age such as 90d
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    pub from: When,
    /// End; a date is not included [default: now]
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    pub to: Option<When>,
    /// Output folder; must not exist
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
}
