//! Adaptive concurrency: how many concurrent calls a server can handle, measured by their latency. It grows until calls
//! take longer than they do alone, and then shrinks. Each kind of call has its own baseline, since one tool may take a
//! thousand times as long as another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Where it begins; doubled as long as nothing is wrong.
const FIRST: usize = 4;
/// While calls take no more than so many times as long as usual, on average, there may be more.
const LONG: f64 = 2.0;
/// Calls that take so many times as long are too many.
const TOO_LONG: f64 = 3.0;
/// When they take no more than this, for long, the server has become quicker.
const SHORT: f64 = 1.0 / 3.0;
/// One call counts no more than this, so that a rare long one is no alarm.
const MOST_OF_ONE: f64 = 10.0;
/// What is left when they were too many.
const LESS: f64 = 0.9;
/// So many calls tell how long one takes.
const ENOUGH: u32 = 10;
/// For so many calls there are no more at a time after one of a kind of which too little is known.
const CAUTIOUS: u32 = 20;
/// What a later call changes of how long one takes.
const LEARN: f64 = 0.02;
/// What a call changes of how much longer than usual calls take at present, and for long.
const RECENT: f64 = 0.1;
const FOR_LONG: f64 = 0.01;
/// The most kinds of calls that are told apart.
const MOST_KINDS: usize = 1_000;

/// Finds out how many calls at a time a server bears.
#[derive(Debug)]
pub struct Adaptive {
    most: f64,
    limit: f64,
    kinds: HashMap<Box<str>, Usual>,
    /// For so many calls there are no more at a time.
    cautious: u32,
    /// How many times as long as usual calls take at present, and for long.
    strain: f64,
    lasting: f64,
    /// There were never too many, since it began with a few.
    is_starting: bool,
    /// When it was lessened last, or began anew. What began before says nothing of the number since.
    since: Option<Instant>,
}

/// How long calls of a kind take as a rule.
#[derive(Debug, Default)]
struct Usual {
    seconds: f64,
    calls: u32,
}

/// A call that was answered, or not.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// Its method, and its tool.
    pub kind: &'a str,
    pub began: Instant,
    pub took: Duration,
    /// It got no answer, or one that says that the server is in trouble.
    pub failed: bool,
    /// There was little beside it when it began.
    pub is_alone: bool,
    /// There was no place beside it when it ended.
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

    /// How many calls at a time there may be.
    pub fn limit(&self) -> usize {
        (self.limit as usize).max(1)
    }

    /// Whether a call is as good as alone when so many run with it: what it takes then, it takes by itself.
    pub fn is_alone(&self, running: usize) -> bool {
        running <= (self.limit() / 4).max(1)
    }

    pub fn learn(&mut self, done: Done<'_>) {
        if self.since.is_some_and(|since| done.began <= since) {
            return;
        }
        let end = done.began + done.took;
        if done.failed {
            return self.lessen(end);
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
            self.lessen(end);
        } else if self.lasting < SHORT {
            self.begin_anew(end);
        } else if self.strain < LONG && done.is_full && self.cautious == 0 {
            let more = if self.is_starting { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + more).min(self.most);
        }
    }

    /// How many times as long as usual a call took; `None` while that is not known. What is usual is learnt of the
    /// first calls, and of those that were alone.
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

    fn lessen(&mut self, now: Instant) {
        self.limit *= LESS;
        self.strain *= LESS;
        self.is_starting = false;
        self.since = Some(now);
        if self.limit < 1.0 {
            self.begin_anew(now);
            self.limit = 1.0;
        }
    }

    /// The server is not what it was: one at a time is still too many, or it has become far quicker.
    fn begin_anew(&mut self, now: Instant) {
        *self = Self { since: Some(now), ..Self::new(self.most as usize) };
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;
    use doorward_core::random::{STEP, scattered};

    /// A server that does so many calls at a time, and lets others wait.
    struct Model {
        workers: usize,
        /// How long one of a kind takes, in microseconds.
        takes: fn(kind: usize, random: u64) -> u64,
    }

    /// Sends calls for so many seconds, as many at a time as there may be. Returns how many were done in the last
    /// second, and how many times as long as needed they took, on average.
    fn run(adaptive: &mut Adaptive, model: &Model, from: Instant, seconds: u64) -> (usize, f64) {
        let mut random = 1_u64;
        // Each worker's time of being free, and calls by their ends.
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
    fn a_server_gets_as_many_as_it_does_at_a_time_and_few_that_wait_there() {
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
    fn kinds_that_differ_a_hundredfold_are_no_trouble() {
        let takes = |kind, random: u64| [1_000, 200_000][kind] * (50 + random % 100) / 100;
        let mut adaptive = Adaptive::new(64);
        run(&mut adaptive, &Model { workers: 64, takes }, Instant::now(), 60);
        assert_eq!(adaptive.limit(), 64);
        // Nor are calls of one kind that do.
        let takes = |_, random: u64| if random.is_multiple_of(50) { 100_000 } else { 2_000 };
        let mut adaptive = Adaptive::new(64);
        run(&mut adaptive, &Model { workers: 64, takes }, Instant::now(), 60);
        assert!(adaptive.limit() > 32, "{}", adaptive.limit());
    }

    #[test]
    fn a_server_that_becomes_slower_or_quicker_is_found_out_anew() {
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
    fn failures_lessen_the_number_once_for_all_that_were_under_way() {
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
