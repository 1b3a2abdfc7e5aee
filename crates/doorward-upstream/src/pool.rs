//! Sessions with one handshake-era server, shared by calls with the same owner (by the server's affinity) and the same
//! declared capabilities.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Revision, capabilities, method};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::programs::Program;
use super::session::Session;
use super::{Asked, Contact, Link, Server};
use doorward_config::Affinity;
use doorward_core::Failure;
use doorward_core::share::{Full, Held, sharer};
use doorward_identity::seal::{fingerprint, sha256};

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
    sessions: Mutex<Vec<Pooled>>,
}

/// A session, and for whom it was opened.
#[derive(Debug)]
struct Pooled {
    session: Arc<Session>,
    opener: Box<str>,
    /// Its program's place among all that were started for somebody.
    _program: Option<Arc<Program>>,
}

impl Slot {
    /// An open session; with `leased` one that nobody else holds.
    fn free(&self, leased: bool) -> Option<(Arc<Session>, Option<OwnedSemaphorePermit>)> {
        let mut sessions = self.sessions.lock();
        sessions.retain(|one| one.session.is_open());
        if !leased {
            return sessions.first().map(|one| (one.session.clone(), None));
        }
        sessions.iter().find_map(|Pooled { session, .. }| {
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
            let place = match self.make_room(server, contact, asked.principal) {
                Ok(place) => place,
                Err(failure) => {
                    let waiting = slot.sessions.lock().first().map(|one| one.session.clone());
                    let Some(session) = waiting.filter(|_| leased) else { return Err(failure) };
                    let permit = session.lease.clone().acquire_owned().await;
                    return Ok((session, permit.ok()));
                }
            };
            let shared = &server.shared;
            // Programs that are not for anybody's session count among the processes, too.
            if place.is_some()
                && shared.processes.is_full()
                && shared.programs.give_way(Full::Whole, asked.principal)
            {
                shared.processes.freed().await;
            }
            let (client, own) = (asked.client, asked.own.as_ref());
            let opening = server.open_session(contact, &client.capabilities, client, own);
            let session = Box::pin(opening).await?;
            let opener = sharer(asked.principal).into();
            let program = place.map(|place| shared.programs.started(place, &session));
            let opened = Pooled { session: session.clone(), opener, _program: program };
            slot.sessions.lock().push(opened);
            let permit = if leased { session.lease.clone().try_acquire_owned().ok() } else { None };
            Ok((session, permit))
        });
        in_time.await.map_err(|_| asked.deadline.passed())?
    }

    /// Makes sure that there is room for another session of a caller's, and for its program. Where they have their
    /// share, or there is no room for anybody, one gives way that is idle: of the sessions with this server, or of the
    /// programs of all servers.
    fn make_room(
        &self,
        server: &Server,
        contact: &Contact,
        principal: &str,
    ) -> Result<Option<Held>, Failure> {
        let opener = sharer(principal);
        let limits = &server.shared.limits;
        let bounds = limits.shared(limits.server_sessions);
        for last in [false, true] {
            let opened = self.opened_by();
            let all: usize = opened.values().sum();
            let own = opened.get(opener).copied().unwrap_or_default();
            let whose = if own >= bounds.of(opener) {
                Some(opener)
            } else if all >= bounds.whole {
                opened.iter().max_by_key(|(_, count)| **count).map(|(whose, _)| &**whose)
            } else {
                None
            };
            match whose {
                None => break,
                Some(_) if last => return Err(full("sessions with the server", "server_sessions")),
                Some(whose) => self.close_idle(whose),
            }
        }
        if !matches!(contact.link, Link::Process) {
            return Ok(None);
        }
        let programs = &server.shared.programs;
        let taken = programs.take(principal).or_else(|full| {
            programs.give_way(full, principal);
            programs.take(principal)
        });
        taken.map(Some).map_err(|_| full("servers' programs", "processes"))
    }

    /// How many sessions there are, by for whom they were opened.
    fn opened_by(&self) -> HashMap<Box<str>, usize> {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        let mut counts = HashMap::new();
        for slot in slots {
            let sessions = slot.sessions.lock();
            for one in sessions.iter().filter(|one| one.session.is_open()) {
                *counts.entry(one.opener.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Closes the session of somebody's that has been idle for longest, if one is.
    fn close_idle(&self, whose: &str) {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        let mut idle: Vec<Arc<Session>> = Vec::new();
        for slot in slots {
            let sessions = slot.sessions.lock();
            let theirs = sessions.iter().filter(|one| *one.opener == *whose);
            let unused = theirs.filter(|one| one.session.is_idle_since(std::time::Duration::ZERO));
            idle.extend(unused.map(|one| one.session.clone()));
        }
        if let Some(oldest) = idle.iter().min_by_key(|session| *session.used.lock()) {
            self.forget(oldest);
        }
    }

    /// Takes in a session that was opened while the server was looked for.
    pub fn adopt(&self, server: &Server, asked: &Asked<'_>, session: Arc<Session>) {
        let adopted = Pooled { session, opener: Box::default(), _program: None };
        self.slot(server, asked).sessions.lock().push(adopted);
    }

    fn slot(&self, server: &Server, asked: &Asked<'_>) -> Arc<Slot> {
        let owner = owner_of(server, asked);
        let key = Key { owner, capabilities: declared(&asked.client.capabilities) };
        self.slots.lock().entry(key).or_default().clone()
    }

    /// The number of open sessions.
    pub fn len(&self) -> usize {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        let open = |slot: &Arc<Slot>| {
            let sessions = slot.sessions.lock();
            sessions.iter().filter(|one| one.session.is_open()).count()
        };
        slots.iter().map(open).sum()
    }

    pub fn forget(&self, session: &Arc<Session>) {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            slot.sessions.lock().retain(|other| !Arc::ptr_eq(&other.session, session));
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
            sessions.retain(|Pooled { session, .. }| {
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

/// There is no room, and nothing is idle that could make some.
fn full(what: &str, limit: &str) -> Failure {
    let message = format!(
        "The limit of {what} is reached, in total or for one caller ('limits.{limit}', \
            'limits.caller_share')"
    );
    Failure::new(Kind::Overloaded, message)
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
        static MADE: RefCell<HashMap<[u8; 32], Bytes>> = RefCell::default();
    }
    if client.is_empty() {
        return Bytes::from_static(b"{}");
    }
    // By their digest, for what clients say may be long.
    let said = sha256(&client.to_bytes());
    MADE.with_borrow_mut(|made| {
        if let Some(key) = made.get(&said) {
            return key.clone();
        }
        let declared = capabilities::client_to_handshake(client, Revision::NEWEST_HANDSHAKE);
        let key = capabilities::canonical(&declared);
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(said, key.clone());
        key
    })
}
