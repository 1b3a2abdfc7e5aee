//! How many keys an address may try.

use std::net::IpAddr;
use std::time::Instant;

use doorward_core::address::network;
use doorward_limits::buckets::Buckets;

/// Wrong keys in a burst, and seconds until another one may be tried.
const BURST: f64 = 10.0;
const PAUSE: f64 = 6.0;
/// Addresses that are remembered.
const MOST: usize = 10_000;

/// What each address has left; whoever has one address of IPv6 has its network.
#[derive(Debug)]
pub struct Attempts(Buckets<IpAddr>);

impl Default for Attempts {
    fn default() -> Self {
        Self(Buckets::new(BURST, 1.0 / PAUSE, MOST))
    }
}

impl Attempts {
    /// Counts an attempt; `false` if there were too many.
    pub fn admit(&self, address: IpAddr, now: Instant) -> bool {
        self.0.admit(&network(address), now)
    }

    /// The key was right: the attempt does not count.
    pub fn succeeded(&self, address: IpAddr) {
        self.0.give_back(&network(address));
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
        assert!(attempts.0.len() <= MOST);
    }
}
