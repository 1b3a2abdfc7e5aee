//! Portals: a named selection of what servers offer, with names and descriptions that can be changed.

use std::collections::{BTreeMap, BTreeSet};

use doorward_mcp::names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compact::{self, CompactSettings, ParameterRules};
use super::names::{LONGEST_NAME, is_legal_name};
use doorward_core::pattern::Pattern;

/// A selection of what clients find at `/mcp/<name>`. Everything that matches one of the lists below is in the
/// portal, unless it matches `except`. Patterns are `server/name`, for resources `server/uri`; `*` matches any
/// characters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PortalSettings {
    /// Description for people, in `doorward portals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Instructions for clients, instead of those of the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Servers to include entirely.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub servers: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub prompts: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<Pattern>,
    /// Include everything with one of these tags, of its own or of its server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Patterns to exclude.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<Pattern>,
    /// New names for tools and prompts, by `server/name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// New descriptions, by `server/name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub describe: BTreeMap<String, String>,
    /// Parameters of tools that are fixed, hidden, set by default or described anew, by `server/name` and path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterRules>,
    /// Shorter definitions and results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compact: Option<CompactSettings>,
    /// How tools are offered to clients.
    #[serde(skip_serializing_if = "Discovery::is_full")]
    pub discovery: Discovery,
    /// Tools that are listed although clients search for all others, by `server/name` as the servers have it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub favorites: BTreeSet<Pattern>,
    /// OAuth scopes that a token must have to use the portal.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
}

/// How tools are offered to clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// As a list of all.
    #[default]
    Full,
    /// As three tools that find, describe and call all others.
    Search,
}

impl Discovery {
    fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

impl std::str::FromStr for Discovery {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "full" => Ok(Self::Full),
            "search" => Ok(Self::Search),
            _ => Err(()),
        }
    }
}

impl PortalSettings {
    /// Problems, by key.
    pub fn problems(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !names::is_server_name(name) {
            let why = "a portal's name must have 1 to 64 letters, digits, '-' and '.', and begin with a letter";
            problems.push(("", why.into()));
        }
        let lists = [
            ("tools", &self.tools),
            ("prompts", &self.prompts),
            ("resources", &self.resources),
            ("except", &self.except),
            ("favorites", &self.favorites),
        ];
        for (key, patterns) in lists {
            if let Some(wrong) = patterns.iter().find(|pattern| !pattern.0.contains('/')) {
                problems.push((key, format!("'{wrong}': expected server/name")));
            }
        }
        for (key, map) in [("rename", &self.rename), ("describe", &self.describe)] {
            if let Some(wrong) = map.keys().find(|name| !name.contains('/')) {
                problems.push((key, format!("'{wrong}': expected server/name")));
            }
        }
        let mut seen = BTreeSet::new();
        for new in self.rename.values() {
            if !is_legal_name(new, LONGEST_NAME) {
                let why = "names must have 1 to 64 letters, digits, '_' and '-', and begin with a \
                    letter or '_'";
                problems.push(("rename", format!("'{new}': {why}")));
            } else if new.contains("__") {
                problems.push((
                    "rename",
                    format!("'{new}': '__' is reserved as separator of server and name"),
                ));
            } else if doorward_discovery::is_own(new) {
                // Whatever 'discovery' says: a URL can ask for search.
                problems.push((
                    "rename",
                    format!("'{new}' is the name of one of the gateway's own tools"),
                ));
            } else if !seen.insert(new) {
                problems.push(("rename", format!("'{new}' is used twice")));
            }
        }
        let wrong = compact::parameter_problems(&self.parameters);
        problems.extend(wrong.into_iter().map(|why| ("parameters", why)));
        for (key, why) in self.compact.iter().flat_map(CompactSettings::problems) {
            problems.push(("compact", format!("'{key}' {why}")));
        }
        if self.discovery == Discovery::Full && !self.favorites.is_empty() {
            let why = "it is for 'discovery: search'; otherwise, all tools are listed";
            problems.push(("favorites", why.into()));
        }
        let none = [&self.tools, &self.prompts, &self.resources].iter().all(|all| all.is_empty());
        if none && self.servers.is_empty() && self.tags.is_empty() {
            let why =
                "it selects nothing: set 'servers', 'tools', 'prompts', 'resources' or 'tags'";
            problems.push(("", why.into()));
        }
        problems
    }
}
