//! Where a server says something that is pinned.

use std::fmt;
use std::str::FromStr;

use doorward_mcp::Era;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a definition is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `{name, title, version, …}` of the server itself.
    Identity,
    /// The server's `instructions`.
    Instructions,
    Tool,
    Prompt,
    /// A resource template, by its `uriTemplate`.
    Template,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a kind of definition: identity, instructions, tool, prompt or template")]
pub struct UnknownKind(pub String);

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Identity, Self::Instructions, Self::Tool, Self::Prompt, Self::Template];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Instructions => "instructions",
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Template => "template",
        }
    }

    /// Whether a server has several of them, told apart by name.
    pub fn is_named(self) -> bool {
        matches!(self, Self::Tool | Self::Prompt | Self::Template)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Where a server says something: in which era, of what kind, and by which of its own names. A server that supports both
/// eras may say different things in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub era: Era,
    pub kind: Kind,
    /// Empty for what a server has one of.
    pub name: Box<str>,
}

impl Place {
    pub fn new(era: Era, kind: Kind, name: &str) -> Self {
        let name = if kind.is_named() { name } else { "" };
        Self { era, kind, name: name.into() }
    }

    /// `modern` or `handshake`.
    pub fn era_word(&self) -> &'static str {
        if self.era == Era::Modern { "modern" } else { "handshake" }
    }

    /// From words; `None` of a kind that is not known.
    pub fn read(era: &str, kind: &str, name: &str) -> Option<Self> {
        let era = if era == "modern" { Era::Modern } else { Era::Handshake };
        Some(Self::new(era, kind.parse().ok()?, name))
    }

    /// The same in the other era.
    pub(super) fn twin(&self) -> Self {
        let era = match self.era {
            Era::Modern => Era::Handshake,
            Era::Handshake => Era::Modern,
        };
        Self { era, kind: self.kind, name: self.name.clone() }
    }

    fn key(&self) -> (Kind, &str, bool) {
        (self.kind, &self.name, self.era == Era::Modern)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// For people: `tool 'get'`, `instructions`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.is_named() {
            true => write!(f, "{} '{}'", self.kind, self.name),
            false => write!(f, "{}", self.kind),
        }
    }
}
