//! Telling as many things as somebody can read, and of the others how many there were. Whoever knocks without end
//! fills no disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const WHILE: Duration = Duration::from_secs(1);

/// How many came since when, of which so many are told within a second.
#[derive(Debug, Default)]
pub struct Flood<const MOST: usize>(Mutex<Option<(Instant, usize)>>);

impl<const MOST: usize> Flood<MOST> {
    /// Whether one more is told, and how many of the last second were not.
    pub fn count(&self, now: Instant) -> (bool, usize) {
        let mut state = self.0.lock();
        match &mut *state {
            Some((since, count)) if now.duration_since(*since) < WHILE => {
                *count += 1;
                (*count <= MOST, 0)
            }
            other => {
                let before = other.replace((now, 1));
                (true, before.map_or(0, |(_, count)| count.saturating_sub(MOST)))
            }
        }
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
        assert_eq!(flood.count(now + WHILE), (true, 80));
        assert_eq!(flood.count(now + 3 * WHILE), (true, 0));
    }
}
