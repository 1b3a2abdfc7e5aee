//! Load balancing between replicas: of two random ones, the one with less load (the power of two choices), where the
//! cost of calls counts as much as their number.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_core::random::{STEP, scattered};

/// In this time what was learnt of a replica's speed comes to weigh a third.
const MEMORY: Duration = Duration::from_secs(2);
/// After this time without a call it is worth finding out anew.
const STALE: Duration = Duration::from_secs(5);
/// The least that a call counts which failed: one that fails quickly is not quick.
const FAILED: Duration = Duration::from_millis(100);

/// Less is no difference.
const ALIKE: f64 = 2.0;
/// Nor is anything below this: it is the noise of a machine, which no caller notices.
const QUICK: Duration = Duration::from_millis(5);
/// So many calls tell how quick a replica is.
const ENOUGH: u64 = 10;

/// How quickly a replica answers: an average in which the past fades.
#[derive(Debug, Default)]
pub struct Speed {
    /// Nanoseconds; nothing is known when 0.
    average: AtomicU64,
    /// When it was learnt last, in milliseconds.
    at: AtomicU64,
    /// Of how many calls, up to as many as are enough.
    calls: AtomicU64,
}

impl Speed {
    /// A call has taken so long. `now` is since some beginning.
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
            // A call each now and then must count for something, and so must each of many at once.
            known => {
                let old = faded(self.age(now)).min(0.95).min(before as f64 / (before + 1) as f64);
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

    /// How long calls take; `None` if nothing is known.
    pub fn average(&self) -> Option<Duration> {
        let average = self.average.load(Ordering::Relaxed);
        (average > 0).then(|| Duration::from_nanos(average))
    }

    /// Since something was learnt.
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.at.load(Ordering::Relaxed)))
    }

    /// What one more call costs there, in seconds. `None` if too little is known: the first calls open connections; or
    /// if it was learnt so long ago that somebody should find out. Whoever is not asked looks quicker as time goes by,
    /// so that a little slowness is soon forgiven and much of it lasts longer.
    fn cost(&self, now: Duration) -> Option<f64> {
        let age = self.age(now);
        let known = self.calls.load(Ordering::Relaxed) >= ENOUGH && age < STALE;
        let average = self.average().filter(|_| known)?;
        Some((average.as_secs_f64() * faded(age)).max(QUICK.as_secs_f64()))
    }
}

/// What is left, after this time, of the weight of what was learnt.
fn faded(age: Duration) -> f64 {
    (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

/// One of those to choose from.
pub struct Candidate<'a> {
    pub speed: &'a Speed,
    pub in_flight: usize,
}

/// Whether the first has less to do than the second. Speeds that differ by less than `ALIKE` are the same: of two
/// that are, each has its share also when there is little to do.
fn is_better(one: &Candidate<'_>, other: &Candidate<'_>, now: Duration) -> bool {
    let slower = match (one.speed.cost(now), other.speed.cost(now)) {
        (Some(mine), Some(its)) => mine / its,
        // Nothing is known of one of them: as quick as the other.
        _ => 1.0,
    };
    let slower = if (1.0 / ALIKE..ALIKE).contains(&slower) { 1.0 } else { slower };
    (one.in_flight as f64 + 1.0) * slower < other.in_flight as f64 + 1.0
}

/// Chooses one of `count`, of which `usable` tells who may be. `None` if nobody may.
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
    // Chance is asked again among the others alone, or whoever follows one that is out would be named twice.
    let start = (first + 1 + (random as u32 as usize) % count.max(2).saturating_sub(1)) % count;
    match from(start, Some(first)) {
        Some((second, other)) if is_better(&other, &one, now) => Some(second),
        _ => Some(first),
    }
}

/// A number by chance, good enough to share out work.
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

    /// A replica that takes so long for a call, and does one at a time or all at once.
    struct Model {
        takes: u64,
        at_once: bool,
        up: bool,
        speed: Speed,
        /// When its calls end.
        ends: Vec<u64>,
        done: u64,
    }

    fn model(takes: u64) -> Model {
        let (at_once, up) = (true, true);
        Model { takes, at_once, up, speed: Speed::default(), ends: Vec::new(), done: 0 }
    }

    /// Sends a call each tenth of a millisecond for so many seconds; `at` changes the replicas at each second.
    /// Returns what waits in the end, and the longest that somebody has waited.
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
            let replica = &mut replicas[chosen.expect("somebody is up")];
            assert!(replica.up, "one that is down was asked");
            let last = replica.ends.iter().max().copied().filter(|_| !replica.at_once);
            let end = last.unwrap_or(us).max(us) + replica.takes;
            longest = longest.max(end - us);
            replica.ends.push(end);
        }
        (replicas.iter().map(|replica| replica.ends.len()).sum(), longest)
    }

    #[test]
    fn equal_replicas_get_equal_shares_also_beside_one_that_is_down() {
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
    fn a_slow_replica_gets_less_and_comes_back() {
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
    fn a_slow_start_costs_nobody_its_share() {
        // A caller that waits for each answer: there is never more than one call in flight.
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
    fn one_that_hangs_holds_few() {
        let mut replicas: Vec<_> = (0..4).map(|_| model(1_000)).collect();
        replicas[3].takes = u64::MAX / 4;
        run(&mut replicas, 10, |_, _| ());
        assert!(replicas[3].ends.len() < 40, "{}", replicas[3].ends.len());
    }

    #[test]
    fn those_that_do_one_at_a_time_do_not_pile_up() {
        // Together they can do 1.25 times what comes.
        let mut replicas: Vec<_> = (0..10).map(|_| model(800)).collect();
        replicas.iter_mut().for_each(|one| one.at_once = false);
        let (waiting, longest) = run(&mut replicas, 10, |_, _| ());
        assert!(waiting < 60, "{waiting}");
        assert!(longest < 10_000, "{longest}");
    }

    #[test]
    fn to_fail_quickly_is_not_to_be_quick() {
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
    fn whoever_is_there_is_found() {
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
