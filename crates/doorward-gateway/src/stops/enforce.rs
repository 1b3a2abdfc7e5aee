//! Applies stops: calls in flight are cancelled, and new ones refused.

use std::collections::HashSet;
use std::sync::Arc;

use doorward_governance::stops::{Stop, StopMode, Stopped};

use super::admit::{call_of, out_of_service};
use crate::call::Portal;
use crate::gateway::Gateway;
use crate::sessions::Session;
use doorward_observability::in_flight::Entry;
use doorward_upstream::Server;

/// Stopped sessions that still had calls when last checked.
#[derive(Debug, Default)]
pub struct Ending {
    generation: u64,
    waiting: HashSet<Arc<str>>,
}

impl Gateway {
    /// Applies the stops that are known now.
    pub(crate) fn obey(self: &Arc<Self>) {
        let _changing = self.emergency.changing.lock();
        let stopped = self.emergency.known.lock().compiled();
        let same = |before: &Stopped| {
            let ids = |of: &Stopped| of.iter().map(|stop| stop.id.clone()).collect::<HashSet<_>>();
            ids(before) == ids(&stopped)
        };
        if self.emergency.stops.current().map_or(stopped.is_empty(), |before| same(&before)) {
            return;
        }
        // Servers are restored before calls to them are admitted.
        let in_force = self.emergency.stops.current().unwrap_or_default();
        self.put_servers_back(&in_force, &stopped);
        let before = self.emergency.stops.replace(stopped);
        let now = self.emergency.stops.current().unwrap_or_default();
        tell(&before, &now);
        self.take_servers_out(&before, &now);
        self.end_calls(&now);
        self.end_listening(&before, &now);
    }

    fn put_servers_back(&self, before: &Stopped, now: &Stopped) {
        for server in self.servers() {
            let was_out = out_of_service(before, &server).is_some();
            if was_out && out_of_service(now, &server).is_none() {
                self.renew_server(&server);
            }
        }
    }

    /// Takes stopped servers out of service.
    fn take_servers_out(self: &Arc<Self>, before: &Stopped, now: &Stopped) {
        for server in self.servers() {
            let was = out_of_service(before, &server).map(|stop| stop.mode);
            let is = out_of_service(now, &server).map(|stop| stop.mode);
            match (was, is) {
                (None | Some(StopMode::LetEnd), Some(StopMode::Cancel)) => {
                    server.end_tasks(&|_| true);
                    server.retire();
                }
                (None, Some(StopMode::LetEnd)) => {
                    self.shared.tasks.spawn(server.drain());
                }
                _ => {}
            }
        }
    }

    fn end_calls(self: &Arc<Self>, now: &Stopped) {
        if now.is_empty() {
            return;
        }
        self.live.cancel(|entry| concerns(now, entry).is_some_and(cancels));
        for server in self.servers() {
            server.end_tasks(&|call| call_of(now, call).is_some_and(cancels));
        }
        // A call that waits for its client would continue with a new request, which is refused.
        let gateway = self.clone();
        self.shared.tasks.spawn(async move {
            let Some(stopped) = gateway.emergency.stops.current() else { return };
            gateway.shared.parking.end_calls(|call| call_of(&stopped, call).is_some()).await;
        });
    }

    fn end_listening(&self, before: &Stopped, now: &Stopped) {
        let board = &self.shared.switchboard;
        let everything = now.everything().is_some();
        if everything || now.iter().any(|stop| stop.target.kind.is_caller()) {
            board.close_callers(|caller| everything || now.caller(&caller.facts()).is_some());
        }
        for server in self.servers() {
            if out_of_service(now, &server).is_some() {
                board.close_portal(&server.name);
            }
        }
        let of_servers = |stopped: &Stopped| {
            stopped.iter().any(|stop| stop.target.server().is_some()).then_some(())
        };
        if of_servers(before).or(of_servers(now)).is_some() {
            self.lists_changed();
            board.renew();
        }
    }

    /// Ends stopped sessions: those without calls at once, others when their calls have ended or
    /// were reported as cancelled.
    pub(super) fn end_what_is_stopped(&self, ending: &mut Ending) {
        let Some(stopped) = self.emergency.stops.current() else {
            ending.waiting.clear();
            return;
        };
        let generation = self.emergency.stops.generation();
        if ending.generation == generation && ending.waiting.is_empty() {
            return;
        }
        ending.generation = generation;
        let mut waiting = HashSet::new();
        for session in self.sessions.all() {
            let Some(stop) = self.stop_of_session(&stopped, &session) else { continue };
            let told = stop.mode == StopMode::Cancel && ending.waiting.contains(&session.id);
            if told || !session.has_calls() {
                self.sessions.end(&session);
            } else {
                waiting.insert(session.id.clone());
            }
        }
        ending.waiting = waiting;
    }

    fn stop_of_session<'a>(
        &self,
        stopped: &'a Stopped,
        session: &Session,
    ) -> Option<&'a Arc<Stop>> {
        let of_caller = stopped.caller(&session.opener.principal.facts());
        let of_portal = || {
            let Portal::Server(name) = &session.portal else { return None };
            out_of_service(stopped, &*self.server(name)?)
        };
        stopped.everything().or(of_caller).or_else(of_portal)
    }

    /// Replaces a server that was out of service by a newly started one.
    fn renew_server(&self, old: &Arc<Server>) {
        let generation = self.lists_generation();
        let new = Server::new(&old.name, old.settings.clone(), self.shared.clone(), generation);
        new.keep();
        self.replace_server(&new);
        self.shared.tasks.spawn(old.clone().drain());
    }
}

fn cancels(stop: &Arc<Stop>) -> bool {
    stop.mode == StopMode::Cancel
}

/// The stop that covers a call in flight.
fn concerns<'a>(stopped: &'a Stopped, entry: &Entry) -> Option<&'a Arc<Stop>> {
    let of_target = || match &*entry.method {
        doorward_mcp::method::TOOLS_CALL => stopped.tool(&entry.server, &entry.target),
        _ => stopped.server(&entry.server),
    };
    let facts = entry.principal.facts();
    let owner = facts.kind.map(|kind| (kind.as_str(), facts.id));
    stopped
        .everything()
        .or_else(|| stopped.caller(&facts))
        .or_else(of_target)
        .or_else(|| stopped.credential(&entry.server, owner).filter(|_| entry.presents))
}

/// Logs the changes for operators.
fn tell(before: &Stopped, now: &Stopped) {
    let ids = |of: &Stopped| of.iter().map(|stop| stop.id.clone()).collect::<HashSet<_>>();
    let (old, new) = (ids(before), ids(now));
    for stop in now.iter().filter(|stop| !old.contains(&stop.id)) {
        let (why, by, mode) = (&stop.why, &stop.by, stop.mode.as_str());
        tracing::warn!(stop = stop.id, target = %stop.target, why, by, mode, "stopped");
    }
    for stop in before.iter().filter(|stop| !new.contains(&stop.id)) {
        tracing::warn!(stop = stop.id, target = %stop.target, "not stopped any more");
    }
}
