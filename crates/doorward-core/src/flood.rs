//! Limits how many messages are logged, and counts the rest, so that repeated failures cannot fill the disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Between two that are told while it goes on.
const PAUSE: Duration = Duration::from_secs(15);

/// A burst of `MOST` is told, each by itself; then one now and then, with how many were not.
#[derive(Debug, Default)]
pub struct Flood<const MOST: usize>(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of the burst, how many were used up, and when that was last looked at.
    used: usize,
    since: Option<Instant>,
    untold: usize,
}

impl<const MOST: usize> Flood<MOST> {
    /// Whether one more is told, and how many were not since the last that was.
    pub fn count(&self, now: Instant) -> (bool, usize) {
        let mut state = self.0.lock();
        let since = *state.since.get_or_insert(now);
        let pauses = now.saturating_duration_since(since).as_secs() / PAUSE.as_secs();
        if pauses > 0 {
            state.used = state.used.saturating_sub(usize::try_from(pauses).unwrap_or(usize::MAX));
            state.since = Some(now);
        }
        if state.used >= MOST {
            state.untold += 1;
            return (false, 0);
        }
        if state.used == 0 {
            state.since = Some(now);
        }
        state.used += 1;
        (true, std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_rather_than_told() {
        let (flood, now) = (Flood::<20>::default(), Instant::now());
        let told = (0..100).filter(|_| flood.count(now).0).count();
        assert_eq!(told, 20);
        assert_eq!(flood.count(now + PAUSE), (true, 80));
        assert_eq!(flood.count(now + PAUSE), (false, 0));
        assert_eq!(flood.count(now + 3 * PAUSE), (true, 1));
    }

    #[test]
    fn a_day_of_it_is_a_few_thousand() {
        let (flood, now) = (Flood::<20>::default(), Instant::now());
        let seconds = 24 * 60 * 60;
        let all = (0..seconds * 10).map(|tenth| now + Duration::from_millis(tenth * 100));
        let told = all.filter(|at| flood.count(*at).0).count();
        assert!((5_700..=5_800).contains(&told), "{told}");
    }
}
