//! The memory limit of the process: new requests are refused before the operating system ends the process.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval of checks, short enough that not much can be allocated in between.
pub const EVERY: Duration = Duration::from_millis(100);
/// Hysteresis: once the limit was reached, usage has to fall below it by a sixteenth.
const SLACK: u64 = 16;

/// Monitors the resident memory of the process.
#[derive(Debug, Default)]
pub struct Memory {
    /// Bytes; `None` if there is no limit.
    limit: Option<u64>,
    short: AtomicBool,
}

impl Memory {
    /// Uses the configured limit, or five sixths of the control group's limit, or half of the machine's memory.
    pub fn new(limit: Option<u64>) -> Self {
        let group = || group_limit().map(|limit| limit / 6 * 5);
        let limit = limit.or_else(group).or_else(|| machine().map(|all| all / 2));
        Self { limit, short: AtomicBool::default() }
    }

    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Whether new requests are to be refused.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Checks the current usage.
    pub fn look(&self) {
        if let (Some(limit), Some(held)) = (self.limit, resident()) {
            self.update(held, limit);
        }
    }

    fn update(&self, held: u64, limit: u64) {
        let was = self.is_short();
        let short = if was { held > limit - limit / SLACK } else { held > limit };
        if short == was {
            return;
        }
        self.short.store(short, Ordering::Relaxed);
        if short {
            tracing::warn!(held, limit, "memory limit reached: new calls and streams are refused");
        } else {
            tracing::info!(held, limit, "memory is available again");
        }
    }
}

/// Resident memory in bytes, on systems that report it (proc_pid_statm(5)).
pub fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // The usual page size of systems with this file. With larger pages the value is too low, and the limit of the
    // operating system applies first.
    Some(pages * 4096)
}

/// The machine's memory in bytes, on systems that report it (proc_meminfo(5)).
fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// The limit of the process's control group (version 1 or 2), in bytes.
fn group_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let root = Path::new("/sys/fs/cgroup");
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kinds, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let file = match kinds {
            "" => root.join(path).join("memory.max"),
            _ if kinds.split(',').any(|kind| kind == "memory") => {
                root.join("memory").join(path).join("memory.limit_in_bytes")
            }
            _ => return None,
        };
        // In a container the group is mounted as the root, whatever its path is outside.
        let top = root.join(file.strip_prefix(root).ok()?.file_name()?);
        let text = std::fs::read_to_string(&file).or_else(|_| std::fs::read_to_string(top)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    // Version 1 reports a very large number if there is no limit.
    limits.filter(|limit| *limit < 1 << 50).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_above_the_limit_until_usage_falls_below_the_slack() {
        let memory = Memory::new(Some(1600));
        for (held, short) in
            [(100, false), (1600, false), (1601, true), (1550, true), (1500, false), (1600, false)]
        {
            memory.update(held, 1600);
            assert_eq!(memory.is_short(), short, "{held}");
        }
    }

    #[test]
    fn usage_and_limits_can_be_read() {
        assert!(resident().is_none_or(|held| held > 100_000));
        let _ = group_limit();
        assert!(machine().is_none_or(|all| all > 64 << 20));
        assert!(cfg!(not(target_os = "linux")) || Memory::new(None).limit().is_some());
    }
}
