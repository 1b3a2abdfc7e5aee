//! Counters, and whether they allow another call: pure functions of the counter and the time.

use std::time::Duration;

/// The current time, as a monotonic clock and as a calendar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since any fixed point.
    pub nanos: u64,
    /// Days since 1970, in the time zone of the quotas.
    pub day: u32,
    /// Months since 1970.
    pub month: u32,
    /// Time until the end of the day and of the month.
    pub day_ends: Duration,
    pub month_ends: Duration,
}

/// One measure of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// `count` in `per` nanoseconds, with bursts of up to `burst` (GCRA).
    Bucket {
        count: u64,
        per: u64,
        burst: u64,
    },
    Fixed {
        count: u64,
        per: u64,
    },
    Sliding {
        count: u64,
        per: u64,
    },
    Daily {
        count: u64,
    },
    Monthly {
        count: u64,
    },
    Concurrent {
        count: u64,
    },
}

impl Measure {
    /// The maximum of the counter.
    pub fn limit(self) -> u64 {
        match self {
            Self::Bucket { burst, .. } => burst,
            Self::Fixed { count, .. }
            | Self::Sliding { count, .. }
            | Self::Daily { count }
            | Self::Monthly { count }
            | Self::Concurrent { count } => count,
        }
    }

    /// The length of its window, in whole seconds; at least 1.
    pub fn seconds(self) -> u64 {
        match self {
            Self::Bucket { per, count, burst } => {
                (per / count.max(1)).saturating_mul(burst) / NANOS
            }
            Self::Fixed { per, .. } | Self::Sliding { per, .. } => per / NANOS,
            Self::Daily { .. } => 24 * 60 * 60,
            Self::Monthly { .. } => 30 * 24 * 60 * 60,
            Self::Concurrent { .. } => 0,
        }
        .max(1)
    }

    /// A short name, used in errors and in keys of stored counts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bucket { .. } => "rate",
            Self::Fixed { .. } => "window",
            Self::Sliding { .. } => "sliding",
            Self::Daily { .. } => "daily",
            Self::Monthly { .. } => "monthly",
            Self::Concurrent { .. } => "concurrency",
        }
    }

    /// Whether it must survive a restart.
    pub fn is_quota(self) -> bool {
        matches!(self, Self::Daily { .. } | Self::Monthly { .. })
    }

    pub fn is_concurrent(self) -> bool {
        matches!(self, Self::Concurrent { .. })
    }
}

const NANOS: u64 = 1_000_000_000;

/// The counter of one measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Bucket: the time when it is full again, in nanoseconds. Window, day or month: its index. Otherwise unused.
    at: u64,
    used: u64,
    before: u64,
}

/// The remaining amount, and the time until the counter or the window is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub remaining: u64,
    pub reset: Duration,
}

impl Count {
    /// Restores a stored count of a day or a month.
    pub fn stored(window: u64, used: u64) -> Self {
        Self { at: window, used, before: 0 }
    }

    /// The index of the day or month and its count, for storage.
    pub fn to_store(self) -> (u64, u64) {
        (self.at, self.used)
    }

    /// Adds `weight` if the measure allows it. Otherwise returns the time until it does, or `Duration::MAX` if it
    /// never will.
    pub fn take(&mut self, measure: Measure, weight: u64, now: Moment) -> Result<(), Duration> {
        if weight > measure.limit() {
            return Err(Duration::MAX);
        }
        match measure {
            Measure::Bucket { count, per, burst } => {
                let each = (per / count).max(1);
                let full = now.nanos.max(self.at);
                let then = full.saturating_add(each.saturating_mul(weight));
                let room = each.saturating_mul(burst);
                let behind = then - now.nanos;
                if behind > room {
                    return Err(Duration::from_nanos(behind - room));
                }
                self.at = then;
                Ok(())
            }
            Measure::Fixed { count, per } => {
                let (window, rest) = (now.nanos / per, per - now.nanos % per);
                self.turn(window);
                self.add(count, weight, Duration::from_nanos(rest))
            }
            Measure::Sliding { count, per } => self.slide(count, per, weight, now),
            Measure::Daily { count } => {
                self.turn(u64::from(now.day));
                self.add(count, weight, now.day_ends)
            }
            Measure::Monthly { count } => {
                self.turn(u64::from(now.month));
                self.add(count, weight, now.month_ends)
            }
            // The end of running calls is unknown.
            Measure::Concurrent { count } => self.add(count, weight, Duration::from_secs(1)),
        }
    }

