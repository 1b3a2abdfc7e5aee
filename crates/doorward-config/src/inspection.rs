//! Inspection of what passes through the gateway: invisible characters, suspicious texts, secrets and personal data.

mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use doorward_core::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ApprovalSettings;
use super::defaults::is_default;
use super::quantity::{ByteSize, Period};

/// Inspection of arguments, of what servers return, and of definitions. `inspection: {}` inspects everything, removes invisible
/// characters from results and definitions, and reports the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InspectionSettings {
    /// Rule files for suspicious texts, or folders with `*.yaml` files. They add to the built-in rules. Relative paths are
    /// relative to the configuration file's folder. Files are reloaded when they change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<PathBuf>,
    /// Detector files for secrets and personal data, or folders with `*.yaml` files. They add to the built-in detectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<PathBuf>,
    /// Work for one message, in bytes that are searched. Text that is decoded, or that is searched for suspicious texts and
    /// for data, counts each time. Default: 8MiB.
    pub budget: ByteSize,
    /// What happens to a message whose inspection exceeds the budget.
    pub over_budget: OverBudget,
    /// Arguments of tools and prompts, values to complete, and answers of users to requests of servers.
    #[serde(skip_serializing_if = "is_default")]
    pub arguments: MessageInspection,
    /// Everything that servers return or send: results, errors, prompts, resources, progress, log messages, elicitation and
    /// sampling requests.
    #[serde(skip_serializing_if = "is_default")]
    pub results: MessageInspection,
    /// Definitions of tools, prompts, resources and templates, and the instructions of servers.
    #[serde(skip_serializing_if = "is_default")]
    pub definitions: DefinitionInspection,
    /// Exceptions for some tools, prompts or resources. Each setting is taken from the first entry that applies and has it,
    /// otherwise from the settings above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<InspectionException>,
    /// Who approves calls that `suspicious: hold` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSettings>,
    /// Tools and prompts, as `server/tool`, in whose arguments tokens of `tokenize` are turned back into their values; `*`
    /// matches any characters. Default: none.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub detokenize: BTreeSet<Pattern>,
    /// How long a token can be turned back. At most 7 days.
    pub token_ttl: Period,
}

impl Default for InspectionSettings {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            detectors: Vec::new(),
            budget: ByteSize(8 << 20),
            over_budget: OverBudget::default(),
            arguments: MessageInspection::default(),
            results: MessageInspection::default(),
            definitions: DefinitionInspection::default(),
            exceptions: Vec::new(),
            approval: None,
            detokenize: BTreeSet::new(),
            token_ttl: Period(Duration::from_secs(60 * 60)),
        }
    }
}

/// What happens to a message whose inspection exceeds the budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverBudget {
    /// It passes, with what was found until then replaced, and the finding `not-inspected`.
    #[default]
    Pass,
    /// It is refused.
    Refuse,
}

/// What happens to invisible characters: zero-width, bidirectional, tag and control characters, variation selectors outside
/// emoji, and terminal escapes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum InvisibleAction {
    /// They are not looked for.
    Ignore,
    /// They pass, and are reported.
    Report,
    /// They are removed, and reported.
    Strip,
    /// The message is refused; a definition is not served.
    Refuse,
}

/// What happens to a text whose score reaches the threshold.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SuspiciousAction {
    /// Texts are not scanned.
    Ignore,
    /// It passes. Every signal that is found is reported, below the threshold as well.
    Report,
    /// The call waits for the approval of a person; a definition is withheld until somebody accepts it.
    Hold,
    /// The message is refused; a definition is not served.
    Refuse,
}

/// What happens to secrets and personal data.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DataAction {
    /// It passes and is not reported.
    Ignore,
    /// It passes, and is reported.
    Report,
    /// It is replaced by its class: `[EMAIL]`.
    Mask,
    /// It is replaced by its class and a keyed hash, so that equal values stay equal: `[EMAIL:4f1c…]`.
    Hash,
    /// It is replaced by a token, which arguments of `detokenize` turn back.
    Tokenize,
    /// The message is refused.
    Refuse,
}

/// Inspection of messages in one direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MessageInspection {
    /// Invisible characters. Default: `report` for arguments, `strip` for results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invisible: Option<InvisibleAction>,
    /// Texts that give instructions to a model. Default: `report`. `hold` is for arguments only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspicious: Option<SuspiciousAction>,
    /// The score from which a text is suspicious. Default: that of the rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// Secrets and personal data.
    #[serde(skip_serializing_if = "is_default")]
    pub data: DataInspection,
}

/// What happens to secrets and personal data, by field, detector, class, and otherwise, in this order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataInspection {
    /// Default: `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<DataAction>,
    /// By class, such as `secret` or `email`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, DataAction>,
    /// By the ID of a detector, such as `github-token`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub detectors: BTreeMap<String, DataAction>,
    /// By the JSON pointer of the value in which it is found, such as `/customer/email` in arguments or
    /// `/structuredContent/customer/*` in results. `*` is any one name or index; `**` at the end is everything below.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, DataAction>,
}

/// Inspection of definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DefinitionInspection {
    /// Invisible characters. Default: `strip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invisible: Option<InvisibleAction>,
    /// Texts that give instructions to a model. Default: `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspicious: Option<SuspiciousAction>,
    /// The score from which a definition is suspicious. Default: that of the rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// Digests of suspicious definitions that are served nevertheless, as `sha256:` and 64 hexadecimal digits. The log and
    /// `doorward servers` show them. Definitions of servers with pins are accepted by `doorward servers accept` instead.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accepted: BTreeSet<String>,
}

/// Settings for some tools, prompts or resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InspectionException {
    /// What it applies to, as `server/tool`, `server/prompt` or `server/uri`; `*` matches any characters. Everything of a
    /// server is `server/*`.
    pub only: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "is_default")]
    pub arguments: MessageInspection,
    #[serde(skip_serializing_if = "is_default")]
    pub results: MessageInspection,
    #[serde(skip_serializing_if = "is_default")]
    pub definitions: DefinitionInspection,
}
