//! Sessions with one handshake-era server, shared by calls with the same owner (by the server's affinity) and the same
//! declared capabilities, or other capabilities if that makes no difference to the server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Revision, capabilities};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::asked::Asked;
use super::programs::Program;
use super::session::Session;
use doorward_config::Affinity;
use doorward_core::Failure;
use doorward_identity::seal::{fingerprint, sha256};

/// The fraction of the idle timeout for sessions that have served only lists.
const LISTS_ONLY: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    owner: Box<str>,
    capabilities: Bytes,
}

#[derive(Debug, Default)]
pub struct Pool {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Slots of sessions that declare more than these clients do and can serve them as well.
    serving: Mutex<HashMap<Key, Weak<Slot>>>,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// The capabilities that its sessions declare.
    pub(super) declares: Object,
    /// They serve clients with different capabilities.
    pub(super) is_common: bool,
    /// Locked while a session is opened, so that concurrent callers open only one.
    pub(super) opening: tokio::sync::Mutex<()>,
    pub(super) sessions: Mutex<Vec<Pooled>>,
}

/// A session and the principal for whom it was opened.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) session: Arc<Session>,
    pub(super) opener: Box<str>,
    /// Its program's slot among all that were started for callers.
    pub(super) _program: Option<Arc<Program>>,
}

impl Slot {
    fn new(declares: Object, is_common: bool) -> Arc<Self> {
        let (opening, sessions) = Default::default();
        Arc::new(Self { declares, is_common, opening, sessions })
    }

    fn has_open(&self) -> bool {
        self.sessions.lock().iter().any(|one| one.session.is_open())
    }

