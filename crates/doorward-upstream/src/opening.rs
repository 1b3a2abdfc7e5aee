//! Opens sessions with a handshake-era server if the pool has none, and starts the programs behind some of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use doorward_mcp::error::Kind;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, capabilities, method};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::DropGuard;

use super::pool::{Common, Pool, Pooled, Slot, full};
use super::prestarted::REST;
use super::session::open::{OpenError, Opening};
use super::session::{self, Session};
use super::way::Way;
use super::{Asked, Contact, Link, Server, probe};
use doorward_config::ClientCapabilities;
use doorward_core::Failure;
use doorward_core::share::{Full, Held, sharer};
use doorward_transport::http::{Bounds, Own};
use doorward_transport::pipe::Pipe;
use doorward_transport::process;

impl Server {
    pub(super) fn start_process(&self) -> Result<Arc<Pipe>, Failure> {
        let deviations = self.shared.metrics.deviations(&self.name);
        let bounds = Bounds::new(&self.shared.limits).counting(deviations);
        let count = &self.shared.processes;
        let audit = self.shared.audit.clone();
        process::start(&self.name, &self.settings, bounds, count, self.inbound(), audit)
    }

    /// Opens a session that declares what the client declared.
    pub(super) async fn open_session(
        &self,
        contact: &Contact,
        client_capabilities: &Object,
        client: &Client,
        own: Option<&Own>,
    ) -> Result<Arc<Session>, Failure> {
        self.health.lock().check()?;
        let opened = async {
            let over = self.connect(&contact.link, own).await?;
            self.open_over(over, client_capabilities, client).await
        };
        match opened.await {
            Ok(session) => {
                self.stateful.fetch_or(session.is_stateful(), Ordering::AcqRel);
                // Servers may send requests outside any request's stream, which needs a listening stream.
                if capabilities::is_interactive(client_capabilities)
                    || self.answers_elsewhere.load(Ordering::Relaxed)
                {
                    self.shared.tasks.spawn(session.clone().listen());
                }
                Ok(session)
            }
            Err(error) => {
                let doubt = matches!(error, OpenError::NotSpoken(_) | OpenError::Rpc(_));
                let failure = Failure { era_in_doubt: doubt, ..probe::open_failure(error) };
                // A rejected user-provided credential says nothing about the server's health.
                if own.is_none() || failure.kind != Kind::Unauthorized {
                    self.health.lock().failed(&failure, self.longest_pause());
                }
                Err(failure)
            }
        }
    }

    pub(super) async fn open_over(
        &self,
        link: session::Link,
        client_capabilities: &Object,
        client: &Client,
    ) -> Result<Arc<Session>, OpenError> {
        // If the session cannot be opened, leave no program or stream behind.
        let unused = match &link {
            session::Link::Pipe(pipe) => Some(pipe.stop.clone().drop_guard()),
            session::Link::Http { .. } => None,
        };
        let declared =
            capabilities::client_to_handshake(client_capabilities, Revision::NEWEST_HANDSHAKE);
        let info = client.info.clone().unwrap_or_else(|| self.shared.info.clone());
        let session = Session::open(Opening {
            link,
            capabilities: &declared,
            client_info: info,
            ids: self.ids.clone(),
            queue: self.shared.limits.queue,
            within: self.shared.timeouts.connect.0 + self.shared.timeouts.probe.0 * 4,
            deviations: self.shared.metrics.deviations(&self.name),
            answers_elsewhere: self.answers_elsewhere.clone(),
        })
        .await?;
        self.capability_use.opened(&declared, &session.about);
        let _ = unused.map(DropGuard::disarm);
        Ok(session)
    }

    /// The sessions for a call (setting `client_capabilities`).
    fn slot(&self, pool: &Pool, asked: &Asked<'_>) -> Arc<Slot> {
        let affinity = self.settings.affinity;
        match self.settings.client_capabilities {
            ClientCapabilities::Separate => pool.slot(affinity, asked, &Common::No),
            ClientCapabilities::Shared => {
                pool.slot(affinity, asked, &Common::All(capabilities::everything()))
            }
            ClientCapabilities::Auto if !self.capability_use.may_share() => {
                pool.slot(affinity, asked, &Common::No)
            }
            ClientCapabilities::Auto => {
                let declares = |wanted: &Object| {
                    let union = self.capability_use.union()?;
                    (self.catalog.lists_agree() && capabilities::covers(&union, wanted))
                        .then_some(union)
                };
                pool.slot(affinity, asked, &Common::Of(&declares))
            }
        }
    }

    /// Returns a program for a session: a prestarted one, or a new one.
    pub(super) fn program(&self) -> Result<Arc<Pipe>, Failure> {
        let taken = self.prestarted.take();
        let program = taken.map_or_else(|| self.start_process(), Ok);
        self.prestart();
        program
    }

    /// Starts missing programs, once the program has been shown to work.
    pub(super) fn prestart(&self) {
        let wanted = self.settings.prestart;
        if wanted == 0 || self.stop.is_cancelled() {
            return;
        }
        let works = matches!(
            self.known().as_deref(),
            Some(Contact { link: Link::Process | Link::Modern(Way::Pipe(_)), .. })
        );
        self.prestarted.drop_ended();
        if !works || self.prestarted.rest() {
            return;
        }
        let mut idle = self.prestarted.idle.lock();
        while idle.len() < wanted {
            match self.start_process() {
                Ok(pipe) => idle.push(pipe),
                Err(failure) => {
                    tracing::debug!(server = &*self.name, "cannot prestart the program: {failure}");
                    *self.prestarted.rests_until.lock() = Some(Instant::now() + REST);
                    return;
                }
            }
        }
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
        let slot = server.slot(self, asked);
        // In a shared session a request may belong to any call, even of a client that cannot be asked.
        let leased = server.needs_lease()
            && method::may_ask_for_input(asked.method)
            && (slot.is_common || capabilities::is_interactive(&asked.client.capabilities));
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
            // Programs without a session count towards the limit of processes, too.
            if place.is_some()
                && shared.processes.is_full()
                && shared.programs.give_way(Full::Whole, asked.principal)
            {
                shared.processes.freed().await;
            }
            let (client, own) = (asked.client, asked.own.as_ref());
            let opening = server.open_session(contact, &slot.declares, client, own);
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

    /// Makes room for another session of a caller, and for its program. If the caller's share or
    /// the overall limit is reached, an idle one is closed: among the sessions with this server, or
    /// among the programs of all servers.
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
}
