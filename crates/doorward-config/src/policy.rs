//! Which policies are active, and how much a denied caller is told.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// Files of Cedar policies, or folders with `*.cedar` files. When empty, the policies that were applied with
    /// `doorward policy apply`. Relative paths are relative to the configuration file's folder.
    pub files: Vec<PathBuf>,
    /// Time zone of the hour and day that policies see, such as `Europe/Berlin`.
    pub zone: String,
    /// What a denied caller is told. The log always contains everything.
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
    /// Only that the call was denied.
    Nothing,
    /// The `@reason` of the policies.
    #[default]
    Reason,
    /// Also the IDs of the policies that decided.
    Full,
}
