//! Events of this process that webhooks may report, until they are queued in the store.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Events that wait for the store; further ones are dropped and counted.
const MOST: usize = 1_000;
/// Seconds over which refusals are counted.
const WINDOW: usize = 60;

/// An event of this process: its name in the audit log, and the members of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    pub name: String,
    /// Members of a JSON object, without its braces.
    pub members: String,
}

/// Events of this process, bounded.
#[derive(Debug, Default)]
pub struct Feed {
    /// Whether any webhook is configured.
    on: AtomicBool,
    waiting: Mutex<VecDeque<Noticed>>,
    pub(super) some: Notify,
    refusals: Mutex<Refusals>,
    /// Events dropped because the queue was full.
    pub dropped: AtomicU64,
    /// Failed delivery attempts.
    pub failed: AtomicU64,
}

impl Feed {
    /// Turns it on if there is a webhook.
    pub fn turn(&self, on: bool) {
        self.on.store(on, Ordering::Release);
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Adds an event.
    pub fn notice(&self, name: &str, members: impl Into<String>) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(Noticed { name: name.to_owned(), members: members.into() });
        drop(waiting);
        self.some.notify_one();
    }

    /// Counts a caller or a call that was refused.
    pub fn refused(&self) {
        if self.is_on() {
            self.refusals.lock().add(Instant::now());
        }
    }

    /// The number of refusals within the last minute.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.lock().sum(Instant::now())
    }

    /// The first queued events. They stay queued until they are [done](Self::done).
    pub(super) fn first(&self, most: usize) -> Vec<Noticed> {
        self.waiting.lock().iter().take(most).cloned().collect()
    }

    pub(super) fn done(&self, count: usize) {
        let mut waiting = self.waiting.lock();
        let count = count.min(waiting.len());
        waiting.drain(..count);
    }
}

/// Counts by the second.
#[derive(Debug)]
struct Refusals {
    began: Instant,
    /// The latest counted second.
    last: u64,
    counts: [u64; WINDOW],
}

impl Default for Refusals {
    fn default() -> Self {
        Self { began: Instant::now(), last: 0, counts: [0; WINDOW] }
    }
}

impl Refusals {
    fn at(&mut self, now: Instant) -> usize {
        let second = now.saturating_duration_since(self.began).as_secs();
        let passed = second.saturating_sub(self.last).min(WINDOW as u64);
        for step in 1..=passed {
            self.counts[(self.last.wrapping_add(step) % WINDOW as u64) as usize] = 0;
        }
        if passed == WINDOW as u64 {
            self.counts = [0; WINDOW];
        }
        self.last = self.last.max(second);
        (self.last % WINDOW as u64) as usize
    }

    fn add(&mut self, now: Instant) {
        let at = self.at(now);
        self.counts[at] += 1;
    }

    fn sum(&mut self, now: Instant) -> u64 {
        self.at(now);
        self.counts.iter().sum()
    }
}

/// Minimum time between two reports of many refusals.
pub(super) const REFUSALS_EVERY: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_added_up_over_a_minute() {
        let mut refusals = Refusals::default();
        let began = refusals.began;
        let at = |seconds| began + Duration::from_secs(seconds);
        for second in [0, 0, 30, 59] {
            refusals.add(at(second));
        }
        assert_eq!(refusals.sum(at(59)), 4);
        assert_eq!(refusals.sum(at(60)), 2);
        assert_eq!(refusals.sum(at(89)), 2);
        assert_eq!(refusals.sum(at(90)), 1);
        assert_eq!(refusals.sum(at(500)), 0);
        refusals.add(at(500));
        assert_eq!(refusals.sum(at(559)), 1);
    }

    #[test]
    fn what_waits_is_bounded_and_stays_until_it_is_done() {
        let feed = Feed::default();
        for number in 0..MOST + 5 {
            feed.notice("server.down", format!("\"n\":{number}"));
        }
        assert_eq!(feed.dropped.load(Ordering::Relaxed), 5);
        assert_eq!(feed.first(2).len(), 2);
        assert_eq!(feed.first(1)[0].members, "\"n\":0");
        feed.done(1);
        assert_eq!(feed.first(1)[0].members, "\"n\":1");
    }
}
