//! The location of a process, and whether it is still running.

use serde::{Deserialize, Serialize};

/// The location of a process, so that others on the same machine can tell whether it is still running.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    pub host: String,
    boot: String,
    namespace: String,
    pid: u32,
    /// Start time of the process, in ticks since boot.
    began: u64,
    pub version: String,
}

impl Place {
    pub fn here(version: &str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let pid = std::process::id();
        Self {
            host: hostname(),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: link.display().to_string(),
            pid,
            began: began(pid).unwrap_or_default(),
            version: version.to_owned(),
        }
    }

    /// Whether a process has certainly ended, as far as this machine can tell.
    pub(super) fn knows_gone(&self, other: &Self) -> bool {
        !self.boot.is_empty()
            && (&self.boot, &self.namespace) == (&other.boot, &other.namespace)
            && began(other.pid) != Some(other.began)
    }
}

/// The host name; empty if there is none.
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The start time of a process (`/proc/PID/stat`, field 22).
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
