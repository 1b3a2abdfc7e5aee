//! Sets and lifts stops: applied here first, then written to the journal, then to the store.

use std::sync::Arc;
use std::time::Duration;

use doorward_governance::stops::{
    KnownBy, Lifted, MOST_STOPS, Stop, StopError, StopMode, StopOutcome, Target, is_reason,
};
use doorward_store::{Actor, Error, Hand, StopEntry, Store, now_ms, random_id};

use super::{Emergency, Own};
use crate::gateway::Gateway;

/// How long setting a stop waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Stops something, at once here and within a second on every replica. If it is already stopped
    /// at least as strictly, that stop remains.
    pub async fn set_stop(
        self: &Arc<Self>,
        target: Target,
        mode: StopMode,
        why: &str,
        actor: &Actor,
    ) -> Result<StopOutcome, StopError> {
        check_reason(why)?;
        let emergency = &self.emergency;
        let set_by = Hand::of(actor);
        let _writing = emergency.writing();
        let (stop, same) = {
            let mut known = emergency.known.lock();
            let in_force = known.in_force();
            let same = in_force.iter().find(|stop| {
                let of = &stop.target;
                of.kind == target.kind && of.key() == target.key() && stop.mode >= mode
            });
            let same = same.map(|stop| {
                let stored = known.own.get(&stop.id).is_none_or(|own| own.stored.is_some());
                (stop.clone(), stored && emergency.has_store)
            });
            if in_force.len() >= MOST_STOPS {
                return Err(StopError::TooMany);
            }
            let id = random_id::<8>().map_err(|_| StopError::Randomness)?;
            let (why, by) = (why.to_owned(), actor.name.clone());
            let stop = Stop { id, target, why, by, at: now_ms(), mode, lifted: None };
            let entry = StopEntry { stop: stop.clone(), set_by, lifted_by: None };
            known.own.insert(stop.id.clone(), Own { entry, stored: None });
            (stop, same)
        };
        self.obey();
        let outcome = self.keep_and_write(&stop.id).await;
        match (outcome, same) {
            // The store has decided: the local stop may have been lifted elsewhere a moment ago.
            (Some(outcome), _) if outcome.known_by == KnownBy::AllReplicas => Ok(outcome),
            (_, Some((same, stored))) => {
                emergency.known.lock().own.remove(&stop.id);
                emergency.forget_file(&stop.id).await;
                self.obey();
                Ok(emergency.outcome(same, stored, true))
            }
            (Some(outcome), None) => Ok(outcome),
            // Lifted in the meantime.
            (None, None) => Ok(emergency.outcome(stop, false, true)),
        }
    }

    /// Lifts a stop, with a reason. Fails with "absent" if it was already lifted.
    pub async fn lift_stop(
        self: &Arc<Self>,
        id: &str,
        why: &str,
        actor: &Actor,
    ) -> Result<StopOutcome, StopError> {
        check_reason(why)?;
        let hand = Hand::of(actor);
        let unknown = self.stored_stop(id).await;
        let _writing = self.emergency.writing();
        let stop = {
            let mut known = self.emergency.known.lock();
            let stop = known.find(id).or(unknown).filter(|stop| stop.lifted.is_none());
            let mut stop = stop.ok_or_else(|| StopError::Absent(id.to_owned()))?;
            let (by, why) = (actor.name.clone(), why.to_owned());
            stop.lifted = Some(Lifted { by, why, at: now_ms() });
            // A stop from the store already names who set it.
            let set_by = known.own.get(id).map(|own| own.entry.set_by.clone());
            let set_by = set_by.unwrap_or_else(|| hand.clone());
            let entry = StopEntry { stop: stop.clone(), set_by, lifted_by: Some(hand) };
            known.own.insert(id.to_owned(), Own { entry, stored: None });
            stop
        };
        self.obey();
        Ok(self
            .keep_and_write(id)
            .await
            .unwrap_or_else(|| self.emergency.outcome(stop, false, true)))
    }

    /// A stop that is in the store, but was not read from there yet.
    async fn stored_stop(&self, id: &str) -> Option<Stop> {
        if self.emergency.known.lock().find(id).is_some() {
            return None;
        }
        let asking = self.kept.store()?.stop(id);
        tokio::time::timeout(PATIENCE, asking).await.ok()?.ok()?
    }

    /// Writes an entry to the journal and the store, as far as possible now. `None` if it is gone.
    async fn keep_and_write(&self, id: &str) -> Option<StopOutcome> {
        let entry = self.emergency.known.lock().own.get(id)?.entry.clone();
        let journaled = self.emergency.keep(&entry).await;
        let Some(store) = self.kept.store() else {
            return Some(self.emergency.outcome(entry.stop, false, journaled));
        };
        let written = tokio::time::timeout(PATIENCE, self.emergency.write(store, &entry)).await;
        let (stop, stored) = match written {
            Ok(Ok(stop)) => (stop, true),
            Ok(Err(error)) => {
                tracing::error!(stop = id, %error, "a stop is obeyed here, and cannot be stored yet");
                (entry.stop, false)
            }
            Err(_) => {
                tracing::error!(stop = id, "a stop is obeyed here, and the store does not answer");
                (entry.stop, false)
            }
        };
        Some(self.emergency.outcome(stop, stored, journaled))
    }
}

