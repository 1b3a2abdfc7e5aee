//! Emergency stops: what is stopped, and whether a call, session or credential is concerned.
//!
//! [`Stopped`] is the compiled set: a question costs a few hash look-ups. [`Stops`] holds the set that is in force: as
//! long as nothing is stopped, a question costs one atomic load.

mod current;
mod outcome;
mod target;

use std::collections::HashMap;
use std::sync::Arc;

use doorward_mcp::RpcError;
use doorward_mcp::error::Kind;
use serde::{Deserialize, Serialize};

pub use self::current::Stops;
pub use self::outcome::{KnownBy, StopError, StopOutcome};
pub use self::target::{InvalidTarget, StopKind, Target};

/// Stops that may be in force at a time.
pub const MOST_STOPS: usize = 1_000;
/// Longest reason, in characters.
pub const LONGEST_REASON: usize = 1_000;

/// Whether a text can be a reason: something, and not too long.
pub fn is_reason(why: &str) -> bool {
    !why.trim().is_empty() && why.chars().count() <= LONGEST_REASON
}

/// What happens to calls that are in flight when something is stopped.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// They may end; nothing new begins.
    LetEnd,
    /// They are cancelled, and their servers are told so.
    #[default]
    Cancel,
}

impl StopMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::LetEnd => "let_end",
        }
    }
}

impl std::str::FromStr for StopMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cancel" => Ok(Self::Cancel),
            "let_end" => Ok(Self::LetEnd),
            _ => Err(format!("'{text}' is not a mode: cancel or let_end")),
        }
    }
}

/// One emergency stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Names the stop; made of random hexadecimal digits.
    pub id: String,
    #[serde(flatten)]
    pub target: Target,
    /// The reason, in the words of whoever stopped it.
    pub why: String,
    /// Who stopped it.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    pub mode: StopMode,
    /// Set once the stop is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<Lifted>,
}

/// How a stop was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifted {
    pub by: String,
    pub why: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

impl Stop {
    /// What the one who is refused reads. The reason is the operators' own.
    pub fn message(&self) -> String {
        match self.target.kind {
            StopKind::All => "All calls are stopped by an administrator".to_owned(),
            StopKind::Server | StopKind::Tool => {
                format!("The {} is stopped by an administrator", self.target.kind.words())
            }
            StopKind::Credential => {
                "The server's credential is stopped by an administrator".to_owned()
            }
            kind => format!("This {} is stopped by an administrator", kind.words()),
        }
    }

    /// The error for a request that is no call.
    pub fn error(&self) -> RpcError {
        let server = match self.target.kind {
            StopKind::Server => self.target.name.as_str(),
            _ => "",
        };
        RpcError::gateway(Kind::Stopped, &self.message(), server, false, "")
    }
}

/// What is known of a caller, as far as stops look at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallerFacts<'a> {
    /// `User`, `Agent` or `ServiceAccount`.
    pub kind: Option<StopKind>,
    pub id: &'a str,
    pub tenant: Option<&'a str>,
    /// Who acts for the caller.
    pub agent: Option<&'a str>,
    /// Everybody who acts for somebody.
    pub chain: &'a [String],
    /// The id of the API key that was presented.
    pub key: Option<&'a str>,
    /// The issuer of the token that was presented: agents are named `ISSUER:CLIENT`.
    pub issuer: Option<&'a str>,
}

/// Everything that is stopped, by kind and name.
#[derive(Debug, Default)]
pub struct Stopped {
    by_kind: [HashMap<Box<str>, Arc<Stop>>; StopKind::ALL.len()],
    count: usize,
}