    /// An open session; with `leased`, one that no other call has leased.
    pub(super) fn free(
        &self,
        leased: bool,
    ) -> Option<(Arc<Session>, Option<OwnedSemaphorePermit>)> {
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
    /// The number of sessions by principal.
    pub(super) fn opened_by(&self) -> HashMap<Box<str>, usize> {
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

    /// Closes a principal's longest-idle session, if any.
    pub(super) fn close_idle(&self, whose: &str) {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        let mut idle: Vec<Arc<Session>> = Vec::new();
        for slot in slots {
            let sessions = slot.sessions.lock();
            let theirs = sessions.iter().filter(|one| *one.opener == *whose);
            let unused = theirs.filter(|one| one.session.is_idle_since(Duration::ZERO));
            idle.extend(unused.map(|one| one.session.clone()));
        }
        if let Some(oldest) = idle.iter().min_by_key(|session| *session.used.lock()) {
            self.forget(oldest);
        }
    }

    /// Adds a session that was opened while the server was detected.
    pub fn adopt(&self, affinity: Affinity, asked: &Asked<'_>, session: Arc<Session>) {
        let adopted = Pooled { session, opener: Box::default(), _program: None };
        self.slot(affinity, asked, &Common::No).sessions.lock().push(adopted);
    }

    /// The sessions for a call: those that declare just its client's capabilities, or, if that makes no difference, those
    /// that declare more.
    pub(super) fn slot(
        &self,
        affinity: Affinity,
        asked: &Asked<'_>,
        common: &Common<'_>,
    ) -> Arc<Slot> {
        let client = &asked.client.capabilities;
        let key = Key { owner: owner_of(affinity, asked), capabilities: declared(client) };
        let mut slots = self.slots.lock();
        // Such as the gateway's own session.
        let own = slots.get(&key).filter(|slot| slot.has_open());
        let declares = match (common, own) {
            (Common::All(_) | Common::Of(_), Some(own)) => return own.clone(),
            (Common::All(declares), None) => {
                drop(slots);
                return self.common_slot(key.owner, (*declares).clone());
            }
            (Common::Of(declares), None) => declares,
            (Common::No, _) => {
                let slot = slots.entry(key).or_insert_with(|| Slot::new(client.clone(), false));
                return slot.clone();
            }
        };
        drop(slots);
        let serving = self.serving.lock().get(&key).and_then(Weak::upgrade);
        if let Some(serving) = serving.filter(|slot| slot.has_open()) {
            return serving;
        }
        let wanted = capabilities::client_to_handshake(client, Revision::NEWEST_HANDSHAKE);
        let Some(declares) = declares(&wanted) else {
            return self.slot(affinity, asked, &Common::No);
        };
        let serving = self.serving_slot(&key, declares, &wanted);
        let mut all = self.serving.lock();
        all.retain(|_, slot| slot.strong_count() > 0);
        all.insert(key, Arc::downgrade(&serving));
        serving
    }

    /// Sessions of the same owner that are open and declare enough, or those that are to declare all.
    fn serving_slot(&self, key: &Key, declares: Object, wanted: &Object) -> Arc<Slot> {
        let slots = self.slots.lock();
        let serves = |(other, slot): &(&Key, &Arc<Slot>)| {
            other.owner == key.owner
                && slot.has_open()
                && capabilities::covers(&slot.declares, wanted)
        };
        if let Some((_, slot)) = slots.iter().find(serves) {
            return slot.clone();
        }
        drop(slots);
        self.common_slot(key.owner.clone(), declares)
    }

    fn common_slot(&self, owner: Box<str>, declares: Object) -> Arc<Slot> {
        let key = Key { owner, capabilities: declared(&declares) };
        let mut slots = self.slots.lock();
        slots.entry(key).or_insert_with(|| Slot::new(declares, true)).clone()
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

    /// Closes idle sessions and drops empty slots. Sessions that have served only lists are closed
    /// sooner, because the server holds no state for them.
    pub fn sweep(&self, idle: Duration, keep: Option<&Arc<Session>>) {
        self.retain(|session| {
            let idle = if session.serves_calls() { idle } else { idle / LISTS_ONLY };
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
            // A slot that is about to be filled has another reference.
            !sessions.is_empty() || Arc::strong_count(slot) > 1
        });
    }
}

/// Whether clients with different capabilities may share sessions.
pub(super) enum Common<'a> {
    /// They may not.
    No,
    /// All share sessions that declare this.
    All(&'static Object),
    /// Sessions may serve other capabilities as well: returns what such a session declares to serve
    /// a client with the given ones.
    Of(&'a dyn Fn(&Object) -> Option<Object>),
}

/// There is no room, and no idle session to close.
pub(super) fn full(what: &str, limit: &str) -> Failure {
    let message = format!(
        "The limit of {what} is reached, in total or for one caller ('limits.{limit}', \
            'limits.caller_share')"
    );
    Failure::new(Kind::Overloaded, message)
}

/// The owner of the sessions that a request may use.
pub fn owner_of(affinity: Affinity, asked: &Asked<'_>) -> Box<str> {
    let owner: Box<str> = match (affinity, &asked.session) {
        (Affinity::Shared, _) => Box::default(),
        (Affinity::Session, Some(session)) => format!("{}\n{session}", asked.principal).into(),
        (Affinity::Principal | Affinity::Session, _) => asked.principal.into(),
    };
    // Each user-provided credential is presented only in a session of its user, one session per credential.
    match &asked.own {
        Some(own) => {
            let mark = fingerprint(&[own.value.as_bytes()]);
            format!("{owner}\n{}\n{mark}", asked.principal).into()
        }
        None => owner,
    }
}

/// The key of the capabilities that a session declares. Clients repeat themselves, so the result for the
/// latest is cached.
pub fn declared(client: &Object) -> Bytes {
    const MOST: usize = 64;
    thread_local! {
        static MADE: RefCell<HashMap<[u8; 32], Bytes>> = RefCell::default();
    }
    if client.is_empty() {
        return Bytes::from_static(b"{}");
    }
    // By digest, because capabilities may be long.
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
