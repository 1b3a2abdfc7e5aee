//! Which policies are in force, and how much callers are told of them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// Files of Cedar policies, or folders with `*.cedar` files. When empty, the policies that were
    /// put in force by `doorward policy apply`. A relative path is relative to the configuration
    /// file's folder.
    pub files: Vec<PathBuf>,
    /// The time zone in which policies see the hour and the day, such as `Europe/Berlin`.
    pub zone: String,
    /// What a caller is told of a refusal. The log always has all of it.
    pub explain: Explain,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self { files: Vec::new(), zone: "UTC".into(), explain: Explain::default() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Explain {
    /// That it was refused.
    Nothing,
    /// The policies' `@reason`.
    #[default]
    Reason,
    /// The ids of the policies that decided, too.
    Full,
}
