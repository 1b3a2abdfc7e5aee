//! A circuit breaker: a server of which too many calls fail or are slow receives none for a while, and then a few as
//! probes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use doorward_config::BreakerSettings;

/// Parts of the window, each forgotten at once.
const SLOTS: usize = 10;
/// It is left alone longer each time, up to so many times the first.
const LONGEST: u32 = 8;

/// How a call ended, as far as it says something of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    Slow,
    Failed,
    /// It says nothing: the caller has left, or was refused by somebody else.
    Unsaid,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Closed,
    /// Until a time since the beginning.
    Open(Duration),
    /// So many are being tried, and so many have succeeded.
    HalfOpen {
        trying: u32,
        passed: u32,
    },
}

/// What a change of phase is told as.
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

/// What is known, and nothing of clocks: times are since some beginning.
#[derive(Debug)]
struct State {
    phase: Phase,
    slots: [Counts; SLOTS],
    /// The slot that is counted into, numbered from the beginning.
    current: u128,
    /// How often it was opened without having been closed in between.
    opened: u32,
    /// Counts the phases, so that whoever began in one says nothing of another.
    turns: u64,
}

#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    began: Instant,
    state: Mutex<State>,
}

/// A call that was let through. Dropped without a word, it says nothing of the server.
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

    /// Lets a call through, or says for how long not. `true` if it finds out whether the server is well again.
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
                    // Those who find out have not ended yet.
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

    /// Lets a call through; or says for how long not.
    pub fn enter(self: &Arc<Self>) -> Result<Pass, Duration> {
        if self.settings.off {
            return Ok(Pass { breaker: self.clone(), turn: 0, probes: false, left: true });
        }
        let mut state = self.state.lock();
        let probes = state.enter(&self.settings, self.began.elapsed())?;
        let turn = state.turns;
        Ok(Pass { breaker: self.clone(), turn, probes, left: false })
    }

    /// How long a call took that counts as slow.
    pub fn is_slow(&self, took: Duration) -> bool {
        took > self.settings.slow_after.0
    }

    /// In a word.
    pub fn phase(&self) -> &'static str {
        match self.state.lock().phase {
            Phase::Closed => "closed",
            Phase::Open(until) if self.began.elapsed() < until => "open",
            Phase::Open(_) | Phase::HalfOpen { .. } => "half_open",
        }
    }
}

impl Pass {
    /// The call has ended. Says whether that was the last drop.
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
    fn it_opens_when_half_have_failed_and_closes_when_those_who_try_succeed() {
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
        // Two are let through, and no third while they try.
        assert_eq!(state.enter(&settings, at(2_000)), Ok(true));
        assert_eq!(state.enter(&settings, at(2_000)), Ok(true));
        assert!(state.enter(&settings, at(2_000)).is_err());
        // One that leaves makes room for another.
        assert_eq!(state.leave(&settings, true, Ended::Unsaid, at(2_100)), None);
        assert_eq!(state.enter(&settings, at(2_100)), Ok(true));
        assert_eq!(state.leave(&settings, true, Ended::Well, at(2_200)), None);
        assert_eq!(state.leave(&settings, true, Ended::Failed, at(2_200)), Some(Turn::Opened));
        // The second time for twice as long.
        assert_eq!(state.enter(&settings, at(2_200)), Err(at(4_000)));
        assert_eq!(state.enter(&settings, at(6_200)), Ok(true));
        assert_eq!(state.leave(&settings, true, Ended::Well, at(6_300)), None);
        assert_eq!(state.enter(&settings, at(6_300)), Ok(true));
        assert_eq!(state.leave(&settings, true, Ended::Well, at(6_300)), Some(Turn::Closed));
        assert_eq!(state.enter(&settings, at(6_300)), Ok(false));
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
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
        /// Beside a model that remembers every call: it is open exactly when it should be, no more are let
        /// through than may try, and it never stays open for ever.
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
