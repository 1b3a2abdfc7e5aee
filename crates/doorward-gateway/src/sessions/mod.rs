//! All sessions of handshake-era clients. A session belongs to one principal and one portal.

mod session;

use std::collections::HashMap;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, message};
use parking_lot::Mutex;

pub use self::session::{Begun, Opening, Session};
use crate::call::{CallError, Failure, Portal};
use crate::record::who;
use doorward_core::share::{Full, Shares, sharer};
use doorward_identity::identity::{Caller, Principal};
use doorward_identity::seal;
use doorward_upstream::Shared;
use doorward_web::streams::Budget;

/// All client sessions of a gateway.
#[derive(Debug)]
pub struct Sessions {
    shared: Arc<Shared>,
    places: Arc<Shares>,
    /// Bytes of events stored for clients that reconnect.
    kept: Arc<Shares>,
    open: Mutex<HashMap<Arc<str>, Arc<Session>>>,
}

fn overloaded(failure: Failure) -> CallError {
    CallError::Refused { failure, status: 503 }
}

impl Sessions {
    pub fn new(shared: Arc<Shared>) -> Self {
        let places = Shares::new(shared.limits.shared(shared.limits.sessions));
        let kept = Shares::new(shared.limits.shared(shared.limits.replay_bytes.0));
        Self { shared, places, kept, open: Mutex::default() }
    }

    pub fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Whether a session is open, so that later calls can continue it.
    pub fn is_open(&self, id: &str) -> bool {
        self.open.lock().contains_key(id)
    }

    /// All open sessions.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.open.lock().values().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a prepared session. If the opener's share is reached, or the overall limit while they
    /// have the most, their longest-idle session is closed.
    pub fn open(&self, session: &Arc<Session>) -> Result<(), CallError> {
        let principal = &session.opener.principal.id;
        let held = match self.places.take(principal, 1) {
            Ok(held) => Ok(held),
            Err(full) => {
                let whose = self.places.gives_way(full, principal);
                let idle = whose.and_then(|whose| self.longest_idle(&whose));
                if let Some(idle) = idle {
                    self.end(&idle);
                }
                self.places.take(principal, 1)
            }
        };
        session.take(held.map_err(|full| self.full(full))?);
        self.open.lock().insert(session.id.clone(), session.clone());
        self.tell_audit("session.open", session);
        Ok(())
    }

    fn full(&self, full: Full) -> CallError {
        let limits = &self.shared.limits;
        let all = limits.sessions;
        match full {
            Full::Whole => {
                let message = format!("The limit of {all} sessions is reached");
                overloaded(Failure::new(Kind::Overloaded, message))
            }
            Full::Share => {
                let share = limits.shared(all).share;
                let message =
                    format!("You have {share} sessions in use, the maximum for one caller");
                let failure = Failure::new(Kind::Overloaded, message);
                CallError::Refused { failure, status: 429 }
            }
        }
    }

    /// The longest-idle session of a principal.
    fn longest_idle(&self, whose: &str) -> Option<Arc<Session>> {
        let open = self.open.lock();
        let theirs = open.values().filter(|session| sharer(&session.opener.principal.id) == whose);
        let idle = theirs.filter(|session| session.is_idle_for(std::time::Duration::ZERO));
        idle.min_by_key(|session| session.used_at()).cloned()
    }

    /// A session that cannot be continued until it is [opened](Self::open): for callers who must be
    /// authorized first, and for handshake-era requests without a session, as sent by scripts for
    /// servers without sessions. All streams but those of HTTP+SSE can be resumed.
    pub fn prepare(&self, opener: Caller, opening: Opening) -> Result<Arc<Session>, CallError> {
        let id: Arc<str> = match seal::random_id() {
            Ok(id) => id.into(),
            Err(error) => {
                let failure = Failure::new(Kind::Overloaded, "No randomness").because(error);
                return Err(overloaded(failure));
            }
        };
        let budget = Budget { shares: self.kept.clone(), principal: opener.principal.id.clone() };
        let shared = self.shared.clone();
        Ok(Arc::new(Session::new(id, opener, opening, budget, shared)))
    }

    fn tell_audit(&self, event: &str, session: &Session) {
        self.shared.audit.event(event, |members| {
            who::caller(members, &session.opener);
            members.text("session", &who::session_name(&session.id));
            members
                .text("protocol", session.protocol.as_str())
                .maybe("portal", Some(session.portal.name()));
            members.text("revision", session.revision().as_str());
        });
    }

    /// A principal's session at this portal. Another principal's is treated as absent (attack T9).
    pub fn find(
        &self,
        id: &str,
        principal: &Principal,
        portal: Option<&Portal>,
    ) -> Option<Arc<Session>> {
        let session = self.open.lock().get(id).cloned()?;
        let fits = *session.opener.principal == *principal
            && portal.is_none_or(|portal| session.portal == *portal)
            && !session.closed.is_cancelled();
        fits.then(|| {
            session.touch();
            session
        })
    }

    /// Sends a notification on a session's listening stream, if the session is open here.
    pub fn tell(&self, id: &str, method: &str, params: &Object) {
        let Some(session) = self.open.lock().get(id).cloned() else { return };
        let text = message::notification(method, params);
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = session.main.push(&text) => {}
                () = session.closed.cancelled() => {}
            }
        });
    }

    /// Ends a session: its calls, its parked calls, its streams.
    pub fn end(&self, session: &Arc<Session>) {
        if self.open.lock().remove(&session.id).is_some() {
            self.tell_audit("session.end", session);
        }
        session.close();
        let (shared, id) = (self.shared.clone(), session.id.clone());
        self.shared.tasks.spawn(async move { shared.parking.end_session(&id).await });
    }

    /// Ends all sessions of a principal.
    pub fn end_all_of(&self, principal: &str) {
        let all: Vec<_> = {
            let open = self.open.lock();
            open.values()
                .filter(|session| *session.opener.principal.id == *principal)
                .cloned()
                .collect()
        };
        for session in all {
            self.end(&session);
        }
    }

    /// Ends sessions that were idle for too long.
    pub fn sweep(&self) {
        let patience = self.shared.timeouts.session.0;
        let idle: Vec<_> = {
            let open = self.open.lock();
            open.values().for_each(|session| session.forget_streams());
            open.values().filter(|session| session.is_idle_for(patience)).cloned().collect()
        };
        for session in idle {
            self.end(&session);
        }
    }

    /// Ends the listening streams at shutdown.
    pub fn close_streams(&self) {
        let all: Vec<_> = self.open.lock().values().cloned().collect();
        for session in all {
            // The single stream of HTTP+SSE carries the responses, too.
            if session.main.is_numbered() || !session.has_calls() {
                session.main.end();
            }
        }
    }

    pub fn close(&self) {
        let all: Vec<_> = self.open.lock().drain().map(|(_, session)| session).collect();
        for session in &all {
            self.tell_audit("session.end", session);
            session.close();
        }
    }
}