impl Stopped {
    /// Compiles stops; those that are lifted are left out. Of two for the same, the one that cancels calls counts.
    pub fn new(stops: impl IntoIterator<Item = Stop>) -> Self {
        let mut all = Self::default();
        for stop in stops.into_iter().filter(|stop| stop.lifted.is_none()) {
            let of = &mut all.by_kind[stop.target.kind as usize];
            let key: Box<str> = stop.target.key().into();
            match of.get(&key) {
                Some(known) if known.mode >= stop.mode => {}
                _ => _ = of.insert(key, Arc::new(stop)),
            }
        }
        all.count = all.by_kind.iter().map(HashMap::len).sum();
        all
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn of(&self, kind: StopKind) -> &HashMap<Box<str>, Arc<Stop>> {
        &self.by_kind[kind as usize]
    }

    /// Whether everything is stopped.
    pub fn everything(&self) -> Option<&Arc<Stop>> {
        self.of(StopKind::All).values().next()
    }

    /// Whether a caller is stopped: by who they are, who acts for them, their tenant, client or key.
    pub fn caller(&self, caller: &CallerFacts<'_>) -> Option<&Arc<Stop>> {
        let named = |kind, name: Option<&str>| self.of(kind).get(name?);
        let agents = self.of(StopKind::Agent);
        let clients = self.of(StopKind::Client);
        named(StopKind::Key, caller.key)
            .or_else(|| named(caller.kind?, Some(caller.id)))
            .or_else(|| named(StopKind::Tenant, caller.tenant))
            .or_else(|| agents.get(caller.agent?))
            .or_else(|| caller.chain.iter().find_map(|agent| agents.get(agent.as_str())))
            .or_else(|| {
                if clients.is_empty() {
                    return None;
                }
                let prefix = caller.issuer?;
                // A client that speaks for itself is the caller.
                let itself = (caller.kind == Some(StopKind::Agent)).then_some(caller.id);
                let acting = caller.agent.or(itself)?;
                clients.get(acting.strip_prefix(prefix)?.strip_prefix(':')?)
            })
    }

    /// Whether an OAuth client of the gateway's own authorization server is stopped.
    pub fn client(&self, id: &str) -> Option<&Arc<Stop>> {
        self.of(StopKind::Client).get(id)
    }

    /// Whether a server is stopped, whatever the case of its name.
    pub fn server(&self, name: &str) -> Option<&Arc<Stop>> {
        let servers = self.of(StopKind::Server);
        if servers.is_empty() {
            return None;
        }
        servers.get(name.to_ascii_lowercase().as_str())
    }

    /// Whether a tool of a server is stopped, or the server.
    pub fn tool(&self, server: &str, tool: &str) -> Option<&Arc<Stop>> {
        self.server(server).or_else(|| {
            let tools = self.of(StopKind::Tool);
            if tools.is_empty() {
                return None;
            }
            tools.get(target::tool_key(server, tool).as_str())
        })
    }

    /// Whether single tools are stopped, so that lists have to be looked through.
    pub fn has_tools(&self) -> bool {
        !self.of(StopKind::Tool).is_empty()
    }

    /// Whether a server's credential is stopped: all of them, or the one that somebody has provided or consented to.
    /// `owner` is a kind and a name: `user`, `alice`.
    pub fn credential(&self, server: &str, owner: Option<(&str, &str)>) -> Option<&Arc<Stop>> {
        let credentials = self.of(StopKind::Credential);
        if credentials.is_empty() {
            return None;
        }
        let server = server.to_ascii_lowercase();
        credentials.get(server.as_str()).or_else(|| {
            let (kind, name) = owner?;
            credentials.get(format!("{server}/{kind}:{name}").as_str())
        })
    }

    /// The stop under which it falls that somebody connects a server: that of the server, its credential, or the owner of
    /// the connection. `owner` is a kind and a quoted name, `user "alice"`, or `gateway`.
    pub fn connection(
        &self,
        server: &str,
        owner: &str,
        tenant: Option<&str>,
    ) -> Option<&Arc<Stop>> {
        let is_owner = |stop: &&Arc<Stop>| {
            let (kind, key) = (stop.target.kind, stop.target.key());
            let name = match kind {
                StopKind::User | StopKind::Agent | StopKind::ServiceAccount => {
                    Some((kind.as_str(), key.as_str()))
                }
                StopKind::Credential => key
                    .split_once('/')
                    .filter(|(of, _)| of.eq_ignore_ascii_case(server))
                    .and_then(|(_, owner)| owner.split_once(':')),
                _ => None,
            };
            name.is_some_and(|(kind, name)| format!("{kind} {name:?}") == owner)
        };
        self.everything()
            .or_else(|| self.server(server))
            .or_else(|| self.credential(server, None))
            .or_else(|| self.of(StopKind::Tenant).get(tenant?))
            .or_else(|| self.iter().find(is_owner))
    }

    /// All stops that are in force.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Stop>> {
        self.by_kind.iter().flat_map(HashMap::values)
    }
}

#[cfg(test)]
mod tests;
