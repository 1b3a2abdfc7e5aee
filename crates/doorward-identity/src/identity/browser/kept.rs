//! Where sessions are stored: in the store, so that every replica knows them, or in memory where there is none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};

use doorward_store::{BrowserSession, EndOf, Error, Store, now};
use parking_lot::Mutex;

use super::{MOST_OF_PRINCIPAL, Proof};
use crate::identity::Lease;

/// Sessions and tokens in memory, where there is no store.
const MOST: usize = 2_000;

/// All sessions.
#[derive(Debug, Default)]
pub struct BrowserSessions {
    store: OnceLock<Store>,
    memory: Mutex<BTreeMap<String, BrowserSession>>,
    /// Those with open streams, by ID.
    pub(super) live: Mutex<HashMap<String, Live>>,
    pub(super) checks: Mutex<Checks>,
}

/// A session with open streams: they end with its lease.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub lease: Weak<Lease>,
    pub proof: Arc<Proof>,
}

/// How often sessions were checked, and as of which emergency stops.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub count: u64,
    pub stops: u64,
}

impl BrowserSessions {
    /// Uses a store from now on; once, before anybody can sign in.
    pub fn keep_in(&self, store: &Store) {
        let _ = self.store.set(store.clone());
    }

    pub(super) async fn put(&self, session: BrowserSession) -> Result<(), Error> {
        if let Some(store) = self.store.get() {
            let most = i64::try_from(MOST_OF_PRINCIPAL).unwrap_or(i64::MAX);
            return store.put_browser_session(&session, most).await;
        }
        let mut all = self.memory.lock();
        all.retain(|_, one| one.is_valid_at(now()));
        let mut same: Vec<(i64, String)> = all
            .values()
            .filter(|one| one.principal == session.principal && one.face == session.face)
            .map(|one| (one.created, one.id.clone()))
            .collect();
        same.sort_unstable();
        let surplus = (same.len() + 1).saturating_sub(MOST_OF_PRINCIPAL);
        for (_, id) in same.into_iter().take(surplus) {
            all.remove(&id);
        }
        while all.len() >= MOST {
            let oldest = all.values().min_by_key(|one| one.used).map(|one| one.id.clone());
            let Some(oldest) = oldest else { break };
            all.remove(&oldest);
        }
        all.insert(session.id.clone(), session);
        without_orphans(&mut all);
        Ok(())
    }

    /// A valid session; of a token, the session that it belongs to must be valid, too.
    pub(super) async fn valid(&self, id: &str) -> Result<Option<BrowserSession>, Error> {
        let Some(session) = self.read(id).await?.filter(|one| one.is_valid_at(now())) else {
            return Ok(None);
        };
        if let Some(parent) = &session.parent
            && !self.read(parent).await?.is_some_and(|parent| parent.is_valid_at(now()))
        {
            return Ok(None);
        }
        Ok(Some(session))
    }

    async fn read(&self, id: &str) -> Result<Option<BrowserSession>, Error> {
        match self.store.get() {
            Some(store) => store.browser_session(id).await,
            None => Ok(self.memory.lock().get(id).cloned()),
        }
    }

    /// Notes that a session is used.
    pub(super) async fn used(&self, id: &str) {
        let Some(store) = self.store.get() else {
            if let Some(session) = self.memory.lock().get_mut(id) {
                session.used = now();
            }
            return;
        };
        if let Err(error) = store.use_browser_session(id).await {
            tracing::warn!(%error, "the last use of a browser's session could not be stored");
        }
    }

    /// All sessions that are valid, without tokens.
    pub async fn all(&self) -> Result<Vec<BrowserSession>, Error> {
        if let Some(store) = self.store.get() {
            return store.browser_sessions().await;
        }
        let all = self.memory.lock();
        let sessions = all.values().filter(|one| one.parent.is_none() && one.is_valid_at(now()));
        Ok(sessions.cloned().collect())
    }

    /// Ends sessions, on all replicas. Returns how many there were.
    pub async fn end(&self, which: EndOf<'_>) -> Result<u64, Error> {
        if let Some(store) = self.store.get() {
            return store.end_browser_sessions(which, None).await;
        }
        Ok(self.end_in_memory(which))
    }

    /// Ends sessions where there is no store.
    pub fn end_in_memory(&self, which: EndOf<'_>) -> u64 {
        let mut all = self.memory.lock();
        let before = all.len();
        all.retain(|_, one| one.parent.is_some() || !which.concerns(one));
        let ended = before - all.len();
        without_orphans(&mut all);
        ended as u64
    }

    pub fn are_in_memory(&self) -> bool {
        self.store.get().is_none()
    }

    /// Removes what has expired.
    pub(super) async fn prune(&self) {
        let Some(store) = self.store.get() else {
            let mut all = self.memory.lock();
            all.retain(|_, one| one.is_valid_at(now()));
            return without_orphans(&mut all);
        };
        if let Err(error) = store.prune_browser_sessions().await {
            tracing::warn!(%error, "sessions that have expired could not be removed");
        }
    }
}

/// Removes tokens whose sessions have ended.
fn without_orphans(all: &mut BTreeMap<String, BrowserSession>) {
    let orphans: Vec<String> = all
        .values()
        .filter(|one| one.parent.as_ref().is_some_and(|parent| !all.contains_key(parent)))
        .map(|one| one.id.clone())
        .collect();
    for id in orphans {
        all.remove(&id);
    }
}
