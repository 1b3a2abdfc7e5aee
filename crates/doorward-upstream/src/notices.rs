//! When changes of a server's lists were announced to listeners, so that a server that repeats itself is told of a few
//! times a second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Between two notices of one list's change.
const PAUSE: Duration = Duration::from_millis(250);

/// When the changes of each list were told last, and whether one waits to be told.
#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<[(Option<Instant>, bool); 3]>);

impl Notices {
    /// How long the notice of a change has to wait; `None` if another waits already.
    pub(super) fn wait(&self, list: usize) -> Option<Duration> {
        let (last, waits) = &mut self.0.lock()[list];
        if *waits {
            return None;
        }
        let wait = last.map_or(Duration::ZERO, |last| PAUSE.saturating_sub(last.elapsed()));
        *waits = !wait.is_zero();
        if !*waits {
            *last = Some(Instant::now());
        }
        Some(wait)
    }

    pub(super) fn told(&self, list: usize) {
        self.0.lock()[list] = (Some(Instant::now()), false);
    }
}
