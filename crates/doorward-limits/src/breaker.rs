//! A circuit breaker: a server of which too many calls fail or are slow receives none for a while, and then a few as
//! probes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use doorward_config::BreakerSettings;

/// Number of slots in the sliding window. Counts expire one slot at a time.
const SLOTS: usize = 10;
/// The open period doubles each time, up to this multiple of the configured one.
const LONGEST: u32 = 8;

/// The outcome of a call, as a sign of the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    Slow,
    Failed,
    /// No information about the server: the call was cancelled, or refused elsewhere.
    Unsaid,
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Closed,
    /// Until this time since the breaker was created.
    Open(Duration),
    /// The number of probes in flight, and the number that succeeded.
    HalfOpen {
        trying: u32,
        passed: u32,
    },
}

/// A state change to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Opened,
    Closed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    calls: u32,
    failed: u32,
    slow: u32,
}

/// The state without a clock: all times are since the breaker was created.
#[derive(Debug)]
struct State {
    phase: Phase,
    slots: [Counts; SLOTS],
    /// Index of the current slot since the breaker was created.
    current: u128,
    /// How often it opened since it was last closed.
    opened: u32,
    /// Number of state changes so far. A call that started in an earlier phase is not counted in the current one.
    turns: u64,
}

#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    began: Instant,
    state: Mutex<State>,
}

/// Permission for one call. If it is dropped without [`leave`](Self::leave), the call is not counted.
#[derive(Debug)]
pub struct Pass {
    breaker: Arc<Breaker>,
    turn: u64,
    probes: bool,
    left: bool,
}

impl State {
    fn new() -> Self {
        let slots = [Counts::default(); SLOTS];
        Self { phase: Phase::Closed, slots, current: 0, opened: 0, turns: 0 }
    }

