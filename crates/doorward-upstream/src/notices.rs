//! When changes of a server's lists were announced to listeners. Limits announcements to a few a second if a server
//! repeats itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Minimum time between two notices of changes to one list.
const PAUSE: Duration = Duration::from_millis(250);

/// When changes of each list were last announced, and whether a notice is pending.
#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<[(Option<Instant>, bool); 3]>);

impl Notices {
    /// The delay of a notice; `None` if one is pending already.
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
