//! Outlier ejection: replicas with consecutive failed calls are taken out of rotation although they can be reached. The
//! passive half of health checks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use doorward_config::EjectionSettings;

/// Each ejection is one period longer than the last, up to this many periods.
const LONGEST: u32 = 10;

/// The state of one replica. Times are since any fixed point.
#[derive(Debug, Default)]
pub struct Ejection {
    state: Mutex<State>,
    /// End of the ejection, in milliseconds.
    until: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Consecutive failed calls.
    row: u32,
    times: u32,
}

impl Ejection {
    pub fn is_out(&self, now: Duration) -> bool {
        self.until.load(Ordering::Acquire) > now.as_millis() as u64
    }

    pub fn forget(&self) {
        *self.state.lock() = State::default();
        self.until.store(0, Ordering::Release);
    }

    /// Records the outcome of a call. `may` returns whether one more replica may be ejected. Returns the duration of
    /// the ejection if one starts now.
    pub fn ended(
        &self,
        settings: &EjectionSettings,
        failed: bool,
        now: Duration,
        may: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        if settings.off || (!failed && self.until.load(Ordering::Acquire) == 0) {
            if !settings.off {
                self.state.lock().row = 0;
            }
            return None;
        }
        let mut state = self.state.lock();
        if !failed {
            state.row = 0;
            let back = Duration::from_millis(self.until.load(Ordering::Acquire));
            // The replica has been healthy for one period.
            if now > back + settings.period.0 {
                state.times = 0;
                self.until.store(0, Ordering::Release);
            }
            return None;
        }
        state.row += 1;
        if state.row < settings.failures || self.is_out(now) || !may() {
            return None;
        }
        (state.row, state.times) = (0, (state.times + 1).min(LONGEST));
        let period = settings.period.0 * state.times;
        self.until.store((now + period).as_millis() as u64, Ordering::Release);
        Some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ejection_lasts_longer_than_the_last() {
        let settings = EjectionSettings::default();
        let ejection = Ejection::default();
        let second = Duration::from_secs(1);
        let end = |failed, now| ejection.ended(&settings, failed, now, || true);
        for _ in 0..100 {
            for _ in 0..4 {
                assert_eq!(end(true, second), None);
            }
            assert_eq!(end(false, second), None);
        }
        let mut now = second;
        for times in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
            for _ in 0..4 {
                assert_eq!(end(true, now), None);
            }
            assert!(!ejection.is_out(now));
            assert_eq!(end(true, now), Some(second * 30 * times));
            assert!(ejection.is_out(now + second * 29 * times));
            now += second * 31 * times;
            assert!(!ejection.is_out(now));
        }
        // After a healthy period, the duration starts again with the shortest.
        now += second * 31;
        assert_eq!(end(false, now), None);
        for _ in 0..4 {
            assert_eq!(end(true, now), None);
        }
        assert_eq!(end(true, now), Some(second * 30));
    }

    #[test]
    fn no_replica_is_ejected_when_too_many_are() {
        let settings = EjectionSettings::default();
        let ejection = Ejection::default();
        for _ in 0..100 {
            assert_eq!(ejection.ended(&settings, true, Duration::ZERO, || false), None);
        }
        assert!(!ejection.is_out(Duration::ZERO));
    }
}
