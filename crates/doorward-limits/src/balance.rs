//! Load balancing between replicas: of two random ones, the one with less load (the power of two choices), where the
//! cost of calls counts as much as their number.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_core::random::{STEP, scattered};

/// Time constant of the average: after this time, an earlier measurement counts for about a third (1/e).
const MEMORY: Duration = Duration::from_secs(2);
/// After this time without a call, the average is no longer used.
const STALE: Duration = Duration::from_secs(5);
/// Minimum latency recorded for a failed call, so that a replica that fails fast does not look fast.
const FAILED: Duration = Duration::from_millis(100);

/// Latencies that differ by less than this factor count as equal.
const ALIKE: f64 = 2.0;
/// Latencies below this value count as equal: differences are noise.
const QUICK: Duration = Duration::from_millis(5);
/// Number of calls needed before the average is used.
const ENOUGH: u64 = 10;

/// The latency of a replica, as an exponentially weighted moving average.
#[derive(Debug, Default)]
pub struct Speed {
    /// Nanoseconds; 0 if there is no measurement.
    average: AtomicU64,
    /// Time of the last measurement, in milliseconds.
    at: AtomicU64,
    /// Number of calls measured, at most `ENOUGH`.
    calls: AtomicU64,
}

impl Speed {
    /// Records the latency of a call. `now` is the time since any fixed point.
    pub fn learn(&self, took: Duration, failed: bool, now: Duration) {
        let known = self.average.load(Ordering::Relaxed);
        let before = self.calls.load(Ordering::Relaxed);
        let took = took.as_nanos() as u64;
        let took = match failed {
            true => took.max(known.saturating_mul(2)).max(FAILED.as_nanos() as u64),
            false => took,
        };
        let average = match known {
            0 => took,
            // The weight of earlier calls decays with time. It is at most 95%, so that frequent calls count, too.
            known => {
                let old = decay(self.age(now)).min(0.95).min(before as f64 / (before + 1) as f64);
                (known as f64 * old + took as f64 * (1.0 - old)) as u64
            }
        };
        self.average.store(average.max(1), Ordering::Relaxed);
        self.calls.store((before + 1).min(ENOUGH), Ordering::Relaxed);
        self.at.store(now.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn forget(&self) {
        self.average.store(0, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
    }

    /// Average latency; `None` if there is no measurement.
    pub fn average(&self) -> Option<Duration> {
        let average = self.average.load(Ordering::Relaxed);
        (average > 0).then(|| Duration::from_nanos(average))
    }

    /// Time since the last measurement.
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.at.load(Ordering::Relaxed)))
    }

    /// Expected latency of one more call, in seconds. `None` if there are too few measurements (the first calls
    /// include connection setup) or the last one is too old. The value decays over time without calls, so that a slow
    /// replica is tried again: soon if it was a little slow, later if it was very slow.
    fn cost(&self, now: Duration) -> Option<f64> {
        let age = self.age(now);
        let known = self.calls.load(Ordering::Relaxed) >= ENOUGH && age < STALE;
        let average = self.average().filter(|_| known)?;
        Some((average.as_secs_f64() * decay(age)).max(QUICK.as_secs_f64()))
    }
}

/// The remaining weight of a measurement of this age.
fn decay(age: Duration) -> f64 {
    (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

/// A replica to choose from.
pub struct Candidate<'a> {
    pub speed: &'a Speed,
    pub in_flight: usize,
}

/// Whether `one` has a lower cost than `other`. Latencies within a factor of `ALIKE` count as equal, so that
/// similar replicas get equal shares under low load.
fn is_better(one: &Candidate<'_>, other: &Candidate<'_>, now: Duration) -> bool {
    let slower = match (one.speed.cost(now), other.speed.cost(now)) {
        (Some(mine), Some(its)) => mine / its,
        // If either is unknown, both count as equally fast.
        _ => 1.0,
    };
    let slower = if (1.0 / ALIKE..ALIKE).contains(&slower) { 1.0 } else { slower };
    (one.in_flight as f64 + 1.0) * slower < other.in_flight as f64 + 1.0
}

/// Chooses one of `count` replicas. `usable` returns `None` for those that are out of rotation. Returns `None` if
/// no replica is usable.
pub fn choose<'a>(
    count: usize,
    random: u64,
    now: Duration,
    usable: impl Fn(usize) -> Option<Candidate<'a>>,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let from = |start: usize, but: Option<usize>| {
        let all = (start..count).chain(0..start);
        all.filter(|at| Some(*at) != but).find_map(|at| Some((at, usable(at)?)))
    };
    let (first, one) = from((random >> 32) as usize % count, None)?;
    // The second candidate is drawn from the other replicas only. Otherwise the replica after an unusable one would
    // be drawn twice as often.
    let start = (first + 1 + (random as u32 as usize) % count.max(2).saturating_sub(1)) % count;
    match from(start, Some(first)) {
        Some((second, other)) if is_better(&other, &one, now) => Some(second),
        _ => Some(first),
    }
}

