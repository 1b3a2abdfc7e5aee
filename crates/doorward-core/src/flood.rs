//! Limits how many messages are logged, and counts the rest, so that repeated failures cannot fill the disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// After a burst, one message is logged per this interval.
const PAUSE: Duration = Duration::from_secs(15);

/// Logs a burst of `MOST` messages, then one per interval with the number of suppressed ones.
#[derive(Debug, Default)]
pub struct Flood<const MOST: usize>(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Number of messages used of the burst, and when that number was last reduced.
    used: usize,
    since: Option<Instant>,
    suppressed: usize,
}

impl<const MOST: usize> Flood<MOST> {
    /// Whether to log this message, and how many were suppressed since the last logged one.
    pub fn count(&self, now: Instant) -> (bool, usize) {
        let mut state = self.0.lock();
        let since = *state.since.get_or_insert(now);
        let pauses = now.saturating_duration_since(since).as_secs() / PAUSE.as_secs();
        if pauses > 0 {
            state.used = state.used.saturating_sub(usize::try_from(pauses).unwrap_or(usize::MAX));
            state.since = Some(now);
        }
        if state.used >= MOST {
            state.suppressed += 1;
            return (false, 0);
        }
        if state.used == 0 {
            state.since = Some(now);
        }
        state.used += 1;
        (true, std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_the_burst_are_counted() {
        let (flood, now) = (Flood::<20>::default(), Instant::now());
        let logged = (0..100).filter(|_| flood.count(now).0).count();
        assert_eq!(logged, 20);
        assert_eq!(flood.count(now + PAUSE), (true, 80));
        assert_eq!(flood.count(now + PAUSE), (false, 0));
        assert_eq!(flood.count(now + 3 * PAUSE), (true, 1));
    }

    #[test]
    fn a_day_of_failures_is_a_few_thousand_messages() {
        let (flood, now) = (Flood::<20>::default(), Instant::now());
        let seconds = 24 * 60 * 60;
        let all = (0..seconds * 10).map(|tenth| now + Duration::from_millis(tenth * 100));
        let logged = all.filter(|at| flood.count(*at).0).count();
        assert!((5_700..=5_800).contains(&logged), "{logged}");
    }
}