    /// Admits a call. Returns `Ok(true)` if the call is a probe, or the time until the next attempt as the error.
    fn enter(&mut self, settings: &BreakerSettings, now: Duration) -> Result<bool, Duration> {
        if let Phase::Open(until) = self.phase {
            if now < until {
                return Err(until - now);
            }
            self.turn_to(Phase::HalfOpen { trying: 0, passed: 0 });
        }
        match &mut self.phase {
            Phase::HalfOpen { trying, passed } => {
                if *trying + *passed >= settings.probes {
                    // All probes are in flight.
                    return Err(Duration::from_secs(1).min(settings.open.0));
                }
                *trying += 1;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn leave(
        &mut self,
        settings: &BreakerSettings,
        probes: bool,
        ended: Ended,
        now: Duration,
    ) -> Option<Turn> {
        match &mut self.phase {
            Phase::HalfOpen { trying, passed } if probes => {
                *trying = trying.saturating_sub(1);
                match ended {
                    Ended::Unsaid => {}
                    Ended::Well => {
                        *passed += 1;
                        if *passed >= settings.probes {
                            self.opened = 0;
                            self.slots = [Counts::default(); SLOTS];
                            self.turn_to(Phase::Closed);
                            return Some(Turn::Closed);
                        }
                    }
                    Ended::Slow | Ended::Failed => return Some(self.open(settings, now)),
                }
                None
            }
            Phase::Closed => {
                self.count(settings, ended, now);
                self.is_too_much(settings).then(|| self.open(settings, now))
            }
            _ => None,
        }
    }

    fn open(&mut self, settings: &BreakerSettings, now: Duration) -> Turn {
        let times = 2_u32.saturating_pow(self.opened).min(LONGEST);
        self.opened = self.opened.saturating_add(1);
        self.turn_to(Phase::Open(now + settings.open.0 * times));
        Turn::Opened
    }

    fn turn_to(&mut self, phase: Phase) {
        self.phase = phase;
        self.turns += 1;
    }

    fn count(&mut self, settings: &BreakerSettings, ended: Ended, now: Duration) {
        let length = (settings.window.0 / SLOTS as u32).as_nanos().max(1);
        let slot = now.as_nanos() / length;
        let gone = slot.saturating_sub(self.current).min(SLOTS as u128);
        for back in 0..gone {
            self.slots[((slot - back) % SLOTS as u128) as usize] = Counts::default();
        }
        self.current = self.current.max(slot);
        if ended == Ended::Unsaid {
            return;
        }
        let counts = &mut self.slots[(self.current % SLOTS as u128) as usize];
        counts.calls += 1;
        counts.failed += u32::from(ended == Ended::Failed);
        counts.slow += u32::from(ended == Ended::Slow);
    }

    fn is_too_much(&self, settings: &BreakerSettings) -> bool {
        let all = self.slots.iter().fold(Counts::default(), |all, slot| Counts {
            calls: all.calls + slot.calls,
            failed: all.failed + slot.failed,
            slow: all.slow + slot.slow,
        });
        let share =
            |part: u32, most: u8| u64::from(part) * 100 >= u64::from(most) * u64::from(all.calls);
        all.calls >= settings.min_calls
            && (share(all.failed, settings.failures) || share(all.slow, settings.slow))
    }
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Arc<Self> {
        Arc::new(Self { settings, began: Instant::now(), state: Mutex::new(State::new()) })
    }

    /// Admits a call, or returns the time until the next attempt as the error.
    pub fn enter(self: &Arc<Self>) -> Result<Pass, Duration> {
        if self.settings.off {
            return Ok(Pass { breaker: self.clone(), turn: 0, probes: false, left: true });
        }
        let mut state = self.state.lock();
        let probes = state.enter(&self.settings, self.began.elapsed())?;
        let turn = state.turns;
        Ok(Pass { breaker: self.clone(), turn, probes, left: false })
    }

    /// Whether a call of this duration counts as slow.
    pub fn is_slow(&self, took: Duration) -> bool {
        took > self.settings.slow_after.0
    }

    /// `closed`, `open` or `half_open`.
    pub fn phase(&self) -> &'static str {
        match self.state.lock().phase {
            Phase::Closed => "closed",
            Phase::Open(until) if self.began.elapsed() < until => "open",
            Phase::Open(_) | Phase::HalfOpen { .. } => "half_open",
        }
    }
}

impl Pass {
    /// Records the outcome of the call. Returns the state change that it caused, if any.
    pub fn leave(mut self, ended: Ended) -> Option<Turn> {
        self.end(ended)
    }

    fn end(&mut self, ended: Ended) -> Option<Turn> {
        if std::mem::replace(&mut self.left, true) {
            return None;
        }
        let breaker = &self.breaker;
        let mut state = breaker.state.lock();
        if state.turns != self.turn {
            return None;
        }
        state.leave(&breaker.settings, self.probes, ended, breaker.began.elapsed())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.end(Ended::Unsaid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_config::Period;
    use proptest::prelude::*;

    fn settings() -> BreakerSettings {
        BreakerSettings {
            window: Period(Duration::from_secs(10)),
            min_calls: 4,
            open: Period(Duration::from_secs(2)),
            probes: 2,
            ..BreakerSettings::default()
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_opens_when_half_of_the_calls_fail_and_closes_when_the_probes_succeed() {
        let (settings, mut state) = (settings(), State::new());
        for (ended, turn) in [
            (Ended::Well, None),
            (Ended::Failed, None),
            (Ended::Unsaid, None),
            (Ended::Well, None),
            (Ended::Failed, Some(Turn::Opened)),
        ] {
            assert_eq!(state.enter(&settings, at(0)), Ok(false));
            assert_eq!(state.leave(&settings, false, ended, at(0)), turn);
        }
        assert_eq!(state.enter(&settings, at(500)), Err(at(1_500)));
        // Two probes are admitted, and no third while they are in flight.
        assert_eq!(state.enter(&settings, at(2_000)), Ok(true));
        assert_eq!(state.enter(&settings, at(2_000)), Ok(true));
        assert!(state.enter(&settings, at(2_000)).is_err());
        // A cancelled probe makes room for another.
        assert_eq!(state.leave(&settings, true, Ended::Unsaid, at(2_100)), None);
        assert_eq!(state.enter(&settings, at(2_100)), Ok(true));
        assert_eq!(state.leave(&settings, true, Ended::Well, at(2_200)), None);
        assert_eq!(state.leave(&settings, true, Ended::Failed, at(2_200)), Some(Turn::Opened));
        // The second open period is twice as long.
        assert_eq!(state.enter(&settings, at(2_200)), Err(at(4_000)));
        assert_eq!(state.enter(&settings, at(6_200)), Ok(true));
        assert_eq!(state.leave(&settings, true, Ended::Well, at(6_300)), None);
        assert_eq!(state.enter(&settings, at(6_300)), Ok(true));
        assert_eq!(state.leave(&settings, true, Ended::Well, at(6_300)), Some(Turn::Closed));
        assert_eq!(state.enter(&settings, at(6_300)), Ok(false));
    }

    #[test]
    fn calls_outside_the_window_do_not_count() {
        let (settings, mut state) = (settings(), State::new());
        for _ in 0..3 {
            state.leave(&settings, false, Ended::Failed, at(0));
        }
        for _ in 0..3 {
            assert_eq!(state.leave(&settings, false, Ended::Failed, at(11_000)), None);
        }
        assert_eq!(state.leave(&settings, false, Ended::Slow, at(11_500)), Some(Turn::Opened));
    }

    proptest! {
        /// Compared with a model that remembers every call: the breaker opens exactly when it should, never admits more
        /// than the configured number of probes, and never stays open forever.
        #[test]
        fn it_agrees_with_a_simple_model(
            steps in prop::collection::vec((0_u64..800, 0..4_u8), 1..200),
        ) {
            let (settings, mut state) = (settings(), State::new());
            let mut past: Vec<(u64, Ended)> = Vec::new();
            let (mut now, mut trying) = (0_u64, 0);
            for (wait, how) in steps {
                now += wait;
                let ended = [Ended::Well, Ended::Slow, Ended::Failed, Ended::Unsaid][how as usize];
                match state.enter(&settings, at(now)) {
                    Err(wait) => {
                        prop_assert!(wait <= settings.open.0 * LONGEST);
                        prop_assert!(wait > Duration::ZERO);
                    }
                    Ok(true) => {
                        trying += 1;
                        prop_assert!(trying <= settings.probes);
                        let turn = state.leave(&settings, true, ended, at(now));
                        match ended {
                            Ended::Unsaid => trying -= 1,
                            Ended::Well => prop_assert_eq!(turn.is_some(), trying == settings.probes),
                            Ended::Slow | Ended::Failed => prop_assert_eq!(turn, Some(Turn::Opened)),
                        }
                        if turn.is_some() {
                            trying = 0;
                            past.clear();
                        }
                    }
                    Ok(false) => {
                        let turn = state.leave(&settings, false, ended, at(now));
                        if ended != Ended::Unsaid {
                            past.push((now, ended));
                        }
                        // The window moves in tenths of its length.
                        let first = (now / 1_000).saturating_sub(SLOTS as u64 - 1) * 1_000;
                        let within: Vec<_> = past.iter().filter(|(at, _)| *at >= first).collect();
                        let of = |one: Ended| within.iter().filter(|(_, how)| *how == one).count();
                        let all = within.len();
                        let expected = all >= 4
                            && (of(Ended::Failed) * 100 >= 50 * all || of(Ended::Slow) * 100 >= 90 * all);
                        prop_assert_eq!(turn == Some(Turn::Opened), expected, "{:?} at {}", within, now);
                        if turn.is_some() {
                            past.clear();
                        }
                    }
                }
            }
        }
    }
}
