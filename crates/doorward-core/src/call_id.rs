//! Ids of calls.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one call in every log line and every error of the gateway's own. Unique to the process,
/// and unlike those of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let run = u64::from(Self::run()) << 32;
        Self(run.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// What the ids of a process's calls begin with. It tells runs apart; without randomness they are
    /// not, and calls still are.
    pub fn run() -> u32 {
        static RUN: OnceLock<u32> = OnceLock::new();
        *RUN.get_or_init(|| getrandom::u32().unwrap_or_default())
    }

    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
