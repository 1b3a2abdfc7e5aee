//! Everything an operator can do, one file a noun.

pub mod approvals;
pub mod audit;
pub mod catalog;
pub mod clients;
pub mod credentials;
pub mod credits;
pub mod definitions;
pub mod directory;
pub mod draft;
pub mod flow;
pub mod grants;
pub mod keys;
pub mod life;
pub mod limits;
pub mod logins;
pub mod owners;
pub mod policies;
pub mod portals;
pub mod prices;
pub mod principals;
pub mod registries;
pub mod requests;
pub mod servers;
pub mod sessions;
pub mod settings;
pub mod simulate;
pub mod stops;
pub mod streams;
pub mod tools;
pub mod trying;
pub mod usage;
pub mod webhooks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An input with nothing but a name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
}

/// An input with nothing but an id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ById {
    pub id: String,
}

/// What was removed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    pub removed: String,
}
