//! A caller's share of a global limit: sessions, streams, waiting calls, tasks, programs, stored bytes. A caller with
//! its whole share in use replaces its own items; the rest is for others.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The principal of all callers on a gateway without authentication.
pub const LOCAL: &str = "local";

/// The caller that a principal's usage counts towards: the user, whichever agents act on behalf of them.
pub fn sharer(principal: &str) -> &str {
    // Names in principals are quoted, so no name can contain this.
    principal.find("\" by \"").map_or(principal, |quote| &principal[..=quote])
}

/// Whether a caller is not limited to a share: the only caller of a gateway without authentication, and the
/// gateway itself.
pub fn is_exempt(sharer: &str) -> bool {
    sharer == LOCAL || sharer.is_empty()
}

/// A global limit and the share of one caller.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub whole: usize,
    pub share: usize,
}

impl Bounds {
    /// Each caller gets one of `parts` equal parts.
    pub fn new(whole: usize, parts: usize) -> Self {
        Self { whole, share: (whole / parts.max(1)).max(1) }
    }

    pub fn of(self, sharer: &str) -> usize {
        if is_exempt(sharer) { self.whole } else { self.share }
    }
}

/// Why nothing more can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The caller has reached its share.
    Share,
    /// The global limit is reached.
    Whole,
}

/// The current usage of each caller.
#[derive(Debug)]
pub struct Shares {
    bounds: Bounds,
    taken: Mutex<Taken>,
    /// Notified when usage decreases.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Arc<str>, usize>,
}

impl Shares {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Takes `amount` for a principal until the returned value is dropped.
    pub fn take(self: &Arc<Self>, principal: &str, amount: usize) -> Result<Held, Full> {
        let sharer = sharer(principal);
        let mut taken = self.taken.lock();
        if taken.all.saturating_add(amount) > self.bounds.whole {
            return Err(Full::Whole);
        }
        let known = taken.by.get_key_value(sharer).map(|(known, own)| (known.clone(), *own));
        let (sharer, own) = known.unwrap_or_else(|| (sharer.into(), 0));
        if own.saturating_add(amount) > self.bounds.of(&sharer) {
            return Err(Full::Share);
        }
        taken.all += amount;
        match taken.by.get_mut(&sharer) {
            Some(own) => *own += amount,
            None => _ = taken.by.insert(sharer.clone(), amount),
        }
        drop(taken);
        Ok(Held { shares: self.clone(), sharer, amount })
    }

    /// Like [`take`](Self::take), but waits until there is room.
    pub async fn wait(self: &Arc<Self>, principal: &str, amount: usize) -> Held {
        loop {
            // Enabled first, so that no release is missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Ok(held) = self.take(principal, amount) {
                return held;
            }
            freed.await;
        }
    }

    /// Limits `amount` to the principal's share. A larger item can then be taken once the principal uses nothing
    /// else.
    pub fn at_most_a_share(&self, principal: &str, amount: usize) -> usize {
        amount.min(self.bounds.of(sharer(principal)))
    }

    fn release(&self, sharer: &str, amount: usize) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(amount);
        if let Some(own) = taken.by.get_mut(sharer) {
            *own = own.saturating_sub(amount);
            if *own == 0 {
                taken.by.remove(sharer);
            }
        }
        drop(taken);
        self.freed.notify_waiters();
    }

    /// The caller whose item is to be replaced: the principal itself if it has reached its share, otherwise the
    /// caller that uses the most.
    pub fn gives_way(&self, full: Full, principal: &str) -> Option<Arc<str>> {
        match full {
            Full::Share => Some(sharer(principal).into()),
            Full::Whole => {
                let taken = self.taken.lock();
                let largest = taken.by.iter().max_by_key(|(_, amount)| **amount);
                largest.map(|(largest, _)| largest.clone())
            }
        }
    }
}

/// Counts queued data towards one caller's share.
#[derive(Debug, Clone)]
pub struct Counter {
    shares: Arc<Shares>,
    principal: Arc<str>,
}

impl Counter {
    pub fn new(shares: Arc<Shares>, principal: Arc<str>) -> Self {
        Self { shares, principal }
    }

    /// Waits until the caller has room for `amount`. If that is larger than its share, waits until it uses nothing
    /// else.
    pub async fn take(&self, amount: usize) -> Held {
        let amount = self.shares.at_most_a_share(&self.principal, amount);
        self.shares.wait(&self.principal, amount).await
    }

    /// Like [`take`](Self::take), but returns `None` if there is no room now.
    pub fn try_take(&self, amount: usize) -> Option<Held> {
        let amount = self.shares.at_most_a_share(&self.principal, amount);
        self.shares.take(&self.principal, amount).ok()
    }
}

/// Usage of a share. Dropping it releases it.
#[derive(Debug)]
pub struct Held {
    shares: Arc<Shares>,
    sharer: Arc<str>,
    amount: usize,
}

impl Held {
    pub fn sharer(&self) -> &str {
        &self.sharer
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shares.release(&self.sharer, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_caller_exceeds_its_share() {
        let shares = Shares::new(Bounds::new(16, 8));
        let alice = "user \"alice\" by \"one\"";
        let first = shares.take(alice, 1).unwrap();
        let _second = shares.take("user \"alice\" by \"two\"", 1).unwrap();
        assert_eq!(
            shares.take(alice, 1).unwrap_err(),
            Full::Share,
            "agents count towards their user's share"
        );
        assert_eq!(shares.take("user \"alice\"", 1).unwrap_err(), Full::Share);
        let _third = shares.take("user \"bob\"", 2).unwrap();
        drop(first);
        let _fourth = shares.take(alice, 1).unwrap();
        assert_eq!(shares.gives_way(Full::Share, alice).as_deref(), Some("user \"alice\""));
        let _rest = shares.take(LOCAL, 12).unwrap();
        assert_eq!(shares.gives_way(Full::Whole, alice).as_deref(), Some(LOCAL));
        assert_eq!(shares.take("user \"carol\"", 1).unwrap_err(), Full::Whole);
        assert_eq!(Bounds::new(3, 8).of("user \"x\""), 1, "at least one");
    }

    #[test]
    fn no_name_can_imitate_another_callers() {
        for (id, whose) in [
            ("user \"a\" of \"t\" by \"x\"", "user \"a\" of \"t\""),
            ("user \"a\" by \"x\"", "user \"a\""),
            ("user \"a\\\" by \\\"b\"", "user \"a\\\" by \\\"b\""),
            ("user \"a\"", "user \"a\""),
        ] {
            assert_eq!(sharer(id), whose);
        }
    }

    proptest! {
        #[test]
        fn what_is_released_is_available_again(amounts in prop::collection::vec((0..5usize, 0..4usize), 0..60)) {
            let shares = Shares::new(Bounds::new(20, 4));
            let mut held = Vec::new();
            for (who, amount) in amounts {
                if let Ok(it) = shares.take(&format!("user \"{who}\""), amount) {
                    held.push(it);
                }
                let taken = shares.taken.lock();
                prop_assert_eq!(taken.all, taken.by.values().sum::<usize>());
                prop_assert!(taken.all <= 20 && taken.by.values().all(|own| *own <= 5));
            }
            drop(held);
            prop_assert!(shares.taken.lock().by.is_empty());
        }
    }
}
