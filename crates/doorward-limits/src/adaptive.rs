//! Adaptive concurrency: how many concurrent calls a server can handle, measured by their latency. It grows until calls
//! take longer than they do alone, and then shrinks. Each kind of call has its own baseline, since one tool may take a
//! thousand times as long as another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Initial limit. Until the first reduction, it grows by one with each call that ends at the limit.
const FIRST: usize = 4;
/// The limit may grow while calls take less than this multiple of their baseline, on average.
const LONG: f64 = 2.0;
/// The limit is reduced when calls take more than this multiple of their baseline, on average.
const TOO_LONG: f64 = 3.0;
/// If calls take less than this multiple of their baseline over a long period, the server has become faster and
/// the baseline is measured again.
const SHORT: f64 = 1.0 / 3.0;
/// Upper bound on the latency ratio of one call, so that a single slow call does not reduce the limit.
const MOST_OF_ONE: f64 = 10.0;
/// Factor by which the limit is reduced.
const LESS: f64 = 0.9;
/// Number of calls from which the baseline of a kind is measured.
const ENOUGH: u32 = 10;
/// Number of calls for which the limit does not grow after a call of a kind that has no baseline yet.
const CAUTIOUS: u32 = 20;
/// Weight of a later call in the baseline.
const LEARN: f64 = 0.02;
/// Weight of a call in the short-term and the long-term average of the latency ratio.
const RECENT: f64 = 0.1;
const FOR_LONG: f64 = 0.01;
/// Maximum number of kinds with a baseline of their own. All others share one.
const MOST_KINDS: usize = 1_000;

/// An adaptive concurrency limit for one server.
#[derive(Debug)]
pub struct Adaptive {
    most: f64,
    limit: f64,
    kinds: HashMap<Box<str>, Usual>,
    /// Number of calls for which the limit does not grow.
    cautious: u32,
    /// Latency ratio (latency divided by baseline): short-term and long-term average.
    strain: f64,
    lasting: f64,
    /// The limit has not been reduced since the last reset.
    is_starting: bool,
    /// Time of the last reduction or reset. Calls that started earlier say nothing about the current limit and are
    /// ignored.
    since: Option<Instant>,
}

/// The baseline latency of one kind of call.
#[derive(Debug, Default)]
struct Usual {
    seconds: f64,
    calls: u32,
}

/// A finished call.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// Method and tool.
    pub kind: &'a str,
    pub began: Instant,
    pub took: Duration,
    /// There was no response, or one that reports an overloaded or failing server.
    pub failed: bool,
    /// Few other calls were running when it started.
    pub is_alone: bool,
    /// The limit was reached when it ended.
    pub is_full: bool,
}

impl Adaptive {
    pub fn new(most: usize) -> Self {
        let (most, limit) = (most as f64, FIRST.min(most) as f64);
        let kinds = HashMap::new();
        Self {
            most,
            limit,
            kinds,
            cautious: 0,
            strain: 1.0,
            lasting: 1.0,
            is_starting: true,
            since: None,
        }
    }

    /// The current concurrency limit; at least 1.
    pub fn limit(&self) -> usize {
        (self.limit as usize).max(1)
    }

    /// Whether this number of running calls is too low to affect latency, so that a call may update the baseline.
    pub fn is_alone(&self, running: usize) -> bool {
        running <= (self.limit() / 4).max(1)
    }

    pub fn learn(&mut self, done: Done<'_>) {
        if self.since.is_some_and(|since| done.began <= since) {
            return;
        }
        let end = done.began + done.took;
        if done.failed {
            return self.reduce(end);
        }
        let Some(longer) = self.longer(&done) else {
            self.cautious = CAUTIOUS;
            return;
        };
        self.cautious = self.cautious.saturating_sub(1);
        let longer = longer.min(MOST_OF_ONE);
        self.strain += (longer - self.strain) * RECENT;
        self.lasting += (longer - self.lasting) * FOR_LONG;
        if self.strain > TOO_LONG {
            self.reduce(end);
        } else if self.lasting < SHORT {
            self.reset(end);
        } else if self.strain < LONG && done.is_full && self.cautious == 0 {
            let more = if self.is_starting { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + more).min(self.most);
        }
    }

    /// The latency ratio of a call; `None` while its kind has no baseline. The baseline is measured from the first
    /// calls and updated by calls that ran alone.
    fn longer(&mut self, done: &Done<'_>) -> Option<f64> {
        let kind = match self.kinds.len() < MOST_KINDS || self.kinds.contains_key(done.kind) {
            true => done.kind,
            false => "",
        };
        if !self.kinds.contains_key(kind) {
            self.kinds.insert(kind.into(), Usual::default());
        }
        let usual = self.kinds.get_mut(kind)?;
        let took = done.took.as_secs_f64();
        if usual.calls < ENOUGH {
            usual.calls += 1;
            usual.seconds += (took - usual.seconds) / f64::from(usual.calls);
            return None;
        }
        let longer = took / usual.seconds.max(1e-6);
        if done.is_alone {
            usual.seconds += (took - usual.seconds) * LEARN;
        }
        Some(longer)
    }

    fn reduce(&mut self, now: Instant) {
        self.limit *= LESS;
        self.strain *= LESS;
        self.is_starting = false;
        self.since = Some(now);
        if self.limit < 1.0 {
            self.reset(now);
            self.limit = 1.0;
        }
    }

