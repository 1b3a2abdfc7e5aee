//! Commands for the catalogue of ready entries for popular servers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::servers::{Reason, ServersAt};

#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// List the entries
    List {
        /// Only entries with these words
        #[arg(value_name = "WORD")]
        words: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Show an entry: its publisher, what it needs, and its settings
    Show {
        #[arg(value_name = "ID")]
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Print the settings of an entry for the configuration file, add them to it, or propose the server
    Add(Box<AddFromCatalog>),
}

#[derive(Debug, Args)]
pub struct AddFromCatalog {
    #[arg(value_name = "ID")]
    pub id: String,
    /// Value of a parameter; repeatable. A secret is a reference such as ${env:NAME}
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub values: Vec<(String, String)>,
    /// Name of the server [default: the ID]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Add it to this configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "propose")]
    pub file: Option<PathBuf>,
    /// Propose it to the gateway; for remote servers
    #[arg(long)]
    pub propose: bool,
    #[command(flatten)]
    pub reason: Reason,
    #[command(flatten)]
    pub at: ServersAt,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
