//! How much memory the process uses, and the limit: new requests are refused in time, before the system ends the
//! process.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked at: between two looks not much can be asked for.
pub const EVERY: Duration = Duration::from_millis(100);
/// What is held below the limit once it was reached, so that it does not go on and off: a sixteenth.
const SLACK: u64 = 16;

/// Watches the process's resident memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// Bytes; `None` when nothing bounds it.
    limit: Option<u64>,
    short: AtomicBool,
}

impl Memory {
    /// With the operator's limit, or five sixths of what the control group allows, or half of what the machine has.
    pub fn new(limit: Option<u64>) -> Self {
        let group = || group_limit().map(|limit| limit / 6 * 5);
        let limit = limit.or_else(group).or_else(|| machine().map(|all| all / 2));
        Self { limit, short: AtomicBool::default() }
    }

    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Nothing new may begin.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Takes a look.
    pub fn look(&self) {
        if let (Some(limit), Some(held)) = (self.limit, resident()) {
            self.weigh(held, limit);
        }
    }

    fn weigh(&self, held: u64, limit: u64) {
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

/// Resident bytes, where the system tells (proc_pid_statm(5)).
pub fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // The page size of the systems that tell in this way, but for some whose pages are larger: there
    // less is told than is held, and the system's own bound comes first.
    Some(pages * 4096)
}

/// What the machine has, where the system tells (proc_meminfo(5)).
fn machine() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// What the process's control group may hold, of either version.
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
        // In a container the group is mounted as the root, whatever its path outside.
        let top = root.join(file.strip_prefix(root).ok()?.file_name()?);
        let text = std::fs::read_to_string(&file).or_else(|_| std::fs::read_to_string(top)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    // Version 1 says that there is no bound by a number that no machine reaches.
    limits.filter(|limit| *limit < 1 << 50).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_from_the_limit_on_until_there_is_room_again() {
        let memory = Memory::new(Some(1600));
        for (held, short) in
            [(100, false), (1600, false), (1601, true), (1550, true), (1500, false), (1600, false)]
        {
            memory.weigh(held, 1600);
            assert_eq!(memory.is_short(), short, "{held}");
        }
    }

    #[test]
    fn the_process_holds_something() {
        assert!(resident().is_none_or(|held| held > 100_000));
        let _ = group_limit();
        assert!(machine().is_none_or(|all| all > 64 << 20));
        assert!(cfg!(not(target_os = "linux")) || Memory::new(None).limit().is_some());
    }
}
