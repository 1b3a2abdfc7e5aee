//! Results that several gateways share. Each is encrypted and bound to its key: write access to the shared cache
//! does not allow moving a result to another key, and read access reveals nothing about the results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use doorward_store::{SharedValues, hex};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Key;
use super::entry::{Entry, Stored};
use doorward_config::Secret;
use doorward_identity::seal::Sealer;

const PURPOSE: &str = "cached result";
/// Maximum number of concurrent writes. Further results are not written.
const MOST: usize = 256;
/// Interval between attempts to report changes to a store that is unavailable.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct SharedResults {
    values: SharedValues,
    putting: Semaphore,
    away: AtomicBool,
    /// Servers that changed while the store was unavailable, with the number of changes not yet reported; and whether
    /// a task is reporting them.
    pending: Mutex<HashMap<String, u64>>,
    is_reporting: AtomicBool,
}

impl SharedResults {
    pub fn open(url: &Secret, namespace: Option<&str>) -> Result<Self, String> {
        let values = SharedValues::open(url.expose(), namespace.unwrap_or("doorward"))?;
        Ok(Self {
            values,
            putting: Semaphore::new(MOST),
            away: AtomicBool::default(),
            pending: Mutex::default(),
            is_reporting: AtomicBool::default(),
        })
    }

    /// The server's change counter and the first result found under one of the keys. `None` while the store is
    /// unavailable: then nothing is read from it or written to it.
    pub async fn get(
        &self,
        sealer: &Sealer,
        server: &str,
        keys: &[Key],
    ) -> Option<(u64, Option<Entry>)> {
        if !self.report_pending(server).await {
            return None;
        }
        let names: Vec<String> = keys.iter().map(|key| hex(&key.0)).collect();
        let (epoch, found) = match self.values.get(server, &names).await {
            Ok(found) => found,
            Err(why) => {
                self.failed(&why);
                return None;
            }
        };
        self.answered();
        let entry = names.iter().zip(found).find_map(|(name, text)| {
            let text = text?;
            Entry::from_stored(sealer.open::<Stored>(&text, name, PURPOSE).ok()?)
        });
        Some((epoch, entry.filter(|entry| entry.epoch == epoch)))
    }

    pub async fn put(&self, sealer: &Sealer, key: Key, entry: &Entry) {
        let Ok(_place) = self.putting.try_acquire() else { return };
        let name = hex(&key.0);
        let lives = entry.lives.longest();
        let text = sealer.seal(&entry.to_stored(), &name, PURPOSE, Some(lives));
        match self.values.put(&name, &text, lives).await {
            Ok(()) => self.answered(),
            Err(why) => self.failed(&why),
        }
    }

    /// Reports a change at a server, which invalidates its cached results. If the store is unavailable, the change is
    /// reported as soon as it is available again.
    pub async fn changed(self: &Arc<Self>, server: &str) {
        match self.values.changed(server).await {
            Ok(()) => self.answered(),
            Err(why) => {
                self.failed(&why);
                *self.pending.lock().entry(server.to_owned()).or_default() += 1;
                if !self.is_reporting.swap(true, Ordering::AcqRel) {
                    tokio::spawn(report_all_pending(Arc::downgrade(self)));
                }
            }
        }
    }

    /// Reports the pending changes of a server. Returns `false` if any are left.
    async fn report_pending(&self, server: &str) -> bool {
        let Some(times) = self.pending.lock().get(server).copied() else { return true };
        if let Err(why) = self.values.changed(server).await {
            self.failed(&why);
            return false;
        }
        let mut pending = self.pending.lock();
        // There may have been another change in the meantime.
        if pending.get(server) == Some(&times) {
            pending.remove(server);
        }
        !pending.contains_key(server)
    }

    fn failed(&self, why: &str) {
        if !self.away.swap(true, Ordering::AcqRel) {
            tracing::error!("the shared cache is unavailable: {why}");
        }
    }

    fn answered(&self) {
        if self.away.swap(false, Ordering::AcqRel) {
            tracing::info!("the shared cache is available again");
        }
    }
}

/// Reports pending changes until none are left.
async fn report_all_pending(results: Weak<SharedResults>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(results) = results.upgrade() else { return };
        let servers: Vec<String> = results.pending.lock().keys().cloned().collect();
        for server in servers {
            if !results.report_pending(&server).await {
                break;
            }
        }
        let pending = results.pending.lock();
        if pending.is_empty() {
            results.is_reporting.store(false, Ordering::Release);
            return;
        }
    }
}
