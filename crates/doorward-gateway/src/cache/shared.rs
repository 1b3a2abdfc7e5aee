//! Results that several gateways share. They are sealed under the name they have: whoever can write to the
//! store can put none under another, and whoever can read it learns nothing of them.

use std::sync::atomic::{AtomicBool, Ordering};

use doorward_store::{SharedValues, hex};
use tokio::sync::Semaphore;

use super::Key;
use super::entry::{Entry, Kept};
use crate::seal::Sealer;
use crate::settings::Secret;

const PURPOSE: &str = "cached result";
/// Results that are on their way to the store. Beyond, none is put there.
const MOST: usize = 256;

#[derive(Debug)]
pub struct SharedResults {
    values: SharedValues,
    putting: Semaphore,
    away: AtomicBool,
}

impl SharedResults {
    pub fn open(url: &Secret, namespace: Option<&str>) -> Result<Self, String> {
        let values = SharedValues::open(url.expose(), namespace.unwrap_or("doorward"))?;
        let putting = Semaphore::new(MOST);
        Ok(Self { values, putting, away: AtomicBool::new(false) })
    }

    /// How much was changed at a server, and the first result that is kept under one of these names.
    /// `None` while the store is away: then nothing is told from it, and nothing put there.
    pub async fn get(
        &self,
        sealer: &Sealer,
        server: &str,
        keys: &[Key],
    ) -> Option<(u64, Option<Entry>)> {
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

    /// Something was changed at a server: what was kept of it is not good any more.
    pub async fn changed(&self, server: &str) {
        match self.values.changed(server).await {
            Ok(()) => self.answered(),
            Err(why) => self.failed(&why),
        }
    }

    fn failed(&self, why: &str) {
        if !self.away.swap(true, Ordering::AcqRel) {
            tracing::error!("results are not shared: {why}");
        }
    }

    fn answered(&self) {
        if self.away.swap(false, Ordering::AcqRel) {
            tracing::info!("results are shared again");
        }
    }
}
