//! Emergency stops.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Emergency stops (`doorward stop`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StopSettings {
    /// Folder for stops that are set while the database cannot be reached, so that they survive a restart. A relative
    /// path is relative to the configuration file's folder. Default: beside the SQLite file, or in the data folder of
    /// the current user; with `store: none`, stops are kept in memory only.
    pub folder: Option<PathBuf>,
}