    /// The remaining amount, and the time until what is counted now has expired.
    pub fn left(mut self, measure: Measure, now: Moment) -> Left {
        let nanos = Duration::from_nanos;
        let rest = |count: u64, used: u64| count.saturating_sub(used);
        let (remaining, reset) = match measure {
            Measure::Bucket { count, per, burst } => {
                let each = (per / count).max(1);
                let behind = now.nanos.max(self.at) - now.nanos;
                (each.saturating_mul(burst).saturating_sub(behind) / each, nanos(behind))
            }
            Measure::Fixed { count, per } => {
                self.turn(now.nanos / per);
                (rest(count, self.used), nanos(per - now.nanos % per))
            }
            Measure::Sliding { count, per } => {
                self.turn(now.nanos / per);
                let ends = per - now.nanos % per;
                (rest(count, self.used.saturating_add(self.within(ends, per))), nanos(ends))
            }
            Measure::Daily { count } => {
                self.turn(u64::from(now.day));
                (rest(count, self.used), now.day_ends)
            }
            Measure::Monthly { count } => {
                self.turn(u64::from(now.month));
                (rest(count, self.used), now.month_ends)
            }
            Measure::Concurrent { count } => (rest(count, self.used), Duration::ZERO),
        };
        Left { remaining, reset }
    }

    /// The part of the previous window's count that still applies with `rest` of this window left, assuming that its
    /// calls were evenly spread.
    fn within(self, rest: u64, per: u64) -> u64 {
        let within = (u128::from(self.before) * u128::from(rest)).div_ceil(u128::from(per));
        u64::try_from(within).unwrap_or(u64::MAX)
    }

    /// Starts a new window. If the clock was set back, the current window continues.
    fn turn(&mut self, window: u64) {
        if window > self.at {
            self.before = if window == self.at + 1 { self.used } else { 0 };
            (self.at, self.used) = (window, 0);
        }
    }

    fn add(&mut self, count: u64, weight: u64, rest: Duration) -> Result<(), Duration> {
        let used = self.used.saturating_add(weight);
        if used > count {
            return Err(rest);
        }
        self.used = used;
        Ok(())
    }

    /// The previous window counts in proportion to its overlap with the last `per` nanoseconds.
    fn slide(&mut self, count: u64, per: u64, weight: u64, now: Moment) -> Result<(), Duration> {
        let (window, into) = (now.nanos / per, now.nanos % per);
        self.turn(window);
        let rest = per - into;
        let within = |rest: u64| u128::from(self.within(rest, per));
        let used = within(rest) + u128::from(self.used) + u128::from(weight);
        let Some(over) = used.checked_sub(u128::from(count)).filter(|over| *over > 0) else {
            self.used += weight;
            return Ok(());
        };
        // Until enough of the previous window has expired, or this window ends.
        let wait = if over < within(rest) && self.before > 0 {
            let passed = over * u128::from(per) / u128::from(self.before);
            u64::try_from(passed).unwrap_or(rest).min(rest)
        } else {
            rest
        };
        Err(Duration::from_nanos(wait.max(1)))
    }

    /// Takes back what was counted, because the call was not made or has ended.
    pub fn give_back(&mut self, measure: Measure, weight: u64) {
        match measure {
            Measure::Bucket { count, per, .. } => {
                let each = (per / count).max(1);
                self.at = self.at.saturating_sub(each.saturating_mul(weight));
            }
            _ => self.used = self.used.saturating_sub(weight),
        }
    }

