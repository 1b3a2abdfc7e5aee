//! Commands that use a gateway as a client does.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use url::Url;

use super::reach::{Credential, Operator, Target, parse_header};

#[derive(Debug, Args)]
pub struct Connect {
    /// Endpoint to connect to: all servers at /mcp, one at /mcp/<server>
    #[arg(value_name = "URL", env = "DOORWARD_URL", default_value = "http://127.0.0.1:7300/mcp")]
    pub url: Url,
    /// Additional header, `Name: value`; repeatable
    #[arg(long = "header", value_name = "HEADER", value_parser = parse_header)]
    pub headers: Vec<(String, String)>,
    #[command(flatten)]
    pub credential: Credential,
    /// Read the key from this variable of the environment, instead of DOORWARD_KEY
    #[arg(long, value_name = "VARIABLE")]
    pub key_env: Option<String>,
    /// What to log on standard error: a level, or directives
    #[arg(long, value_name = "LEVEL", env = "DOORWARD_LOG", default_value = "warn")]
    pub log: String,
}

#[derive(Debug, Args)]
pub struct Portals {
    /// Portal to connect to
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub operator: Operator,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Tools {
    #[command(flatten)]
    pub target: Target,
    /// Print the complete definitions as JSON
    #[arg(long)]
    pub json: bool,
    /// Print them as JSON in the form that a model's SDK takes
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    pub format: Option<Format>,
    /// In strict mode, where the tool's schema allows it
    #[arg(long, requires = "format")]
    pub strict: bool,
}

/// The SDKs for which tools can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The argument `tools` of OpenAI's Chat Completions
    Openai,
    /// The argument `tools` of OpenAI's Responses
    OpenaiResponses,
    /// The argument `tools` of Anthropic's Messages
    Anthropic,
    /// The member `tools` of Gemini's configuration
    Gemini,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }
}

#[derive(Debug, Args)]
pub struct Call {
    /// The tool's name, as `doorward tools` lists it
    pub name: String,
    /// Arguments: `name=value` pairs, parsed by the tool's schema, or one JSON object
    #[arg(value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    #[command(flatten)]
    pub target: Target,
    /// Print the complete result as JSON
    #[arg(long)]
    pub json: bool,
    /// Whether to prompt for the server's elicitation and sampling requests
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub ask: Ask,
    /// Folder to offer to the server as a root; repeatable
    #[arg(long = "root", value_name = "FOLDER")]
    pub roots: Vec<PathBuf>,
    /// Show the server's log messages from this level on
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    pub log_level: Option<doorward_mcp::meta::LogLevel>,
}

fn parse_level(text: &str) -> Result<doorward_mcp::meta::LogLevel, String> {
    doorward_mcp::meta::LogLevel::parse(text).ok_or_else(|| {
        "expected debug, info, notice, warning, error, critical, alert or emergency".into()
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ask {
    /// When standard input is a terminal
    Auto,
    /// Always; answers are read from standard input, one per line
    Always,
    /// Never; the client declares no elicitation or sampling
    Never,
}
