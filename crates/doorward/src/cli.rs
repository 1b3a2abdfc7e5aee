//! The definition of the command line.

mod apply;
mod approvals;
mod audit;
mod catalog;
mod clients;
mod credits;
mod evidence;
mod flow;
mod limits;
mod packages;
mod pins;
mod policy;
mod reach;
mod registries;
mod requests;
mod scan;
mod servers;
mod stop;
mod stored;
mod using;
mod webhooks;
mod words;

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::terminal;

pub use self::apply::{Apply, Export};
pub use self::approvals::Approvals;
pub use self::audit::{Audit, ExportForm, Span, Trust};
pub use self::catalog::{AddFromCatalog, Catalog};
pub use self::clients::{
    AuthWay, ClientFile, Clients, ScopeOf, SetUp, ShowClient, StatusOfClients, UndoClient,
};
pub use self::credits::{Credits, Each, Usage, UsageForm, Whose};
pub use self::evidence::Evidence;
pub use self::flow::{Flow, FlowOf};
pub use self::limits::{Limits, Prices};
pub use self::packages::LockPackages;
pub use self::pins::{DecideDefinitions, PinServers};
pub use self::policy::{Explain, Policy, Simulate};
pub use self::reach::{Credential, Operator, Target};
pub use self::registries::Registries;
pub use self::requests::{GrantBy, Requests};
pub use self::servers::{
    ApproveServer, DeprecateServer, OneServer, ProposeServer, ReviewServer, Servers, ServersAt,
    ServersCommand, StepServer,
};

pub use self::scan::Scan;
pub use self::stop::{How, Named, OfServer, Stop};
pub use self::stored::{CreateKey, Credentials, Grants, Kept, Keys, Owner, Principals, Sealing};
pub use self::using::{Ask, Call, Connect, Format, Portals, Tools};
pub use self::webhooks::Webhooks;

