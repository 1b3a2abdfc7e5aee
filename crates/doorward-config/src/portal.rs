//! Portals: a named selection of what servers offer, under names and descriptions of one's own.

use std::collections::{BTreeMap, BTreeSet};

use doorward_mcp::names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{LONGEST_NAME, is_legal_name};
use doorward_core::pattern::Pattern;

/// What clients find at `/mcp/<name>`. Something is in the portal when any of the lists below names
/// it, and `except` does not. Patterns are of the form `server/name`, of resources `server/uri`, with
/// `*` for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PortalSettings {
    /// For people, in `doorward portals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What clients are told of how to use it, in the place of the servers' own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Servers of which everything is in it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub servers: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub prompts: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<Pattern>,
    /// Everything that has one of these tags, by itself or by its server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What is left out again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<Pattern>,
    /// Other names for tools and prompts, by `server/name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Other descriptions, by `server/name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub describe: BTreeMap<String, String>,
    /// OAuth scopes without which no token may use the portal.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
}

impl PortalSettings {
    /// What is wrong, by key.
    pub fn problems(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !names::is_server_name(name) {
            let why = "a portal's name is 1 to 64 letters, digits, '-' and '.', a letter first";
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
                let why = "models take 1 to 64 letters, digits, '_' and '-', a letter or '_' first";
                problems.push(("rename", format!("'{new}': {why}")));
            } else if new.contains("__") {
                problems.push(("rename", format!("'{new}': '__' stands between server and name")));
            } else if !seen.insert(new) {
                problems.push(("rename", format!("'{new}' is the name of two")));
            }
        }
        let none = [&self.tools, &self.prompts, &self.resources].iter().all(|all| all.is_empty());
        if none && self.servers.is_empty() && self.tags.is_empty() {
            let why =
                "it selects nothing: name 'servers', 'tools', 'prompts', 'resources' or 'tags'";
            problems.push(("", why.into()));
        }
        problems
    }
}
