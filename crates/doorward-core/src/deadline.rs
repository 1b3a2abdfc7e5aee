//! How long a call may take, and how long to wait before another attempt.

use std::time::Duration;

use doorward_mcp::error::Kind;
use tokio::time::Instant;

use crate::Failure;

/// How long a call may go on: every sign of progress moves the deadline, up to a maximum.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    idle: Duration,
    at: Instant,
    last: Instant,
    /// From the beginning to `last`.
    whole: Duration,
    /// How long the answer may take to begin.
    first: Option<Duration>,
    /// Which settings say so: without progress, and in all.
    settings: Option<[&'static str; 2]>,
}

impl Deadline {
    pub fn new(idle: Duration, longest: Duration) -> Self {
        let now = Instant::now();
        let longest = longest.max(idle);
        Self {
            idle,
            at: now + idle,
            last: now + longest,
            whole: longest,
            first: None,
            settings: None,
        }
    }

    /// However much progress there is.
    pub fn within(time: Duration) -> Self {
        Self::new(time, time)
    }

    /// With the settings that it is made of, for whoever has to change them: how long without
    /// progress, and how long in all.
    pub fn set_by(self, idle: &'static str, longest: &'static str) -> Self {
        Self { settings: Some([idle, longest]), ..self }
    }

    /// With a time in which the answer must begin.
    pub fn beginning_within(self, first: Option<Duration>) -> Self {
        Self { first, ..self }
    }

    /// For one attempt of several, which all end when the first would have.
    pub fn for_attempt(self, longest: Option<Duration>) -> Self {
        let at = longest.map_or(self.at, |longest| (Instant::now() + longest).min(self.at));
        Self { at, ..self }
    }

    /// Until when the answer must have begun.
    pub fn begins_by(&self) -> Instant {
        self.first.map_or(self.at, |first| (Instant::now() + first).min(self.at))
    }

    pub fn extend(&mut self) {
        self.at = (Instant::now() + self.idle).min(self.last);
    }

    pub fn at(&self) -> Instant {
        self.at
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// What is left of it, however much progress there is.
    pub fn left_at_most(&self) -> Duration {
        self.last.saturating_duration_since(Instant::now())
    }

    /// For a call that has waited for an equal one, which was asked before: if that took far longer than this may have
    /// taken, it has progressed.
    pub fn after_another(&mut self) {
        if Instant::now() > self.at + Duration::from_secs(1) {
            self.extend();
        }
    }

    /// The same allowance again, from now: for a call that waited for its client.
    pub fn restart(&mut self) {
        let longest = self.last.saturating_duration_since(self.at).max(self.idle);
        let settings = self.settings;
        *self = Self { settings, ..Self::new(self.idle, longest).beginning_within(self.first) };
    }

    pub fn passed(&self) -> Failure {
        let seconds = self.idle.as_secs_f32();
        let message = match self.settings {
            None => format!("The server did not respond within {seconds} s"),
            Some([_, longest]) if self.at >= self.last && self.idle < self.whole => {
                let seconds = self.whole.as_secs_f32();
                format!(
                    "The server did not respond within {seconds} s in total (setting: {longest})"
                )
            }
            Some([idle, _]) => format!(
                "The server neither responded nor reported progress within {seconds} s (setting: \
                    {idle})"
            ),
        };
        Failure::new(Kind::Timeout, message)
    }
}

/// Half to three halves of a pause, so that many who wait do not come back together.
pub fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + random)
}
