//! How many keys an address may try.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

/// Wrong keys in a burst, and seconds until another one may be tried.
const BURST: f64 = 10.0;
const PAUSE: f64 = 6.0;
/// Addresses that are remembered.
const MOST: usize = 10_000;

/// What each address has left.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, (f64, Instant)>>);

/// Whoever has one address of IPv6 has its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut parts = v6.segments();
            parts[4..].fill(0);
            IpAddr::V6(parts.into())
        }
        v4 => v4,
    }
}

fn refilled((left, at): (f64, Instant), now: Instant) -> f64 {
    (left + now.saturating_duration_since(at).as_secs_f64() / PAUSE).min(BURST)
}

impl Attempts {
    /// Counts an attempt; `false` if there were too many.
    pub fn admit(&self, address: IpAddr, now: Instant) -> bool {
        let address = network(address);
        let mut all = self.0.lock();
        if all.len() >= MOST && !all.contains_key(&address) {
            all.retain(|_, one| refilled(*one, now) < BURST);
            if all.len() >= MOST {
                return false;
            }
        }
        let left = refilled(*all.entry(address).or_insert((BURST, now)), now);
        let admitted = left >= 1.0;
        all.insert(address, (if admitted { left - 1.0 } else { left }, now));
        admitted
    }

    /// The key was right: the attempt does not count.
    pub fn succeeded(&self, address: IpAddr) {
        if let Some((left, _)) = self.0.lock().get_mut(&network(address)) {
            *left = (*left + 1.0).min(BURST);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_runs_out_of_attempts_and_gets_more_in_time() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!((0..100).filter(|_| attempts.admit(one, now)).count(), 10);
        assert!(attempts.admit(other, now));
        assert!(attempts.admit(one, now + Duration::from_secs(6)));
        assert!(!attempts.admit(one, now + Duration::from_secs(6)));
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|it| it.parse().unwrap());
        for _ in 0..10 {
            attempts.admit(a, now);
        }
        assert!(!attempts.admit(b, now), "the same network");
    }

    #[test]
    fn right_keys_do_not_count() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let one = "10.0.0.1".parse().unwrap();
        for _ in 0..1_000 {
            assert!(attempts.admit(one, now));
            attempts.succeeded(one);
        }
    }

    #[test]
    fn addresses_are_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for at in 0..20_000_u32 {
            attempts.admit(IpAddr::V4(at.into()), now);
        }
        assert!(attempts.0.lock().len() <= MOST);
    }
}
