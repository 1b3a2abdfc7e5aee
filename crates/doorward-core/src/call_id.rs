//! Call ids.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies one call in log lines and in errors of the gateway. Unique within the process, and different from
/// those of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let run = u64::from(Self::run()) << 32;
        Self(run.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The random prefix of this process's call ids. If no randomness is available it is zero, and ids are unique
    /// only within the process.
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
