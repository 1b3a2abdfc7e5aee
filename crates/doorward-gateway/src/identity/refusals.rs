//! Refused callers in the log: as many as somebody can read, and of the others how many there were. Whoever knocks
//! without end fills no disk.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many are told within a second.
const MOST: usize = 20;
const WHILE: Duration = Duration::from_secs(1);

/// How many were told, and how many were not, since when.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Option<(Instant, usize)>>);

impl Refusals {
    pub fn tell(&self, address: IpAddr, path: &str, why: &str) {
        let (tell, untold) = self.count(Instant::now());
        if untold > 0 {
            tracing::warn!(count = untold, "so many more callers were refused within a second");
        }
        if tell {
            tracing::info!(%address, path, why, "refused a caller");
        }
    }

    /// Whether one more is told, and how many of the last second were not.
    fn count(&self, now: Instant) -> (bool, usize) {
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
        let (refusals, now) = (Refusals::default(), Instant::now());
        let told = (0..100).filter(|_| refusals.count(now).0).count();
        assert_eq!(told, MOST);
        assert_eq!(refusals.count(now + WHILE), (true, 80));
        assert_eq!(refusals.count(now + 3 * WHILE), (true, 0));
    }
}
