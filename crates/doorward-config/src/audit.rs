//! The audit log: what is recorded, durability, retention and exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, ExportSettings, Period};
use doorward_core::pattern::Pattern;

/// When an audit record is written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// No record is written.
    Off,
    /// In the background: a gateway that is killed loses the most recent records. When the queue is full, calls
    /// are refused.
    Background,
    /// Before the call is sent to its server. If the record cannot be written, the call is refused.
    Before,
}

/// The audit log: a record of every call and every administrative action. Durability is set for each class of
/// records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// Calls that can change something. Default: `before`; without a store, `off`.
    pub writes: Option<Durability>,
    /// Calls that only read. Default: `background`; without a store, `off`.
    pub reads: Option<Durability>,
    /// List requests and server metadata. Default: `background`; without a store, `off`.
    pub lists: Option<Durability>,
    /// Refused callers, sessions that start and end, servers that connect and disconnect: `background` or `off`.
    pub events: Option<Durability>,
    /// Maximum time to write a record to disk. If it takes longer, the call is refused.
    pub write_timeout: Period,
    /// How long records are held back to be written in one batch.
    pub flush_interval: Period,
    /// Maximum number of records waiting to be written.
    pub queue_size: usize,
    pub checkpoints: CheckpointSettings,
    /// File with the key that signs checkpoints; created if it does not exist. Default: the key is encrypted in
    /// the store; without a `store_key`, it is in a file next to the store's.
    pub key_file: Option<PathBuf>,
    /// File to which each checkpoint is appended. Store it where others cannot write: it then reveals what the
    /// database alone cannot, that its latest records were removed.
    pub anchor: Option<PathBuf>,
    /// Tools whose arguments and results are recorded in full, not only as hashes: `server/tool`, `*` matches any
    /// characters. The longest matching pattern applies.
    pub payloads: BTreeMap<Pattern, PayloadSettings>,
    /// Record the arguments that policies use, so that other policies can be simulated on past calls.
    pub policy_arguments: bool,
    /// Names of members whose values are masked in audit records, in addition to those that are always masked,
    /// such as `password` and `token`.
    pub mask: BTreeSet<Pattern>,
    /// Maximum size of arguments and of a result to record in full.
    pub payload_limit: ByteSize,
    pub retention: RetentionSettings,
    /// Destinations that records are exported to, by name.
    pub exports: BTreeMap<String, ExportSettings>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            writes: None,
            reads: None,
            lists: None,
            events: None,
            write_timeout: Period(Duration::from_secs(2)),
            flush_interval: Period(Duration::from_millis(50)),
            queue_size: 20_000,
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

/// How often a signed checkpoint of the audit log is created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSettings {
    /// After this number of records.
    pub records: u64,
    /// After this time, if there are new records.
    pub every: Period,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { records: 1_000, every: Period(Duration::from_secs(60)) }
    }
}

/// What of a call is recorded in full, masked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PayloadSettings {
    pub arguments: bool,
    pub result: bool,
}

/// How long audit records are retained. Records under a legal hold are always retained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Records that no other setting covers. Default: forever.
    pub keep: Option<Period>,
    /// By class: `writes`, `reads`, `lists`, `events`, `acts`.
    pub classes: BTreeMap<RecordClass, Period>,
    /// By tenant: a time for all of its records, and times for classes of them.
    pub tenants: BTreeMap<String, TenantRetention>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRetention {
    pub keep: Option<Period>,
    pub classes: BTreeMap<RecordClass, Period>,
}

/// Classes of audit records.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RecordClass {
    Writes,
    Reads,
    Lists,
    Events,
    /// Actions of administrators.
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
    /// When records of a class are written to disk, if there is a store.
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

    /// Whether the configuration explicitly enables audit records.
    fn demands_store(&self) -> bool {
        let said = [self.writes, self.reads, self.lists, self.events];
        !self.exports.is_empty()
            || said.iter().flatten().any(|durability| *durability != Durability::Off)
    }

    /// Whether these settings can replace others without a restart.
    pub fn is_taken_over(&self, before: &Self) -> bool {
        let fixed = |it: &Self| {
            let Self { queue_size, flush_interval, checkpoints, key_file, anchor, .. } = it.clone();
            (queue_size, flush_interval, checkpoints, key_file, anchor)
        };
        fixed(self) == fixed(before)
    }

    /// Keys below `audit`, and their problems.
    pub fn problems(&self, has_store: bool) -> Vec<(Vec<&str>, String)> {
        let mut problems: Vec<(Vec<&str>, String)> = Vec::new();
        if !has_store && self.demands_store() {
            problems.push((vec![], "requires a 'store' for audit records".into()));
        }
        if self.events == Some(Durability::Before) {
            let why = "events cannot be written before a call: expected background or off";
            problems.push((vec!["events"], why.into()));
        }
        if self.queue_size < 100 {
            problems.push((vec!["queue_size"], "must be at least 100".into()));
        }
        if self.write_timeout.0 < Duration::from_millis(50) {
            problems.push((vec!["write_timeout"], "must be at least 50ms".into()));
        }
        if self.flush_interval.0 > Duration::from_secs(5) {
            problems.push((vec!["flush_interval"], "must be at most 5s".into()));
        }
        if self.checkpoints.records == 0 || self.checkpoints.every.0 < Duration::from_secs(1) {
            let why = "must be at least one record and one second";
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
