//! Sessions with one handshake-era server, shared by those who may share them: same owner (by the
//! server's affinity) and same declared capabilities.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Revision, capabilities, method};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::session::Session;
use super::{Asked, Contact, Server};
use crate::call::Failure;
use crate::seal::fingerprint;
use crate::settings::Affinity;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    owner: Box<str>,
    capabilities: Bytes,
}

#[derive(Debug, Default)]
pub struct Pool {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Held while a session is opened, so that callers who come together open one.
    opening: tokio::sync::Mutex<()>,
    sessions: Mutex<Vec<Arc<Session>>>,
}

impl Slot {
    /// An open session; with `leased` one that nobody else holds.
    fn free(&self, leased: bool) -> Option<(Arc<Session>, Option<OwnedSemaphorePermit>)> {
        let mut sessions = self.sessions.lock();
        sessions.retain(|session| session.is_open());
        if !leased {
            return sessions.first().map(|session| (session.clone(), None));
        }
        sessions.iter().find_map(|session| {
            let permit = session.lease.clone().try_acquire_owned().ok()?;
            Some((session.clone(), Some(permit)))
        })
    }
}

impl Pool {
    /// A session for a call, opened if there is none, and the lease on it where the server's
    /// requests do not say to which call they belong.
    pub async fn session(
        &self,
        server: &Server,
        contact: &Contact,
        asked: &Asked<'_>,
    ) -> Result<(Arc<Session>, Option<OwnedSemaphorePermit>), Failure> {
        let interactive = method::may_ask_for_input(asked.method)
            && capabilities::is_interactive(&asked.client.capabilities);
        let leased = interactive && server.needs_lease();
        let slot = self.slot(server, asked);
        if let Some(found) = slot.free(leased) {
            return Ok(found);
        }
        let in_time = tokio::time::timeout_at(asked.deadline.at(), async {
            let _opening = slot.opening.lock().await;
            if let Some(found) = slot.free(leased) {
                return Ok(found);
            }
            if self.len() >= server.shared.limits.server_sessions {
                let waiting = slot.sessions.lock().first().cloned();
                let Some(session) = waiting.filter(|_| leased) else {
                    return Err(Failure::new(
                        Kind::Overloaded,
                        "The limit of sessions with the server is reached",
                    ));
                };
                let permit = session.lease.clone().acquire_owned().await;
                return Ok((session, permit.ok()));
            }
            let session = server
                .open_session(contact, &asked.client.capabilities, asked.client, asked.own.as_ref())
                .await?;
            slot.sessions.lock().push(session.clone());
            let permit = if leased { session.lease.clone().try_acquire_owned().ok() } else { None };
            Ok((session, permit))
        });
        in_time.await.map_err(|_| asked.deadline.passed())?
    }

    /// Takes in a session that was opened while the server was looked for.
    pub fn adopt(&self, server: &Server, asked: &Asked<'_>, session: Arc<Session>) {
        self.slot(server, asked).sessions.lock().push(session);
    }

    fn slot(&self, server: &Server, asked: &Asked<'_>) -> Arc<Slot> {
        let owner = owner_of(server, asked);
        let key = Key { owner, capabilities: declared(&asked.client.capabilities) };
        self.slots.lock().entry(key).or_default().clone()
    }

    /// The number of open sessions.
    pub fn len(&self) -> usize {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        slots.iter().map(|slot| slot.sessions.lock().len()).sum()
    }

    pub fn forget(&self, session: &Arc<Session>) {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            slot.sessions.lock().retain(|other| !Arc::ptr_eq(other, session));
        }
        session.close();
    }

    /// Closes sessions that nothing used for a while, and drops slots that are empty.
    pub fn sweep(&self, idle: std::time::Duration, keep: Option<&Arc<Session>>) {
        self.retain(|session| {
            keep.is_some_and(|keep| Arc::ptr_eq(keep, session)) || !session.is_idle_since(idle)
        });
    }

    pub fn close(&self) {
        self.retain(|_| false);
    }

    fn retain(&self, keep: impl Fn(&Arc<Session>) -> bool) {
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| {
            let mut sessions = slot.sessions.lock();
            sessions.retain(|session| {
                let kept = session.is_open() && keep(session);
                if !kept {
                    session.close();
                }
                kept
            });
            // A slot that somebody is about to fill is referred to from there.
            !sessions.is_empty() || Arc::strong_count(slot) > 1
        });
    }
}

/// Who shares sessions with the caller of a request.
pub fn owner_of(server: &Server, asked: &Asked<'_>) -> Box<str> {
    let owner: Box<str> = match (server.settings.affinity, &asked.session) {
        (Affinity::Shared, _) => Box::default(),
        (Affinity::Session, Some(session)) => format!("{}\n{session}", asked.principal).into(),
        (Affinity::Principal | Affinity::Session, _) => asked.principal.into(),
    };
    // What a caller has given is shown in a session of theirs alone, and another in another.
    match &asked.own {
        Some(own) => {
            let mark = fingerprint(&[own.value.as_bytes()]);
            format!("{owner}\n{}\n{mark}", asked.principal).into()
        }
        None => owner,
    }
}

/// The key of what a session declares. Clients say the same again and again, so what was made of the
/// latest is kept.
pub fn declared(client: &Object) -> Bytes {
    const MOST: usize = 64;
    thread_local! {
        static MADE: RefCell<HashMap<Bytes, Bytes>> = RefCell::default();
    }
    if client.is_empty() {
        return Bytes::from_static(b"{}");
    }
    let said = client.to_bytes();
    MADE.with_borrow_mut(|made| {
        if let Some(key) = made.get(&said) {
            return key.clone();
        }
        let declared = capabilities::client_to_handshake(client, Revision::NEWEST_HANDSHAKE);
        let key = capabilities::canonical(&declared);
        if made.len() >= MOST {
            made.clear();
        }
        // A copy, which does not hold the request that it came with.
        made.insert(Bytes::copy_from_slice(&said), key.clone());
        key
    })
}
