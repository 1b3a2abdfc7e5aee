//! Portals: a named selection of what servers offer, with names and descriptions that can be changed.

use std::collections::{BTreeMap, BTreeSet};

use doorward_mcp::names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// OAuth scopes that a token must have to use the portal.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
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
            } else if !seen.insert(new) {
                problems.push(("rename", format!("'{new}' is used twice")));
            }
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
