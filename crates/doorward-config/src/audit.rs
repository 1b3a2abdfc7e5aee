//! What is recorded, when it is on disk, how long it is kept, and where else it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, ExportSettings, Period};
use doorward_core::pattern::Pattern;

/// When a record is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// There is none.
    Off,
    /// Soon: a gateway that is killed loses the last moment. When too many wait to be written, calls are
    /// refused.
    Background,
    /// Before the call is sent to its server. When it cannot be written, the call is refused.
    Before,
}

/// The record of every call, and of all else that is done. Each class of records has its own durability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// Calls that may change something. When absent, `before`; without a store `off`.
    pub writes: Option<Durability>,
    /// Calls that only read. When absent, `background`; without a store `off`.
    pub reads: Option<Durability>,
    /// Lists and what servers say of themselves. When absent, `background`; without a store `off`.
    pub lists: Option<Durability>,
    /// Callers that were refused, sessions that were opened and ended, servers that came and went:
    /// `background`, or `off`.
    pub events: Option<Durability>,
    /// How long a record may take to be on disk. Beyond, the call is refused.
    pub deadline: Period,
    /// How long records wait for others to be written with.
    pub linger: Period,
    /// Records that may wait to be written.
    pub queue: usize,
    pub checkpoints: CheckpointSettings,
    /// A file with the key that signs checkpoints, which is made if it is not there. When absent, the key
    /// is sealed in the store; without a `store_key` it is in a file beside the store's.
    pub key_file: Option<PathBuf>,
    /// A file to which each checkpoint is appended. Kept where others cannot write, it shows what the
    /// database itself cannot: that its end was cut off.
    pub anchor: Option<PathBuf>,
    /// Whose arguments and results are recorded, not only their hashes: `server/tool`, `*` stands for any
    /// run of characters. The longest pattern that fits decides.
    pub payloads: BTreeMap<Pattern, PayloadSettings>,
    /// Record the arguments that policies look at, so that other policies can be tried on them.
    pub policy_arguments: bool,
    /// Names of members whose values are masked in what is recorded, beside those that are masked
    /// anyway, such as `password` and `token`.
    pub mask: BTreeSet<Pattern>,
    /// Longest arguments and longest result that are recorded as they are.
    pub payload_limit: ByteSize,
    pub retention: RetentionSettings,
    /// Where records go beside the store, by name.
    pub exports: BTreeMap<String, ExportSettings>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            writes: None,
            reads: None,
            lists: None,
            events: None,
            deadline: Period(Duration::from_secs(2)),
            linger: Period(Duration::from_millis(50)),
            queue: 20_000,
            checkpoints: CheckpointSettings::default(),
            key_file: None,
            anchor: None,
            payloads: BTreeMap::new(),
            policy_arguments: false,
            mask: BTreeSet::new(),
            payload_limit: ByteSize(16 << 10),
            retention: RetentionSettings::default(),
            exports: BTreeMap::new(),
        }
    }
}

/// How often a signed word is given on how far the record has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSettings {
    /// After so many records.
    pub records: u64,
    /// After this time, if there were any.
    pub every: Period,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { records: 1_000, every: Period(Duration::from_secs(60)) }
    }
}

/// What of a call is recorded as it is, masked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PayloadSettings {
    pub arguments: bool,
    pub result: bool,
}

/// How long records are kept. What a legal hold covers stays in any case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// All records that nothing else names. When absent, for ever.
    pub keep: Option<Period>,
    /// By class: `writes`, `reads`, `lists`, `events`, `acts`.
    pub classes: BTreeMap<RecordClass, Period>,
    /// By tenant, each with a time for all of its records, and for classes of them.
    pub tenants: BTreeMap<String, TenantRetention>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRetention {
    pub keep: Option<Period>,
    pub classes: BTreeMap<RecordClass, Period>,
}

/// What records are about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RecordClass {
    Writes,
    Reads,
    Lists,
    Events,
    /// What administrators do.
    Acts,
}

impl RecordClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Reads => "reads",
            Self::Lists => "lists",
            Self::Events => "events",
            Self::Acts => "acts",
        }
    }
}

impl AuditSettings {
    /// When records of a class are on disk, where there is a store.
    pub fn durability(&self, class: RecordClass) -> Durability {
        let (said, usual) = match class {
            RecordClass::Writes => (self.writes, Durability::Before),
            RecordClass::Reads => (self.reads, Durability::Background),
            RecordClass::Lists => (self.lists, Durability::Background),
            RecordClass::Events => (self.events, Durability::Background),
            // They stand in the transaction of what was done.
            RecordClass::Acts => (None, Durability::Before),
        };
        said.unwrap_or(usual)
    }

    /// Whether anything is to be recorded, in so many words.
    fn demands_store(&self) -> bool {
        let said = [self.writes, self.reads, self.lists, self.events];
        !self.exports.is_empty()
            || said.iter().flatten().any(|durability| *durability != Durability::Off)
    }

    /// Whether these settings can take the place of others without a restart.
    pub fn is_taken_over(&self, before: &Self) -> bool {
        let fixed = |it: &Self| {
            let Self { queue, linger, checkpoints, key_file, anchor, .. } = it.clone();
            (queue, linger, checkpoints, key_file, anchor)
        };
        fixed(self) == fixed(before)
    }

    /// Keys below `audit`, and what is wrong with them.
    pub fn problems(&self, has_store: bool) -> Vec<(Vec<&str>, String)> {
        let mut problems: Vec<(Vec<&str>, String)> = Vec::new();
        if !has_store && self.demands_store() {
            problems.push((vec![], "needs a 'store', where records are kept".into()));
        }
        if self.events == Some(Durability::Before) {
            let why = "nothing waits for them: expected background or off";
            problems.push((vec!["events"], why.into()));
        }
        if self.queue < 100 {
            problems.push((vec!["queue"], "expected 100 at least".into()));
        }
        if self.deadline.0 < Duration::from_millis(50) {
            problems.push((vec!["deadline"], "expected 50ms at least".into()));
        }
        if self.linger.0 > Duration::from_secs(5) {
            problems.push((vec!["linger"], "expected 5s at most".into()));
        }
        if self.checkpoints.records == 0 || self.checkpoints.every.0 < Duration::from_secs(1) {
            let why = "expected one record at least, and one second";
            problems.push((vec!["checkpoints"], why.into()));
        }
        for (name, export) in &self.exports {
            problems.extend(export.problems().into_iter().map(|(key, why)| {
                (
                    ["exports", name.as_str(), key]
                        .into_iter()
                        .filter(|it| !it.is_empty())
                        .collect(),
                    why,
                )
            }));
        }
        problems
    }
}
