//! Options for reaching a gateway.

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use url::Url;

/// The credential that a client command presents.
#[derive(Debug, Clone, Args)]
pub struct Credential {
    /// An API key, or a token
    #[arg(long, value_name = "KEY", env = "DOORWARD_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// How a client command reaches the gateway.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Endpoint: all servers at /mcp, one at /mcp/<server>
    #[arg(
        long,
        value_name = "URL",
        env = "DOORWARD_URL",
        default_value = "http://127.0.0.1:7300/mcp"
    )]
    pub url: Url,
    /// Additional header, `Name: value`; repeatable
    #[arg(long = "header", value_name = "HEADER", value_parser = parse_header)]
    pub headers: Vec<(String, String)>,
    #[command(flatten)]
    pub credential: Credential,
}

pub(super) fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value'")?;
    let (name, value) = (name.trim(), value.trim());
    if http::HeaderName::try_from(name).is_err() || http::HeaderValue::try_from(value).is_err() {
        return Err("expected 'Name: value'".into());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// How an operator's command reaches the gateway.
#[derive(Debug, Clone, Args)]
pub struct Operator {
    /// URL of the gateway's admin listener
    #[arg(
        long,
        value_name = "URL",
        env = "DOORWARD_ADMIN_URL",
        default_value = "http://127.0.0.1:7301"
    )]
    pub admin_url: Url,
    #[command(flatten)]
    pub credential: Credential,
}

/// Whether the environment names a gateway, and something else names a database: that takes precedence.
pub(super) fn is_elsewhere(matches: &ArgMatches) -> bool {
    if let Some((_, below)) = matches.subcommand() {
        return is_elsewhere(below);
    }
    let source = |id: &str| match matches.try_contains_id(id) {
        Ok(true) => matches.value_source(id),
        _ => None,
    };
    source("admin_url") == Some(ValueSource::EnvVariable)
        && (source("store").is_some() || source("config").is_some())
}

/// The same command, whose gateway is not taken from the environment.
pub(super) fn without_admin_url(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_id() == "admin_url" {
            true => arg.env(Resettable::Reset),
            false => arg,
        })
        .mut_subcommands(without_admin_url)
}