impl Emergency {
    fn outcome(&self, stop: Stop, stored: bool, journaled: bool) -> StopOutcome {
        let known_by = if stored { KnownBy::AllReplicas } else { KnownBy::ThisGateway };
        let survives_restart = stored || (journaled && self.journal.is_some());
        StopOutcome { stop, known_by, survives_restart }
    }

    /// Writes an entry to the journal. Returns whether it is there.
    async fn keep(&self, entry: &StopEntry) -> bool {
        let Some(journal) = self.journal.clone() else { return false };
        let entry = entry.clone();
        let id = entry.stop.id.clone();
        let written = tokio::task::spawn_blocking(move || {
            journal.write(&entry).inspect_err(|error| {
                tracing::error!(%error, "a stop cannot be written to its file");
            })
        });
        let written = matches!(written.await, Ok(Ok(())));
        if written && self.store_less_lift(&id) {
            // The journal is the only place that keeps such a stop in force.
            self.forget_file(&id).await;
        }
        written
    }

    /// Whether an entry is a stop that was lifted without a store.
    fn store_less_lift(&self, id: &str) -> bool {
        let mut known = self.known.lock();
        let lifted = known.own.get(id).is_some_and(|own| own.entry.stop.lifted.is_some());
        let over = !self.has_store && lifted;
        if over {
            known.own.remove(id);
        }
        over
    }

    async fn forget_file(&self, id: &str) {
        let Some(journal) = self.journal.clone() else { return };
        let id = id.to_owned();
        let removed = tokio::task::spawn_blocking(move || journal.remove(&id)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "the file of a stop cannot be removed");
        }
    }

    /// Writes an entry to the store, and then deletes its file. Idempotent.
    async fn write(&self, store: &Store, entry: &StopEntry) -> Result<Stop, Error> {
        let id = &entry.stop.id;
        let bare = Stop { lifted: None, ..entry.stop.clone() };
        let (mut stop, mut revision) = store.acting(entry.set_by.actor()).put_stop(&bare).await?;
        if let (Some(lifted), Some(hand)) = (&entry.stop.lifted, &entry.lifted_by)
            && stop.id == *id
        {
            (stop, revision) = store.acting(hand.actor()).lift_stop(id, lifted).await?;
        }
        let done = {
            let mut known = self.known.lock();
            let seen = known.revision;
            // It may have been lifted while it was written.
            match known.own.get_mut(id).filter(|own| own.entry == *entry) {
                // The store's revision was already read: no later poll would report it again.
                Some(_) if seen >= revision => known.own.remove(id).is_some(),
                Some(own) => {
                    own.stored = Some(revision);
                    true
                }
                None => false,
            }
        };
        if done {
            self.forget_file(id).await;
        }
        Ok(stop)
    }

    /// Writes missing entries to the store. Returns whether all were accepted.
    pub(super) async fn write_all(&self, store: &Store) -> bool {
        let unwritten: Vec<StopEntry> = {
            let known = self.known.lock();
            let own = known.own.values().filter(|own| own.stored.is_none());
            own.map(|own| own.entry.clone()).collect()
        };
        for entry in &unwritten {
            match tokio::time::timeout(PATIENCE, self.write(store, entry)).await {
                Ok(Ok(_)) => {}
                Ok(Err(Error::Refused(why))) => {
                    tracing::error!(stop = entry.stop.id, why, "a stop cannot be stored");
                    return false;
                }
                // Retried next time.
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        true
    }
}

fn check_reason(why: &str) -> Result<(), StopError> {
    is_reason(why).then_some(()).ok_or(StopError::Reason)
}
