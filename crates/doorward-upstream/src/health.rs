//! Whether the last attempt to reach a server succeeded, and when the next one is due.

use std::time::{Duration, Instant};

use doorward_core::Failure;
use doorward_core::deadline::jittered;

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The health of a server.
#[derive(Debug, Default)]
pub struct Health {
    pub(super) failures: u32,
    pub(super) last: Option<Failure>,
    pub(super) retry_at: Option<Instant>,
    pub(super) tried: bool,
    pub(super) latency: Option<Duration>,
}

impl Health {
    /// Fails during the pause after a failure, so that a dead server costs its callers
    /// nothing but an error.
    pub fn check(&self) -> Result<(), Failure> {
        match (&self.last, self.retry_at) {
            (Some(failure), Some(at)) if Instant::now() < at => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    pub fn failed(&mut self, failure: &Failure, longest: Duration) {
        self.tried = true;
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_PAUSE * 2u32.saturating_pow((self.failures - 1).min(8));
        self.retry_at = Some(Instant::now() + jittered(pause.min(longest)));
        self.last = Some(failure.clone());
    }

    /// Ends the pause, because something has changed and a retry may succeed.
    pub(super) fn renewed(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    pub(super) fn succeeded(&mut self, latency: Duration) {
        *self = Self { tried: true, latency: Some(latency), ..Self::default() };
    }
}
