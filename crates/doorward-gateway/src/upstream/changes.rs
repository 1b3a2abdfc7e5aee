//! What is known of a server's changes, by which results that were kept are told or not.

use std::sync::atomic::Ordering;

use super::Server;

impl Server {
    /// How much has been changed at the server.
    pub fn epoch(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Something may have been changed there: what is kept of it is not good any more.
    pub async fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(shared) = self.shared.cache.shared() {
            shared.changed(&self.name).await;
        }
    }

    /// The same, where nobody waits for it.
    pub fn changed_soon(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(shared) = self.shared.cache.shared() {
            let name = self.name.clone();
            self.shared.tasks.spawn(async move { shared.changed(&name).await });
        }
    }

    pub fn gives_hints(&self) {
        self.hints.store(true, Ordering::Release);
    }

    pub fn has_given_hints(&self) -> bool {
        self.hints.load(Ordering::Acquire)
    }
}
