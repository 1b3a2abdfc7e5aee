//! The command that scans what somebody is about to install.

use std::path::PathBuf;

use clap::Args;

/// What `doorward scan` exits with.
const EXIT_CODES: &str = "\
Exit codes:
  0  nothing is suspicious
  1  something is suspicious
  2  something could not be scanned";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Scan {
    /// A file with definitions (JSON with "tools", "prompts" and so on), the configuration of a client or of the gateway,
    /// or the URL of a server
    #[arg(value_name = "FILE|URL", required = true)]
    pub targets: Vec<String>,
    /// Rules of your own, added to the ready-made ones; repeatable
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long, conflicts_with = "sarif")]
    pub json: bool,
    /// Print the result as SARIF 2.1.0
    #[arg(long)]
    pub sarif: bool,
}
