//! What can be stopped, and how it is named.

use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
const LONGEST: usize = 1_024;

/// The kinds of what can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// A server, by its name without regard to case.
    Server,
    /// A tool of a server: `SERVER/TOOL`, by the tool's own name.
    Tool,
    Agent,
    User,
    ServiceAccount,
    /// An API key, by its id. Other keys of its owner stay valid.
    Key,
    /// The credentials that the gateway presents to a server: `SERVER` for all of them, `SERVER/user:NAME` for that of
    /// one owner.
    Credential,
    /// An OAuth client, by its id.
    Client,
    Tenant,
    /// Every call of everybody. It has no name.
    All,
}

impl StopKind {
    pub const ALL: [Self; 10] = [
        Self::Server,
        Self::Tool,
        Self::Agent,
        Self::User,
        Self::ServiceAccount,
        Self::Key,
        Self::Credential,
        Self::Client,
        Self::Tenant,
        Self::All,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Agent => "agent",
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::Key => "key",
            Self::Credential => "credential",
            Self::Client => "client",
            Self::Tenant => "tenant",
            Self::All => "all",
        }
    }

    /// In a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service account",
            other => other.as_str(),
        }
    }

    /// Whether it is somebody, or what somebody presents.
    pub const fn is_caller(self) -> bool {
        matches!(
            self,
            Self::Agent
                | Self::User
                | Self::ServiceAccount
                | Self::Key
                | Self::Client
                | Self::Tenant
        )
    }
}

impl std::fmt::Display for StopKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for StopKind {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let text = text.replace('-', "_");
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(InvalidTarget::Kind)
    }
}

/// Why something cannot be stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error(
        "the kind must be server, tool, agent, user, service_account, key, credential, client, tenant or all"
    )]
    Kind,
    #[error("the name must have 1 to {LONGEST} bytes and no control characters")]
    Name,
    #[error("a tool is named SERVER/TOOL")]
    Tool,
    #[error("a credential is named SERVER, or SERVER/KIND:OWNER as in mail/user:alice")]
    Credential,
    #[error("'all' takes no name")]
    All,
}

/// What a stop stops.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    pub kind: StopKind,
    /// As it was written; empty for `all`.
    pub name: String,
}

impl Target {
    /// A target whose name has the form of its kind.
    pub fn new(kind: StopKind, name: &str) -> Result<Self, InvalidTarget> {
        if kind == StopKind::All {
            return match name {
                "" => Ok(Self { kind, name: String::new() }),
                _ => Err(InvalidTarget::All),
            };
        }
        if name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
            return Err(InvalidTarget::Name);
        }
        match (kind, name.split_once('/')) {
            (StopKind::Tool, Some((server, tool))) if !server.is_empty() && !tool.is_empty() => {}
            (StopKind::Tool, _) => return Err(InvalidTarget::Tool),
            (StopKind::Credential, Some((server, owner))) => {
                let kinds = ["user", "agent", "service_account", "team", "tenant"];
                let owner = owner.split_once(':');
                let is_owner =
                    owner.is_some_and(|(kind, name)| kinds.contains(&kind) && !name.is_empty());
                if server.is_empty() || !is_owner {
                    return Err(InvalidTarget::Credential);
                }
            }
            _ => {}
        }
        Ok(Self { kind, name: name.to_owned() })
    }

    /// The server that it is about, if it is about one.
    pub fn server(&self) -> Option<&str> {
        match self.kind {
            StopKind::Server => Some(&self.name),
            StopKind::Tool | StopKind::Credential => {
                Some(self.name.split_once('/').map_or(self.name.as_str(), |(server, _)| server))
            }
            _ => None,
        }
    }

    /// The name as it is compared: that of a server without its case.
    pub fn key(&self) -> String {
        match self.kind {
            StopKind::Server => self.name.to_ascii_lowercase(),
            StopKind::Tool | StopKind::Credential => match self.name.split_once('/') {
                Some((server, rest)) => tool_key(server, rest),
                None => self.name.to_ascii_lowercase(),
            },
            _ => self.name.clone(),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            StopKind::All => f.write_str("all"),
            kind => write!(f, "{} {}", kind.words(), self.name),
        }
    }
}

pub(super) fn tool_key(server: &str, rest: &str) -> String {
    let mut key = server.to_ascii_lowercase();
    key.push('/');
    key.push_str(rest);
    key
}
