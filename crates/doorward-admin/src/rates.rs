//! How many requests each administrator may send.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// Requests a second, and how many may come at once.
const RATE: f64 = 50.0;
const BURST: f64 = 200.0;
/// Administrators that are remembered. Who has a full burst again is forgotten first.
const MOST: usize = 1_024;

/// A bucket for each administrator.
#[derive(Debug, Default)]
pub struct Rates(Mutex<HashMap<Arc<str>, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn refilled(self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * RATE).min(BURST)
    }
}

impl Rates {
    /// Counts a request; `false` if there are too many.
    pub fn admit(&self, who: &Arc<str>, now: Instant) -> bool {
        let mut buckets = self.0.lock();
        if buckets.len() >= MOST && !buckets.contains_key(who) {
            buckets.retain(|_, bucket| bucket.refilled(now) < BURST);
            if buckets.len() >= MOST {
                return false;
            }
        }
        let bucket = buckets.entry(who.clone()).or_insert(Bucket { left: BURST, at: now });
        let left = bucket.refilled(now);
        let admitted = left >= 1.0;
        *bucket = Bucket { left: if admitted { left - 1.0 } else { left }, at: now };
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_administrator_does_not_use_up_what_another_may() {
        let (rates, now) = (Rates::default(), Instant::now());
        let (one, other) = ("one".into(), "other".into());
        let admitted = (0..1_000).filter(|_| rates.admit(&one, now)).count();
        assert_eq!(admitted, 200);
        assert!(rates.admit(&other, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| rates.admit(&one, later)).count(), 50);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (rates, now) = (Rates::default(), Instant::now());
        for number in 0..MOST {
            assert!(rates.admit(&format!("{number}").into(), now));
        }
        assert!(!rates.admit(&"another".into(), now));
        assert!(rates.admit(&"another".into(), now + Duration::from_secs(1)));
    }
}