    /// Resets the limit and all baselines, because the server has changed: either a limit of 1 is still too high, or
    /// calls have become much faster.
    fn reset(&mut self, now: Instant) {
        *self = Self { since: Some(now), ..Self::new(self.most as usize) };
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;
    use doorward_core::random::{STEP, scattered};

    /// A server with a fixed number of workers and an unbounded queue.
    struct Model {
        workers: usize,
        /// Service time of one call of a kind, in microseconds.
        takes: fn(kind: usize, random: u64) -> u64,
    }

    /// Sends calls for `seconds`, always as many as the limit allows. Returns the number of calls that finished in
    /// the last second, and their average latency as a multiple of the service time.
    fn run(adaptive: &mut Adaptive, model: &Model, from: Instant, seconds: u64) -> (usize, f64) {
        let mut random = 1_u64;
        // When each worker becomes free, and the calls in order of completion.
        let mut workers: BinaryHeap<_> = (0..model.workers).map(|_| Reverse(0)).collect();
        let mut calls = BinaryHeap::new();
        let (mut now, mut done, mut longer) = (0, 0, 0.0);
        let end = seconds * 1_000_000;
        while now < end {
            while calls.len() < adaptive.limit() {
                random = random.wrapping_add(STEP);
                let kind = (scattered(random) % 2) as usize;
                let takes = (model.takes)(kind, scattered(random ^ 1)).max(1);
                let Reverse(free) = workers.pop().unwrap();
                let ends = free.max(now) + takes;
                workers.push(Reverse(ends));
                let is_alone = adaptive.is_alone(calls.len() + 1);
                calls.push(Reverse((ends, now, takes, kind, is_alone)));
            }
            let is_full = calls.len() >= adaptive.limit();
            let Reverse((ends, began, takes, kind, is_alone)) = calls.pop().unwrap();
            now = ends;
            let took = Duration::from_micros(ends - began);
            let kind = ["quick", "slow"][kind];
            let began = from + Duration::from_micros(began);
            adaptive.learn(Done { kind, began, took, failed: false, is_alone, is_full });
            if now > end - 1_000_000 {
                done += 1;
                longer += took.as_secs_f64() * 1e6 / takes as f64;
            }
        }
        (done, longer / done as f64)
    }

    #[test]
    fn the_limit_converges_to_the_capacity_of_the_server() {
        for workers in [4, 16, 100] {
            let model = Model { workers, takes: |_, random| 5_000 + random % 10_000 };
            let mut adaptive = Adaptive::new(1_000);
            let (done, longer) = run(&mut adaptive, &model, Instant::now(), 60);
            assert!(done >= workers * 85, "{workers}: {done} a second");
            assert!(longer < 5.0, "{workers}: {longer} times as long");
            assert!(adaptive.limit() < workers * 6, "{workers}: {}", adaptive.limit());
        }
    }

    #[test]
    fn kinds_with_very_different_latencies_do_not_reduce_the_limit() {
        let takes = |kind, random: u64| [1_000, 200_000][kind] * (50 + random % 100) / 100;
        let mut adaptive = Adaptive::new(64);
        run(&mut adaptive, &Model { workers: 64, takes }, Instant::now(), 60);
        assert_eq!(adaptive.limit(), 64);
        // Calls of one kind whose durations differ fiftyfold do not reduce the limit either.
        let takes = |_, random: u64| if random.is_multiple_of(50) { 100_000 } else { 2_000 };
        let mut adaptive = Adaptive::new(64);
        run(&mut adaptive, &Model { workers: 64, takes }, Instant::now(), 60);
        assert!(adaptive.limit() > 32, "{}", adaptive.limit());
    }

    #[test]
    fn the_limit_follows_a_server_that_becomes_slower_or_faster() {
        let mut from = Instant::now();
        let mut adaptive = Adaptive::new(1_000);
        for (workers, takes) in [
            (20, (|_, _| 10_000) as fn(usize, u64) -> u64),
            (20, |_, _| 100_000),
            (20, |_, _| 2_000),
            (3, |_, _| 2_000),
        ] {
            let model = Model { workers, takes };
            let most = workers as u64 * 1_000_000 / takes(0, 0);
            let (done, longer) = run(&mut adaptive, &model, from, 120);
            from += Duration::from_secs(240);
            let limit = adaptive.limit();
            assert!(done as u64 * 100 > most * 80, "{done} of {most} a second with {limit}");
            assert!(longer < 6.0, "{longer} times as long with {limit}");
        }
    }

    #[test]
    fn failures_of_concurrent_calls_reduce_the_limit_once() {
        let mut adaptive = Adaptive::new(100);
        adaptive.limit = 100.0;
        let began = Instant::now();
        let took = Duration::from_millis(10);
        let failed = Done { kind: "a", began, took, failed: true, is_alone: false, is_full: true };
        for _ in 0..50 {
            adaptive.learn(failed);
        }
        assert_eq!(adaptive.limit(), 90);
        for round in 1..100 {
            adaptive.learn(Done { began: began + took * 2 * round, ..failed });
        }
        assert_eq!(adaptive.limit(), 1);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut adaptive = Adaptive::new(10);
        let (began, took) = (Instant::now(), Duration::from_millis(1));
        for kind in 0..5_000 {
            let kind = &kind.to_string();
            let (failed, is_alone, is_full) = (false, true, false);
            adaptive.learn(Done { kind, began, took, failed, is_alone, is_full });
        }
        assert!(adaptive.kinds.len() <= MOST_KINDS + 1);
    }
}
