//! How long a caller's credential is valid. Streams end with it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Valid until it is ended or expires.
#[derive(Debug, Default)]
pub struct Lease {
    ended: CancellationToken,
    /// Expiry in seconds since 1970 (wall clock), as in credentials.
    until: Option<i64>,
}

impl Lease {
    /// For callers without credentials.
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

    /// Cancelled when the lease is over.
    pub fn token(&self) -> &CancellationToken {
        &self.ended
    }
}

/// All leases with an expiry.
#[derive(Debug, Default)]
pub struct Leases(Mutex<Vec<Weak<Lease>>>);

impl Leases {
    pub fn watch(&self, lease: &Arc<Lease>) {
        if lease.until.is_some() {
            self.0.lock().push(Arc::downgrade(lease));
        }
    }

    /// Ends expired leases, and removes those that are no longer used.
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