/// Gateway between AI agents and MCP servers
#[derive(Debug, Parser)]
#[command(name = "doorward", version, about, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the command line, or exits with an error message.
    pub fn read() -> Self {
        Self::of(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn of(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = command();
        command.build();
        let words = words::arranged(&mut command, words)?;
        let mut matches = command.try_get_matches_from(&words)?;
        if reach::is_elsewhere(&matches) {
            matches = reach::without_admin_url(self::command()).try_get_matches_from(words)?;
        }
        Self::from_arg_matches(&matches)
    }
}

/// Arguments that are names, by their placeholders in the help. They are also accepted in their
/// printed form.
const NAMES: [&str; 10] =
    ["NAME", "SERVER", "TENANT", "TEAM", "ROLE", "OLD", "NEW", "TOOL", "PROMPT", "PORTAL"];

/// All commands.
pub fn command() -> clap::Command {
    taking_names(Cli::command())
}

fn taking_names(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let names = arg.get_value_names().unwrap_or_default();
            if names.iter().any(|name| NAMES.contains(&name.as_str())) {
                arg.value_parser(|text: &str| Ok::<_, Infallible>(terminal::read_name(text)))
            } else {
                arg
            }
        })
        .mut_subcommands(taking_names)
}

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  any other failure
  2  invalid command line
  3  invalid configuration
  4  the gateway cannot be reached
  5  the call was refused, or returned an error
  6  the tool ran and reported an error";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(Serve),
    /// Check configuration files and report problems with file, line and the expected value
    Check(Check),
    /// Merge configuration files of agents and editors into one doorward.yaml
    Import(Import),
    /// Print the JSON Schema of doorward.yaml, for validation and completion in editors
    Schema,
    /// Connect an MCP client over standard input and output, for clients that can only start a command
    Connect(Connect),
    /// Inspect the OpenAPI document of an API before serving its operations as tools
    Openapi {
        #[command(subcommand)]
        command: OpenApi,
    },
    /// Show the servers behind a running gateway: state, era, transport, latency, tools. Propose, review, approve and retire
    /// servers
    Servers(Servers),
    /// List the portals of a running gateway and how to connect clients to them
    Portals(Portals),
    /// Scan definitions of servers for instructions to a model, before you install them
    Scan(Scan),
    /// List the tools that a running gateway offers
    Tools(Tools),
    /// Call a tool through a running gateway
    Call(Call),
    /// Create, list, rotate and revoke API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Manage users, agents, service accounts, teams and tenants
    #[command(subcommand)]
    Principals(Principals),
    /// Check, test, explain, compare and apply policies
    #[command(subcommand)]
    Policy(Policy),
    /// Read, search, verify, export and hold the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Write an evidence pack: access reviews, changes, denied calls and the verification of the audit log, by the controls
    /// of SOC 2 and ISO 27001
    Evidence(Evidence),
    /// List, show, approve and refuse calls that wait for approval
    #[command(subcommand)]
    Approvals(Approvals),
    /// List, show, grant and refuse users' requests for access
    #[command(subcommand)]
    Requests(Requests),
    /// Show and clear the labels that callers carry because of data they have read
    #[command(subcommand)]
    Flow(Flow),
    /// Stop a server, tool, agent, user, key, credential, client or tenant in an emergency, and undo it
    #[command(subcommand)]
    Stop(Stop),
    /// List external registries and the state of their entries, and read them
    #[command(subcommand)]
    Registries(Registries),
    /// List webhooks and their deliveries, and test them
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Show live calls, rates, errors and latency
    Top(Top),
    /// Manage credit: grant it, set budgets, list accounts, check the ledger
    #[command(subcommand)]
    Credits(Credits),
    /// List limits, and show their usage
    #[command(subcommand)]
    Limits(Limits),
    /// List prices of tools
    Prices(Prices),
    /// Report usage and cost by tenant, user, agent, server or tool
    Usage(Usage),
    /// Store credentials of users, agents, teams and tenants for servers
    #[command(subcommand)]
    Credentials(Credentials),
    /// List and revoke OAuth grants of users
    #[command(subcommand)]
    Grants(Grants),
    /// Set up MCP clients on this computer, and restore them; list and remove OAuth clients that registered themselves
    #[command(subcommand)]
    Clients(Clients),
    /// List ready entries for popular servers, and add them to the configuration
    #[command(subcommand)]
    Catalog(Catalog),
    /// Create, update and delete what is created at run time from files, after showing a plan
    Apply(Apply),
    /// Export what was created at run time, in the form that `apply` takes
    Export(Export),
    /// Run a program in a sandbox; the gateway starts sandboxed servers with it
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Confine(doorward_confine::Confine),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Configuration: a doorward.yaml, or the JSON file of Claude, Cursor, Windsurf, VS Code,
    /// or a server.json of the registry.
    /// Without it, the built-in sample server is used
    #[arg(short, long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address that clients connect to [default: from the configuration, else 127.0.0.1:7300]
    #[arg(long, value_name = "ADDRESS", env = "DOORWARD_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Address of the admin listener (health, metrics, admin API), or `off` [default: from the configuration,
    /// else 127.0.0.1:7301]
    #[arg(long, value_name = "ADDRESS", env = "DOORWARD_ADMIN", value_parser = parse_admin)]
    pub admin: Option<Admin>,
    /// What to log: a level, or directives such as `info,doorward_gateway=debug`
    #[arg(long, value_name = "LEVEL", env = "DOORWARD_LOG", default_value = "info")]
    pub log: String,
    /// Format of the log on standard error
    #[arg(long, value_name = "FORMAT", env = "DOORWARD_LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// Do not watch the configuration file; reload it on SIGHUP only
    #[arg(long, requires = "config")]
    pub no_watch: bool,
    /// Database for everything created at run time: sqlite:PATH, postgres://…, or none [default: from the
    /// configuration, else a file in the data folder of the current user]
    #[arg(long, value_name = "URL", env = "DOORWARD_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// Allow listening on public addresses without authentication
    #[arg(long)]
    pub dangerously_allow_unauthenticated: bool,
}

#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    pub operator: Operator,
    /// Refresh interval in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0)]
    pub interval: f64,
    /// Number of refreshes before it exits; without a terminal: one
    #[arg(short, long, value_name = "COUNT")]
    pub number: Option<u64>,
    /// Number of tools to show
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub rows: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    Off,
    At(SocketAddr),
}

fn parse_admin(text: &str) -> Result<Admin, String> {
    if text == "off" {
        return Ok(Admin::Off);
    }
    text.parse()
        .map(Admin::At)
        .map_err(|_| "expected an address such as 127.0.0.1:7301, or off".into())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise
    Auto,
    Pretty,
    Json,
}

#[derive(Debug, Args)]
pub struct Check {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where to write the result, `-` for standard output
    #[arg(short, long, value_name = "FILE", default_value = "doorward.yaml")]
    pub output: PathBuf,
    /// Overwrite an existing output file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Subcommand)]
pub enum OpenApi {
    /// Show which operations become tools, and why others cannot; sends no request
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The OpenAPI document, JSON or YAML
    pub file: PathBuf,
    /// Only operations with this id; `*` matches any characters
    #[arg(long, value_name = "PATTERN")]
    pub operation: Vec<String>,
    /// Only operations with this tag
    #[arg(long, value_name = "PATTERN")]
    pub tag: Vec<String>,
    /// Only operations with this path
    #[arg(long, value_name = "PATTERN")]
    pub path: Vec<String>,
    /// Only operations with this method
    #[arg(long)]
    pub method: Vec<String>,
    /// Exclude operations with this id
    #[arg(long, value_name = "PATTERN")]
    pub except: Vec<String>,
    /// Include deprecated operations
    #[arg(long)]
    pub deprecated: bool,
    /// Print the tools as JSON, with their schemas
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests;
