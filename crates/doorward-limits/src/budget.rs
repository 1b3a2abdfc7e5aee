//! The retry budget of a server: a percentage of its calls, so that retries do not overload a failing server.

use std::sync::atomic::{AtomicU64, Ordering};

/// One retry, in hundredths.
const ONE: u64 = 100;
/// Maximum and initial balance, so that a server with few calls can be retried, too.
const MOST: u64 = 100 * ONE;
const FIRST: u64 = 10 * ONE;

#[derive(Debug)]
pub struct Budget {
    share: u64,
    saved: AtomicU64,
}

impl Budget {
    /// `share` is the number of retries allowed per hundred calls.
    pub fn new(share: u8) -> Self {
        let first = if share == 0 { 0 } else { FIRST };
        Self { share: u64::from(share), saved: AtomicU64::new(first) }
    }

    /// Adds the share of one call to the balance.
    pub fn earn(&self) {
        // The balance is usually at its maximum.
        if self.saved.load(Ordering::Relaxed) < MOST {
            self.saved.fetch_add(self.share, Ordering::Relaxed);
        }
    }

    /// Takes one retry from the balance. Returns `false` if there is none left.
    pub fn spend(&self) -> bool {
        let spent = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(ONE));
        spent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_of_calls_is_retried() {
        let budget = Budget::new(20);
        let spent = (0..1_000)
            .filter(|_| {
                budget.earn();
                budget.spend()
            })
            .count();
        assert_eq!(spent, 10 + 200);
        for _ in 0..10_000 {
            budget.earn();
        }
        assert!((0..1_000).filter(|_| budget.spend()).count() <= 101);
        let none = Budget::new(0);
        none.earn();
        assert!(!none.spend());
    }
}
