//! Commands for MCP clients: those on this computer, and those that registered themselves with the gateway.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use doorward_clients::Client;
use url::Url;

use super::stored::Kept;

#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Show the MCP clients on this computer, and which of their servers go through Doorward
    Status(StatusOfClients),
    /// Point a client at Doorward: adds an entry to its configuration file, with a backup
    Setup(Box<SetUp>),
    /// Take the entry out of a client's configuration file again, and nothing else
    Undo(UndoClient),
    /// Print what to add to a client, without changing any file
    Show(ShowClient),
    /// List OAuth clients that registered themselves
    List {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Remove an OAuth client and revoke its grants
    Remove {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct StatusOfClients {
    #[command(flatten)]
    pub endpoint: Endpoint,
    #[arg(long)]
    pub json: bool,
}

/// Where a client is to connect to.
#[derive(Debug, Args)]
pub struct Endpoint {
    /// Endpoint: all servers at /mcp, a portal or one server at /mcp/NAME
    #[arg(
        long,
        value_name = "URL",
        env = "DOORWARD_URL",
        default_value = "http://127.0.0.1:7300/mcp"
    )]
    pub url: Url,
}

/// Which file of a client.
#[derive(Debug, Args)]
pub struct ClientFile {
    /// Whose configuration: yours everywhere, or the one of the project in this folder
    #[arg(long, value_name = "SCOPE", default_value = "user")]
    pub scope: ScopeOf,
    /// The client's configuration file, if it is not in its usual place
    #[arg(long, value_name = "FILE", conflicts_with = "scope")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeOf {
    User,
    Project,
}

#[derive(Debug, Args)]
pub struct SetUp {
    /// claude-code, claude-desktop, cursor, vscode, windsurf, codex, gemini-cli or zed
    #[arg(value_name = "CLIENT")]
    pub client: Client,
    #[command(flatten)]
    pub endpoint: Endpoint,
    /// Only a portal, or a single server: adds its name to the URL
    #[arg(long, value_name = "PORTAL")]
    pub portal: Option<String>,
    #[command(flatten)]
    pub at: ClientFile,
    /// Name of the entry
    #[arg(long, value_name = "NAME", default_value = "doorward")]
    pub name: String,
    /// The client reads its key from this variable of its environment
    #[arg(long, value_name = "VARIABLE", group = "key_from")]
    pub key_env: Option<String>,
    /// Read the key from standard input, and write it into the client's file
    #[arg(long, group = "key_from")]
    pub key_stdin: bool,
    /// The client asks for the key, and stores it itself (VS Code)
    #[arg(long, group = "key_from")]
    pub key_ask: bool,
    /// Move the client's other servers into this configuration file of the gateway, so that they go through Doorward
    #[arg(long = "move", value_name = "FILE")]
    pub move_to: Option<PathBuf>,
    /// Print the change, and do not make it
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct UndoClient {
    #[arg(value_name = "CLIENT")]
    pub client: Client,
    #[command(flatten)]
    pub at: ClientFile,
    /// Name of the entry, if there are several
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print the change, and do not make it
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct ShowClient {
    /// A client, or typescript or python for a program
    #[arg(value_name = "CLIENT", value_parser = parse_peer)]
    pub client: doorward_clients::snippet::Peer,
    #[command(flatten)]
    pub endpoint: Endpoint,
    /// Only a portal, or a single server: adds its name to the URL
    #[arg(long, value_name = "PORTAL")]
    pub portal: Option<String>,
    /// Name of the entry [default: the portal's, else doorward]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How the client authenticates
    #[arg(long, value_name = "WAY", default_value = "none")]
    pub auth: AuthWay,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthWay {
    /// It logs in with OAuth
    Oauth,
    /// With an API key
    Key,
    /// It does not
    None,
}

fn parse_peer(text: &str) -> Result<doorward_clients::snippet::Peer, String> {
    let mut all = doorward_clients::snippet::Peer::all();
    all.find(|peer| peer.id() == text).ok_or_else(|| {
        let all: Vec<_> = doorward_clients::snippet::Peer::all()
            .map(doorward_clients::snippet::Peer::id)
            .collect();
        format!("expected one of {}", all.join(", "))
    })
}
