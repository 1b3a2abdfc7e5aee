//! How long a caller's credential is valid. Streams end with it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Good until it is ended, or its time is over.
#[derive(Debug, Default)]
pub struct Lease {
    ended: CancellationToken,
    /// Seconds since 1970 by the clock on the wall, which credentials speak of.
    until: Option<i64>,
}

impl Lease {
    /// For callers who show nothing.
    pub fn forever() -> Arc<Self> {
        Arc::default()
    }

    pub fn until(until: Option<i64>) -> Arc<Self> {
        Arc::new(Self { ended: CancellationToken::new(), until })
    }

    pub fn end(&self) {
        self.ended.cancel();
    }

    pub fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Cancelled when it is over.
    pub fn token(&self) -> &CancellationToken {
        &self.ended
    }
}

/// All leases that have a time.
#[derive(Debug, Default)]
pub struct Leases(Mutex<Vec<Weak<Lease>>>);

impl Leases {
    pub fn watch(&self, lease: &Arc<Lease>) {
        if lease.until.is_some() {
            self.0.lock().push(Arc::downgrade(lease));
        }
    }

    /// Ends those whose time is over, and forgets those that nobody holds any more.
    pub fn sweep(&self, now: i64) {
        self.0.lock().retain(|lease| {
            let Some(lease) = lease.upgrade() else { return false };
            let over = lease.until.is_some_and(|until| until <= now);
            if over {
                lease.end();
            }
            !over
        });
    }
}
