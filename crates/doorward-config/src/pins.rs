//! Which definitions of servers are pinned, and what happens to those that are not.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use doorward_governance::pins::OnNew;

/// Pinning of what servers say: a tool, prompt or resource template, or instructions, that differ from what was
/// approved are withheld until somebody accepts them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AllPinSettings {
    /// Default: `on` for servers that are reviewed, `off` for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<PinMode>,
    /// What happens to definitions that have no pin. Default: `hold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_new: Option<OnNew>,
    /// The file with the pins, instead of the store: `doorward.lock`, which `doorward servers pin` writes and version
    /// control keeps. A relative path is relative to the configuration file's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// What servers say is served as it comes.
    Off,
    /// Only what is pinned is served.
    On,
}

impl PinSettings {
    /// Nothing is pinned, whatever the settings for all servers say.
    pub fn off() -> Self {
        Self { mode: Some(PinMode::Off), on_new: None }
    }

    /// These settings, with absent ones inherited from those of all servers. A review approves definitions, so that they
    /// are pinned unless settings say otherwise.
    pub(super) fn or(&self, of_all: &AllPinSettings, is_reviewed: bool) -> Self {
        let mode = self.mode.or(of_all.mode).or(is_reviewed.then_some(PinMode::On));
        Self { mode, on_new: self.on_new.or(of_all.on_new) }
    }

    /// What happens to what has no pin; `None` where nothing is pinned.
    pub fn active(&self) -> Option<OnNew> {
        (self.mode == Some(PinMode::On)).then(|| self.on_new.unwrap_or_default())
    }
}

impl AllPinSettings {
    /// What is wrong with the settings that a server has in the end.
    pub(super) fn problem(&self, server: &PinSettings, has_store: bool) -> Option<&'static str> {
        match (server.active()?, &self.file) {
            (OnNew::First | OnNew::Serve, Some(_)) => Some(
                "'on_new' must be 'hold' where 'pins.file' is set: the gateway does not write that file",
            ),
            (_, None) if !has_store => Some("requires a 'store' or 'pins.file'"),
            _ => None,
        }
    }
}
