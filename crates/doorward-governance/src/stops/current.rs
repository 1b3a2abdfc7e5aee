//! The stops that are in force now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::Stopped;

/// What is stopped now, shared by everything that asks.
#[derive(Debug, Default)]
pub struct Stops {
    /// Whether anything is.
    any: AtomicBool,
    /// Counts changes.
    generation: AtomicU64,
    stopped: ArcSwap<Stopped>,
}

impl Stops {
    /// What is stopped; `None` as long as nothing is, at the cost of one load.
    pub fn current(&self) -> Option<Arc<Stopped>> {
        self.any.load(Ordering::Acquire).then(|| self.stopped.load_full())
    }

    /// Counts changes of what is stopped.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts a set in force. Returns what was in force before.
    pub fn replace(&self, stopped: Stopped) -> Arc<Stopped> {
        let any = !stopped.is_empty();
        let before = self.stopped.swap(Arc::new(stopped));
        self.any.store(any, Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
        before
    }
}
