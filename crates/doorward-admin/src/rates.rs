//! How many requests each administrator may send.

use std::sync::Arc;

use doorward_limits::buckets::Buckets;

/// Requests a second, and how many may come at once.
const RATE: f64 = 50.0;
const BURST: f64 = 200.0;
/// Administrators that are remembered.
const MOST: usize = 1_024;

/// A bucket for each administrator.
pub type Rates = Buckets<Arc<str>>;

pub fn rates() -> Rates {
    Buckets::new(BURST, RATE, MOST)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn one_administrator_does_not_use_up_what_another_may() {
        let (rates, now) = (rates(), Instant::now());
        let (one, other) = ("one".into(), "other".into());
        let admitted = (0..1_000).filter(|_| rates.admit(&one, now)).count();
        assert_eq!(admitted, 200);
        assert!(rates.admit(&other, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| rates.admit(&one, later)).count(), 50);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (rates, now) = (rates(), Instant::now());
        for number in 0..MOST {
            assert!(rates.admit(&format!("{number}").into(), now));
        }
        assert!(!rates.admit(&"another".into(), now));
        assert!(rates.admit(&"another".into(), now + Duration::from_secs(1)));
    }
}