    /// Whether the counter can be removed without effect.
    pub fn is_idle(self, measure: Measure, now: Moment) -> bool {
        match measure {
            Measure::Bucket { .. } => self.at <= now.nanos,
            Measure::Fixed { per, .. } => now.nanos / per > self.at,
            Measure::Sliding { per, .. } => now.nanos / per > self.at + 1,
            Measure::Daily { .. } => u64::from(now.day) > self.at,
            Measure::Monthly { .. } => u64::from(now.month) > self.at,
            Measure::Concurrent { .. } => self.used == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Moment {
        let nanos = ms * 1_000_000;
        let day = u32::try_from(ms / 86_400_000).unwrap();
        let day_ends = Duration::from_millis(86_400_000 - ms % 86_400_000);
        Moment { nanos, day, month: day / 30, day_ends, month_ends: day_ends }
    }

    #[test]
    fn a_bucket_refills_at_its_rate() {
        let measure = Measure::Bucket { count: 10, per: NANOS, burst: 3 };
        let mut count = Count::default();
        let taken: Vec<bool> = [0, 0, 0, 0, 99, 100, 150, 200, 1_000, 1_000, 1_000, 1_000]
            .map(|ms| count.take(measure, 1, at(ms)).is_ok())
            .into();
        assert_eq!(
            taken,
            [true, true, true, false, false, true, false, true, true, true, true, false]
        );
        assert_eq!(count.take(measure, 1, at(1_000)), Err(Duration::from_millis(100)));
        assert_eq!(count.take(measure, 4, at(9_000)), Err(Duration::MAX));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_start_a_new_day() {
        let measure = Measure::Daily { count: 2 };
        let mut count = Count::default();
        let days = [3, 3, 3, 4, 2, 3, 4];
        let taken =
            days.map(|day| count.take(measure, 1, Moment { day, ..Moment::default() }).is_ok());
        assert_eq!(taken, [true, true, false, true, true, false, false]);
    }

    fn measures() -> impl Strategy<Value = Measure> {
        let numbers = (1_u64..20, 1_u64..50, 1_u64..20);
        (0..5_u8, numbers).prop_map(|(kind, (count, per, burst))| {
            let per = per * 100_000_000;
            match kind {
                0 => Measure::Bucket { count, per, burst },
                1 => Measure::Fixed { count, per },
                2 => Measure::Sliding { count, per },
                3 => Measure::Daily { count },
                _ => Measure::Concurrent { count },
            }
        })
    }

    /// An exact model: all calls so far with their times.
    fn model_allows(measure: Measure, taken: &[(u64, u64)], weight: u64, ms: u64) -> bool {
        let since = |from: u64| -> u64 {
            taken.iter().filter(|(at, _)| *at >= from).map(|(_, weight)| weight).sum()
        };
        match measure {
            Measure::Bucket { count, per, burst } => {
                // A bucket with `burst` in it that is filled at its rate, in fractions.
                let (each, mut level, mut last) =
                    (per / count, u128::from(burst) * u128::from(per / count), 0);
                let room = level;
                for (at, weight) in taken.iter().copied().chain([(ms, 0)]) {
                    level = (level + u128::from((at - last) * 1_000_000)).min(room);
                    level -= u128::from(weight * each);
                    last = at;
                }
                level >= u128::from(weight * each)
            }
            Measure::Fixed { count, per } => {
                let window = ms * 1_000_000 / per;
                let within = taken.iter().filter(|(at, _)| at * 1_000_000 / per == window);
                within.map(|(_, weight)| weight).sum::<u64>() + weight <= count
            }
            Measure::Daily { count } => since(ms / 86_400_000 * 86_400_000) + weight <= count,
            // A sliding window is an approximation and is tested by its bounds.
            Measure::Sliding { .. } | Measure::Monthly { .. } | Measure::Concurrent { .. } => true,
        }
    }

    proptest! {
        /// Compared with a model that stores every call.
        #[test]
        fn counters_agree_with_a_simple_model(
            measure in measures(),
            steps in prop::collection::vec((0_u64..400, 1_u64..4), 1..120),
        ) {
            let (mut count, mut taken, mut now) = (Count::default(), Vec::new(), 1_000_u64);
            for (wait, weight) in steps {
                now += wait;
                if measure.is_concurrent() {
                    continue;
                }
                let before = count.left(measure, at(now)).remaining;
                let allowed = count.take(measure, weight, at(now));
                // Exactly the reported remaining amount can be used.
                prop_assert_eq!(allowed.is_ok(), weight <= before, "{:?} of {}", measure, before);
                if allowed.is_ok() {
                    prop_assert_eq!(count.left(measure, at(now)).remaining, before - weight);
                }
                let expected = weight <= measure.limit() && model_allows(measure, &taken, weight, now);
                match measure {
                    Measure::Sliding { count, per } => {
                        if allowed.is_ok() {
                            taken.push((now, weight));
                        }
                        // Two windows count at most twice the limit. Within one length, the assumption of an even
                        // spread may be wrong by the count of the previous window.
                        let from = now.saturating_sub(per / 1_000_000);
                        let within: u64 = taken.iter().filter(|(at, _)| *at > from).map(|(_, w)| w).sum();
                        prop_assert!(within <= count * 2);
                    }
                    _ => {
                        prop_assert_eq!(allowed.is_ok(), expected, "{:?} at {} after {:?}", measure, now, taken);
                        if allowed.is_ok() {
                            taken.push((now, weight));
                        }
                    }
                }
                // A caller that waits for the returned time is admitted if there are no other calls.
                if let Err(wait) = allowed
                    && wait < Duration::MAX
                {
                    let later = Moment { nanos: at(now).nanos + wait.as_nanos() as u64, ..at(now + wait.as_millis() as u64 + 1) };
                    prop_assert!(count.clone().take(measure, weight, later).is_ok() || matches!(measure, Measure::Sliding { .. }), "{measure:?}");
                }
            }
        }

        #[test]
        fn what_is_given_back_is_available_again(measure in measures(), weight in 1_u64..4) {
            let mut count = Count::default();
            let now = at(1_000);
            let mut taken = 0;
            while count.take(measure, weight, now).is_ok() {
                taken += 1;
                prop_assert!(taken < 100);
            }
            for _ in 0..taken {
                count.give_back(measure, weight);
            }
            let again = (0..taken).filter(|_| count.take(measure, weight, now).is_ok()).count();
            prop_assert_eq!(again, taken);
            prop_assert!(count.take(measure, weight, now).is_err());
        }
    }
}
