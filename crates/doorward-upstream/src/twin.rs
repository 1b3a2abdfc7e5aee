//! Servers that support both eras: a client is served in its own era, so that nothing is translated
//! needlessly. For handshake-era clients, such a server has a second `Server` that uses only the
//! handshake.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_mcp::{Era, Object};

use super::server::{Parts, Server};
use doorward_core::Failure;
use doorward_identity::exposed::Digest;

impl Server {
    /// The server for clients of an era, if it was detected already.
    pub fn known_in(self: &Arc<Self>, era: Era) -> Option<Arc<Self>> {
        // Replicas may differ in their eras: each is detected separately.
        if era == Era::Modern || self.handshake_only || self.replicas.is_some() {
            return Some(self.clone());
        }
        let contact = self.known()?;
        if !contact.may_have_twin() {
            return Some(self.clone());
        }
        let twin = contact.twin.0.get()?;
        Some(twin.as_ref().unwrap_or(self).clone())
    }

    /// The same, detected if necessary. A server that cannot be reached stands for itself.
    pub async fn spoken_in(self: &Arc<Self>, era: Era) -> Arc<Self> {
        if let Some(known) = self.known_in(era) {
            return known;
        }
        let Ok(contact) = self.contact().await else { return self.clone() };
        if !contact.may_have_twin() {
            return self.clone();
        }
        let twin = contact.twin.0.get_or_try_init(|| self.find_twin()).await;
        match twin {
            Ok(Some(twin)) => twin.clone(),
            Ok(None) | Err(_) => self.clone(),
        }
    }

    /// Tries the handshake with a modern server. Fails if this cannot be determined now.
    async fn find_twin(&self) -> Result<Option<Arc<Self>>, Failure> {
        let twin = Self::build(Parts {
            name: &self.name,
            settings: self.settings.clone(),
            shared: self.shared.clone(),
            generation: self.generation.clone(),
            // The same endpoint, with the same credential.
            endpoint: self.endpoint.clone(),
            handshake_only: true,
            catalog: Arc::default(),
            stateful: Arc::default(),
            hints: Arc::default(),
            replica: None,
        });
        match twin.contact().await {
            Ok(_) => {
                twin.keep();
                Ok(Some(twin))
            }
            Err(failure)
                if matches!(
                    failure.kind,
                    Kind::Unreachable | Kind::Overloaded | Kind::Closing | Kind::Unauthorized
                ) =>
            {
                Err(failure)
            }
            Err(_) => Ok(None),
        }
    }

    /// The original names of tools and prompts, in either era, that a rewritten name may stand for.
    pub fn named_by(&self, digest: Digest) -> BTreeSet<String> {
        let mut names = self.catalog.named_by(digest);
        if let Some(twin) = self.known_twin() {
            names.extend(twin.catalog.named_by(digest));
        }
        names
    }

    /// The definitions of an item, in either era, as returned to different callers.
    pub fn definitions(&self, kind: usize, name: &str) -> Vec<Object> {
        let mut all = self.catalog.definitions(kind, name);
        if let Some(twin) = self.known_twin() {
            all.extend(twin.catalog.definitions(kind, name));
        }
        all
    }

    pub(super) fn known_twin(&self) -> Option<Arc<Self>> {
        self.known()?.known_twin().cloned()
    }

    /// The era of the listeners that receive this server's notifications: that of the clients it
    /// serves.
    pub(super) fn audience(&self) -> Option<Era> {
        if self.handshake_only {
            return Some(Era::Handshake);
        }
        self.known_twin().map(|_| Era::Modern)
    }
}
