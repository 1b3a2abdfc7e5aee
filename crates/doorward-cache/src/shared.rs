//! Results that several gateways share. Each is encrypted and bound to its key: whoever can write to the shared cache
//! cannot move a result to another key, and whoever can read it learns nothing of the results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use doorward_store::{SharedValues, hex};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Key;
use super::entry::{Entry, Kept};
use doorward_config::Secret;
use doorward_identity::seal::Sealer;

const PURPOSE: &str = "cached result";
/// Results that are on their way to the store. Beyond, none is put there.
const MOST: usize = 256;
/// How often a store that is away is tried by whoever has something to say to it.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct SharedResults {
    values: SharedValues,
    putting: Semaphore,
    away: AtomicBool,
    /// Servers at which something was changed while the store was away, and how often; and whether somebody tries to
    /// say so.
    unsaid: Mutex<HashMap<String, u64>>,
    is_trying: AtomicBool,
}

impl SharedResults {
    pub fn open(url: &Secret, namespace: Option<&str>) -> Result<Self, String> {
        let values = SharedValues::open(url.expose(), namespace.unwrap_or("doorward"))?;
        Ok(Self {
            values,
            putting: Semaphore::new(MOST),
            away: AtomicBool::default(),
            unsaid: Mutex::default(),
            is_trying: AtomicBool::default(),
        })
    }

    /// The mark of a server, which each change replaces, and the first result that is kept under one of these names.
    /// `None` while the store is away: then nothing is told from it, and nothing put there.
    pub async fn get(
        &self,
        sealer: &Sealer,
        server: &str,
        keys: &[Key],
    ) -> Option<(u64, Option<Entry>)> {
        if !self.say_unsaid(server).await {
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
            Entry::from_kept(sealer.open::<Kept>(&text, name, PURPOSE).ok()?)
        });
        Some((epoch, entry.filter(|entry| entry.epoch == epoch)))
    }

    pub async fn put(&self, sealer: &Sealer, key: Key, entry: &Entry) {
        let Ok(_place) = self.putting.try_acquire() else { return };
        let name = hex(&key.0);
        let lives = entry.lives.longest();
        let text = sealer.seal(&entry.to_kept(), &name, PURPOSE, Some(lives));
        match self.values.put(&name, &text, lives).await {
            Ok(()) => self.answered(),
            Err(why) => self.failed(&why),
        }
    }

    /// Something was changed at a server: what was kept of it is not good any more. While the store is away, that
    /// is said as soon as it is back.
    pub async fn changed(self: &Arc<Self>, server: &str) {
        match self.values.changed(server).await {
            Ok(()) => self.answered(),
            Err(why) => {
                self.failed(&why);
                *self.unsaid.lock().entry(server.to_owned()).or_default() += 1;
                if !self.is_trying.swap(true, Ordering::AcqRel) {
                    tokio::spawn(keep_trying(Arc::downgrade(self)));
                }
            }
        }
    }

    /// Says that a server was changed, if nobody could be told. `false` while that is so.
    async fn say_unsaid(&self, server: &str) -> bool {
        let Some(times) = self.unsaid.lock().get(server).copied() else { return true };
        if let Err(why) = self.values.changed(server).await {
            self.failed(&why);
            return false;
        }
        let mut unsaid = self.unsaid.lock();
        // Unless there was another change meanwhile.
        if unsaid.get(server) == Some(&times) {
            unsaid.remove(server);
        }
        !unsaid.contains_key(server)
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

/// Tries to say what could not be said, until nothing is left of it.
async fn keep_trying(results: Weak<SharedResults>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(results) = results.upgrade() else { return };
        let servers: Vec<String> = results.unsaid.lock().keys().cloned().collect();
        for server in servers {
            if !results.say_unsaid(&server).await {
                break;
            }
        }
        let unsaid = results.unsaid.lock();
        if unsaid.is_empty() {
            results.is_trying.store(false, Ordering::Release);
            return;
        }
    }
}
