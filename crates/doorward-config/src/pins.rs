//! Which definitions of servers are pinned, and what happens to those that are not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use doorward_governance::pins::OnNew;

/// Pinning of what servers say: a tool, prompt or resource template, or instructions, that differ from what was
/// approved are withheld until somebody accepts them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AllPinSettings {
    /// Default: `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<PinMode>,
    /// What happens to definitions that have no pin. Default: `hold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_new: Option<OnNew>,
}

/// Pinning of what one server says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PinSettings {
    /// Default: `pins.mode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<PinMode>,
    /// What happens to definitions that have no pin. Default: `pins.on_new`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_new: Option<OnNew>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// What servers say is served as it comes.
    #[default]
    Off,
    /// Only what is pinned is served.
    On,
}

impl PinSettings {
    /// These settings, with absent ones inherited from those of all servers.
    pub(super) fn or(&self, of_all: &AllPinSettings) -> Self {
        Self { mode: self.mode.or(of_all.mode), on_new: self.on_new.or(of_all.on_new) }
    }

    /// What happens to what has no pin; `None` where nothing is pinned.
    pub fn active(&self) -> Option<OnNew> {
        (self.mode == Some(PinMode::On)).then(|| self.on_new.unwrap_or_default())
    }

    /// What is wrong with the settings that a server has in the end.
    pub(super) fn problem(&self, has_replicas: bool, has_store: bool) -> Option<&'static str> {
        self.active()?;
        match (has_replicas, has_store) {
            (true, _) => Some("cannot be on for a server with 'replicas'"),
            (_, false) => Some("requires a 'store'"),
            _ => None,
        }
    }
}
