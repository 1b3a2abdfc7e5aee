//! The retry budget of a server: a percentage of its calls, so that retries do not overload a failing server.

use std::sync::atomic::{AtomicU64, Ordering};

/// One attempt, in hundredths.
const ONE: u64 = 100;
/// Saved at most, and at first: a server with few calls has some, too.
const MOST: u64 = 100 * ONE;
const FIRST: u64 = 10 * ONE;

#[derive(Debug)]
pub struct Budget {
    share: u64,
    saved: AtomicU64,
}

impl Budget {
    /// So many of a hundred calls.
    pub fn new(share: u8) -> Self {
        let first = if share == 0 { 0 } else { FIRST };
        Self { share: u64::from(share), saved: AtomicU64::new(first) }
    }

    /// A call was made.
    pub fn earn(&self) {
        // Most of the time there is enough.
        if self.saved.load(Ordering::Relaxed) < MOST {
            self.saved.fetch_add(self.share, Ordering::Relaxed);
        }
    }

    /// One may be made again.
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
    fn a_share_of_the_calls_is_made_again_and_no_more() {
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
