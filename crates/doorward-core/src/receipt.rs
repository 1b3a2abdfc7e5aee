//! What a protocol that reports it wants to know of a call that has ended, beside its result.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Filled in while a call passes the pipeline.
#[derive(Debug, Default)]
pub struct Receipt {
    sent: AtomicBool,
    charged: OnceLock<Charged>,
}

/// What a call has cost.
#[derive(Debug, Clone, Default)]
pub struct Charged {
    /// In millionths of a credit.
    pub price: i64,
    /// The accounts that it was charged to.
    pub accounts: Vec<Arc<str>>,
}

impl Receipt {
    /// The call is sent to its server now: from here on, it may have been executed.
    pub fn note_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    pub fn note_charged(&self, price: i64, accounts: impl Iterator<Item = Arc<str>>) {
        let _ = self.charged.set(Charged { price, accounts: accounts.collect() });
    }

    pub fn charged(&self) -> Charged {
        self.charged.get().cloned().unwrap_or_default()
    }
}
