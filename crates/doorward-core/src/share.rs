//! A caller's share of a global limit: sessions, streams, waiting calls, tasks, programs, stored bytes. A caller with
//! its whole share in use replaces its own items; the rest is for others.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The principal of whoever calls a gateway that asks nobody who they are.
pub const LOCAL: &str = "local";

/// Whose share something counts to: a principal's, whichever agents act for them.
pub fn sharer(principal: &str) -> &str {
    // Names in ids are quoted, so that none can hold this.
    principal.find("\" by \"").map_or(principal, |quote| &principal[..=quote])
}

/// Whether somebody may have all there is: the one caller of a gateway that asks nobody who they are, and the gateway
/// itself.
pub fn is_exempt(sharer: &str) -> bool {
    sharer == LOCAL || sharer.is_empty()
}

/// How much of something there is, and how much of it one caller may have.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub whole: usize,
    pub share: usize,
}

impl Bounds {
    /// With one part in so many for each caller.
    pub fn new(whole: usize, parts: usize) -> Self {
        Self { whole, share: (whole / parts.max(1)).max(1) }
    }

    pub fn of(self, sharer: &str) -> usize {
        if is_exempt(sharer) { self.whole } else { self.share }
    }
}

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The caller has their share.
    Share,
    /// Everything is taken.
    Whole,
}

/// Who has how much of something.
#[derive(Debug)]
pub struct Shares {
    bounds: Bounds,
    taken: Mutex<Taken>,
    /// Something was given back.
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

    /// Takes so much for a principal, until what is returned is dropped.
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

    /// The same as soon as there is room.
    pub async fn wait(self: &Arc<Self>, principal: &str, amount: usize) -> Held {
        loop {
            // What is given back from here on is noticed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Ok(held) = self.take(principal, amount) {
                return held;
            }
            freed.await;
        }
    }

    /// No more than a principal's share: what is larger goes when there is nothing else of theirs.
    pub fn at_most_a_share(&self, principal: &str, amount: usize) -> usize {
        amount.min(self.bounds.of(sharer(principal)))
    }

    fn give_back(&self, sharer: &str, amount: usize) {
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

    /// Of whose something gives way for a principal: of their own where they have their share, else of whoever has most.
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

/// Counts to one caller what waits for them.
#[derive(Debug, Clone)]
pub struct Counter {
    shares: Arc<Shares>,
    principal: Arc<str>,
}

impl Counter {
    pub fn new(shares: Arc<Shares>, principal: Arc<str>) -> Self {
        Self { shares, principal }
    }

    /// Takes so much, as soon as the caller has room for it. What is larger than their share waits until there is
    /// nothing else of theirs.
    pub async fn take(&self, amount: usize) -> Held {
        let amount = self.shares.at_most_a_share(&self.principal, amount);
        self.shares.wait(&self.principal, amount).await
    }

    /// The same, if there is room now.
    pub fn try_take(&self, amount: usize) -> Option<Held> {
        let amount = self.shares.at_most_a_share(&self.principal, amount);
        self.shares.take(&self.principal, amount).ok()
    }
}

/// Something that is taken. Dropping it gives it back.
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
        self.shares.give_back(&self.sharer, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_takes_what_all_need() {
        let shares = Shares::new(Bounds::new(16, 8));
        let alice = "user \"alice\" by \"one\"";
        let first = shares.take(alice, 1).unwrap();
        let _second = shares.take("user \"alice\" by \"two\"", 1).unwrap();
        assert_eq!(shares.take(alice, 1).unwrap_err(), Full::Share, "agents share their user's");
        assert_eq!(shares.take("user \"alice\"", 1).unwrap_err(), Full::Share);
        let _third = shares.take("user \"bob\"", 2).unwrap();
        drop(first);
        let _fourth = shares.take(alice, 1).unwrap();
        assert_eq!(shares.gives_way(Full::Share, alice).as_deref(), Some("user \"alice\""));
        let _rest = shares.take(LOCAL, 12).unwrap();
        assert_eq!(shares.gives_way(Full::Whole, alice).as_deref(), Some(LOCAL));
        assert_eq!(shares.take("user \"carol\"", 1).unwrap_err(), Full::Whole);
        assert_eq!(Bounds::new(3, 8).of("user \"x\""), 1, "one at least");
    }

    #[test]
    fn no_name_looks_like_anothers() {
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
        fn what_is_given_back_is_there_again(amounts in prop::collection::vec((0..5usize, 0..4usize), 0..60)) {
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