/// A random number, not suitable for secrets.
pub fn chance() -> u64 {
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(1));
    }
    NEXT.with(|next| {
        next.set(next.get().wrapping_add(STEP));
        scattered(next.get())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replica with a fixed service time, which runs calls concurrently or one at a time.
    struct Model {
        takes: u64,
        at_once: bool,
        up: bool,
        speed: Speed,
        /// When its calls end, in microseconds.
        ends: Vec<u64>,
        done: u64,
    }

    fn model(takes: u64) -> Model {
        let (at_once, up) = (true, true);
        Model { takes, at_once, up, speed: Speed::default(), ends: Vec::new(), done: 0 }
    }

    /// Sends a call every 100 µs for `seconds`; `at` may change the replicas at the start of each second. Returns the
    /// number of calls still running at the end, and the longest latency in microseconds.
    fn run(replicas: &mut [Model], seconds: u64, at: impl Fn(u64, &mut [Model])) -> (usize, u64) {
        let mut random = 7_u64;
        let mut longest = 0;
        for tick in 0..seconds * 10_000 {
            let us = tick * 100;
            let now = Duration::from_micros(us);
            if us % 1_000_000 == 0 {
                at(us / 1_000_000, replicas);
            }
            for replica in &mut *replicas {
                let takes = Duration::from_micros(replica.takes);
                let before = replica.ends.len();
                replica.ends.retain(|end| *end > us);
                for _ in replica.ends.len()..before {
                    replica.speed.learn(takes, false, now);
                    replica.done += 1;
                }
            }
            random = random.wrapping_add(STEP);
            let chosen = choose(replicas.len(), scattered(random), now, |at| {
                let replica = &replicas[at];
                let candidate = Candidate { speed: &replica.speed, in_flight: replica.ends.len() };
                replica.up.then_some(candidate)
            });
            let replica = &mut replicas[chosen.expect("a replica is up")];
            assert!(replica.up, "a replica that is down was chosen");
            let last = replica.ends.iter().max().copied().filter(|_| !replica.at_once);
            let end = last.unwrap_or(us).max(us) + replica.takes;
            longest = longest.max(end - us);
            replica.ends.push(end);
        }
        (replicas.iter().map(|replica| replica.ends.len()).sum(), longest)
    }

    #[test]
    fn equal_replicas_get_equal_shares_even_if_one_is_down() {
        for down in [false, true] {
            let mut replicas: Vec<_> = (0..5).map(|_| model(1_000)).collect();
            replicas[2].up = !down;
            run(&mut replicas, 10, |_, _| ());
            let shares: Vec<u64> =
                replicas.iter().filter(|one| one.up).map(|one| one.done).collect();
            let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
            assert!(most * 100 <= least * 130, "{shares:?}");
        }
    }

    #[test]
    fn a_slow_replica_gets_fewer_calls_until_it_recovers() {
        let mut replicas: Vec<_> = (0..4).map(|_| model(1_000)).collect();
        run(&mut replicas, 30, |second, replicas| match second {
            0 => replicas[0].takes = 50_000,
            10 => {
                let slow = replicas[0].done;
                let others: u64 = replicas[1..].iter().map(|one| one.done).sum::<u64>() / 3;
                assert!(slow * 5 < others, "{slow} and {others}");
                replicas[0].takes = 1_000;
            }
            20 => replicas.iter_mut().for_each(|one| one.done = 0),
            _ => {}
        });
        let all: Vec<u64> = replicas.iter().map(|one| one.done).collect();
        assert!(all[0] * 2 > all[1], "{all:?}");
    }

    #[test]
    fn slow_first_calls_do_not_reduce_the_share_of_a_replica() {
        // A client that waits for each reply, so that at most one call is in flight.
        let speeds = [Speed::default(), Speed::default(), Speed::default()];
        let mut shares = [0; 3];
        for at in 0..2_000 {
            let now = Duration::from_millis(at);
            let usable = |at: usize| Some(Candidate { speed: &speeds[at], in_flight: 0 });
            let chosen = choose(3, scattered(at.wrapping_mul(STEP)), now, usable).unwrap();
            let took = if chosen == 1 && shares[1] < 3 { 40 } else { 1 };
            speeds[chosen].learn(Duration::from_millis(took), false, now);
            shares[chosen] += 1;
        }
        assert!(shares.iter().all(|share| *share > 400), "{shares:?}");
    }

    #[test]
    fn a_replica_that_hangs_gets_few_calls() {
        let mut replicas: Vec<_> = (0..4).map(|_| model(1_000)).collect();
        replicas[3].takes = u64::MAX / 4;
        run(&mut replicas, 10, |_, _| ());
        assert!(replicas[3].ends.len() < 40, "{}", replicas[3].ends.len());
    }

    #[test]
    fn replicas_that_run_one_call_at_a_time_do_not_queue_calls() {
        // Their total capacity is 1.25 times the load.
        let mut replicas: Vec<_> = (0..10).map(|_| model(800)).collect();
        replicas.iter_mut().for_each(|one| one.at_once = false);
        let (waiting, longest) = run(&mut replicas, 10, |_, _| ());
        assert!(waiting < 60, "{waiting}");
        assert!(longest < 10_000, "{longest}");
    }

    #[test]
    fn a_replica_that_fails_fast_does_not_look_fast() {
        let (good, bad) = (Speed::default(), Speed::default());
        for ms in 0..1000 {
            let now = Duration::from_millis(ms);
            good.learn(Duration::from_millis(5), false, now);
            bad.learn(Duration::from_micros(50), true, now);
        }
        let now = Duration::from_secs(1);
        assert!(bad.cost(now) > good.cost(now));
    }

    #[test]
    fn the_only_usable_replica_is_chosen() {
        let speed = Speed::default();
        for count in 0..6 {
            for only in 0..count {
                for random in (0..200).map(scattered) {
                    let usable =
                        |at| (at == only).then_some(Candidate { speed: &speed, in_flight: 9 });
                    assert_eq!(choose(count, random, Duration::ZERO, usable), Some(only));
                }
            }
            assert_eq!(choose(count, 5, Duration::ZERO, |_| None), None);
        }
    }
}
