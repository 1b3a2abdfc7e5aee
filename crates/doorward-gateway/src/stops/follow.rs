//! Reads stops set by other replicas, and writes local ones to the store.

use std::sync::Arc;
use std::time::Duration;

use doorward_governance::stops::Stop;
use doorward_store::StopWatch;

use super::Emergency;
use super::enforce::Ending;
use crate::gateway::Gateway;

/// How often the stops are polled.
const EVERY: Duration = Duration::from_millis(100);
/// How many polls to wait before a failed write to the store is retried.
const AGAIN: u32 = 5;

impl Gateway {
    /// Follows the stops until the gateway closes.
    pub(crate) async fn follow_stops(self: Arc<Self>) {
        let mut watch = self.kept.store().map(doorward_store::Store::watch_stops);
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut journal_seen = self.emergency.journal_changed();
        let mut ending = Ending::default();
        let mut since_write = AGAIN;
        while self.closing.run_until_cancelled(ticks.tick()).await.is_some() {
            self.end_what_is_stopped(&mut ending);
            let journal_now = self.emergency.journal_changed();
            if journal_now != journal_seen && self.read_journal().await {
                journal_seen = journal_now;
            }
            let Some(watch) = &mut watch else { continue };
            if !self.poll_stops(watch).await {
                continue;
            }
            since_write += 1;
            if since_write >= AGAIN
                && self.emergency.unwritten() > 0
                && let Some(store) = self.kept.store()
            {
                // Immediately, as long as writes succeed.
                since_write = if self.emergency.write_all(store).await { AGAIN } else { 0 };
                self.obey();
            }
        }
    }

    /// Reads the store's stops if they have changed. Returns whether the store responded.
    async fn poll_stops(self: &Arc<Self>, watch: &mut StopWatch) -> bool {
        match watch.poll().await {
            Ok(None) => true,
            Ok(Some((revision, stored))) => {
                self.emergency.take_stored(revision, stored);
                self.obey();
                true
            }
            // An unreadable store is logged by the task that reads all of it.
            Err(error) => {
                tracing::debug!(%error, "the stops cannot be read: those known stay in force");
                false
            }
        }
    }

    /// Reads the stops that other processes have written to the journal. Returns whether it was read
    /// as it is: not while this gateway changes it, since what was read would undo the change.
    async fn read_journal(self: &Arc<Self>) -> bool {
        let Some(journal) = self.emergency.journal.clone() else { return true };
        let Some(moment) = self.emergency.known.lock().moment() else { return false };
        match tokio::task::spawn_blocking(move || journal.read()).await {
            Ok(Ok(entries)) => {
                {
                    let mut known = self.emergency.known.lock();
                    if known.moment() != Some(moment) {
                        return false;
                    }
                    known.take(entries, self.emergency.has_store);
                }
                self.obey();
            }
            Ok(Err(error)) => tracing::warn!(%error, "the folder of stops cannot be read"),
            Err(_) => {}
        }
        true
    }
}

impl Emergency {
    fn journal_changed(&self) -> Option<std::time::SystemTime> {
        self.journal.as_ref()?.changed()
    }

    fn take_stored(&self, revision: i64, stored: Vec<Stop>) {
        let mut known = self.known.lock();
        known.stored = stored;
        known.revision = revision;
        // Entries contained in this revision need not be tracked locally.
        known.own.retain(|_, own| own.stored.is_none_or(|of| revision < of));
    }
}
