//! Keeps a server connected: detects it, listens to it, and reconnects with growing delays when it
//! is down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, method};

use super::health::FIRST_PAUSE;
use super::session::Session;
use super::way::Way;
use super::{Asked, Contact, Link, Server, jittered};
use doorward_config::Start;
use doorward_core::Failure;
use doorward_core::deadline::Deadline;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A server that was detected as handshake-only is detected again after this time, because it may
/// have been upgraded.
const VERDICT_AGE: Duration = Duration::from_secs(60 * 60);

impl Server {
    /// Starts the server's supervision.
    pub fn keep(self: &Arc<Self>) {
        if self.replicas.is_some() {
            return self.keep_replicas();
        }
        self.shared.tasks.spawn(self.clone().run());
    }

    async fn run(self: Arc<Self>) {
        if self.settings.start == Start::Lazy {
            tokio::select! {
                () = self.wanted.notified() => {}
                () = self.stop.cancelled() => return,
            }
        }
        while !self.stop.is_cancelled() {
            let pause = tokio::select! {
                contact = self.look() => match contact {
                    Ok(contact) => {
                        let lost = self.attend(&contact).await;
                        self.forget(&contact);
                        if let Some(failure) = lost {
                            self.is_down(&failure);
                        }
                        FIRST_PAUSE
                    }
                    Err(_) => self.pause(),
                },
                () = self.stop.cancelled() => break,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
                () = self.stop.cancelled() => break,
            }
        }
        self.close();
    }

    /// Reconnects now, because something has changed, such as the credential presented to the
    /// server.
    pub fn look_now(&self) {
        self.members().iter().for_each(|member| member.look_now());
        self.health.lock().renewed();
        self.wanted.notify_one();
        self.announce();
    }

    /// The maximum delay between reconnects to a server that is down: for a replica, at most the
    /// interval of its health checks.
    pub(super) fn longest_pause(&self) -> Duration {
        let settings = self.health_settings().filter(|_| self.replica.is_some());
        settings.map_or(LONGEST_PAUSE, |settings| settings.interval.0.max(FIRST_PAUSE))
    }

    fn pause(&self) -> Duration {
        let at = self.health.lock().retry_at;
        at.map_or(FIRST_PAUSE, |at| at.saturating_duration_since(Instant::now()))
            .max(Duration::from_millis(50))
    }

    /// Serves a contact until it is lost. Returns why, if the server does not respond.
    async fn attend(self: &Arc<Self>, contact: &Arc<Contact>) -> Option<Failure> {
        // Replicas share the lists: one that differs from the approved definitions must not fill
        // them.
        if !self.differs() {
            self.prefetch().await;
        }
        let lost = async {
            match &contact.link {
                Link::Sample => crate::sample::tick(self).await,
                // An API sends no messages on its own.
                Link::Api(_) => std::future::pending().await,
                Link::Modern(way) => self.listen_modern(way, contact).await,
                Link::Http(_) | Link::EventStream(_) | Link::Process => {
                    self.listen_handshake().await;
                }
            }
        };
        tokio::select! {
            () = lost => tracing::info!(server = &*self.name, "lost contact with the server"),
            failure = self.watch_health(contact) => return Some(failure),
            () = self.stop.cancelled() => {}
            () = self.old_verdict(contact) => {}
        }
        None
    }

    /// The server is down: calls that wait for it fail, or go to another replica if they may.
    fn is_down(&self, failure: &Failure) {
        let (first, pause) = {
            let mut health = self.health.lock();
            health.failed(failure, self.longest_pause());
            let pause = health.retry_at.map(|at| (at - Instant::now()).as_millis() as u64);
            (health.failures == 1, pause)
        };
        self.lost.notify_waiters();
        let cause = failure.cause.as_deref().unwrap_or_default();
        // Log once, however often the server is tried.
        if !first {
            tracing::debug!(
                server = &*self.name,
                replica = self.place(),
                cause,
                retry_in_ms = pause,
                "the server is still down: {failure}"
            );
            return;
        }
        tracing::warn!(
            server = &*self.name,
            replica = self.place(),
            kind = failure.kind.as_str(),
            cause,
            retry_in_ms = pause,
            "the server is down: {failure}"
        );
        self.event("server.down", |members| _ = members.text("error", failure.kind.as_str()));
    }

    async fn old_verdict(&self, contact: &Contact) {
        if contact.era == doorward_mcp::Era::Modern {
            return std::future::pending().await;
        }
        tokio::time::sleep(jittered(VERDICT_AGE)).await;
    }

    /// Fetches the lists in advance, so that the first client need not wait.
    pub(crate) async fn prefetch(&self) {
        let client = Client::default();
        let asked = self.own_request(method::TOOLS_LIST, &client);
        if let Err(error) = self.catalog.view(self, &asked).await {
            tracing::warn!(
                server = &*self.name,
                error = error.logged(),
                "the server's lists could not be fetched"
            );
        }
    }

    /// A request of the gateway's own, without client capabilities and as the local principal.
    pub fn own_request<'a>(&self, method: &'a str, client: &'a Client) -> Asked<'a> {
        Asked {
            method,
            params: Object::new(),
            client,
            principal: doorward_identity::identity::LOCAL,
            caller: None,
            own: None,
            session: None,
            handshake_client: false,
            retry: None,
            classes: None,
            tenant: None,
            refused: &[],
            tool: None,
            traceparent: None,
            param_headers: None,
            deadline: Deadline::within(self.shared.timeouts.own_request()),
        }
    }

    /// The server's contact: the current one, or detected now.
    pub async fn contact(&self) -> Result<Arc<Contact>, Failure> {
        if let Some(replicas) = &self.replicas {
            return match replicas.reachable() {
                Some(member) => Box::pin(member.contact()).await,
                None => Box::pin(self.contact_of_any(replicas)).await,
            };
        }
        if let Some(contact) = self.contact.load_full().filter(|contact| contact.is_usable()) {
            return Ok(contact);
        }
        self.health.lock().check()?;
        self.wanted.notify_one();
        self.look().await
    }

    /// The same for the supervisor, which needs no wake-up.
    async fn look(&self) -> Result<Arc<Contact>, Failure> {
        let _finding = self.finding.lock().await;
        if let Some(contact) = self.contact.load_full().filter(|contact| contact.is_usable()) {
            return Ok(contact);
        }
        if self.stop.is_cancelled() {
            return Err(Failure::new(Kind::Closing, "The server is being taken out of service"));
        }
        self.health.lock().check()?;
        let start = Instant::now();
        let patience = self.shared.timeouts.connect.0 + self.shared.timeouts.probe.0 * 6;
        // Boxed, as is everything large and rare: otherwise each call's future would reserve room
        // for it.
        let finding = Box::pin(self.find());
        let found = tokio::time::timeout(patience, finding).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Kind::Timeout,
                "The server did not respond in time when its era was detected",
            ))
        });
        match found {
            Ok((contact, session)) => {
                self.health.lock().succeeded(start.elapsed());
                self.is_back();
                tracing::info!(
                    server = &*self.name,
                    era = %contact.era,
                    revision = %contact.revision,
                    transport = contact.transport.as_str(),
                    replica = self.place(),
                    latency_ms = doorward_core::millis(start.elapsed()),
                    "the server is up"
                );
                self.event("server.up", |members| {
                    members.text("revision", contact.revision.as_str());
                    members.text("transport", contact.transport.as_str());
                });
                if let Some(session) = session {
                    self.stateful.fetch_or(session.is_stateful(), Ordering::AcqRel);
                    let client = Client::default();
                    self.pool.adopt(
                        self.settings.affinity,
                        &self.own_request(method::PING, &client),
                        session.clone(),
                    );
                    *self.base.lock() = Some(session);
                }
                self.judge_about(contact.era, &contact.about).await;
                let contact = Arc::new(contact);
                self.doubt_definitions();
                self.contact.store(Some(contact.clone()));
                if let Err(failure) = Box::pin(self.compare(&contact)).await {
                    self.forget(&contact);
                    self.is_down(&failure);
                    return Err(failure);
                }
                self.announce();
                Ok(contact)
            }
            Err(failure) => {
                if self.handshake_only {
                    self.health.lock().failed(&failure, LONGEST_PAUSE);
                    // Most modern servers do not support the handshake era, which is no error.
                    tracing::debug!(
                        server = &*self.name,
                        "the server does not support the handshake: {failure}"
                    );
                    return Err(failure);
                }
                self.is_down(&failure);
                Err(failure)
            }
        }
    }

    /// Drops the contact, if it is still the current one.
    pub(super) fn forget(&self, contact: &Arc<Contact>) {
        let current = self.contact.load_full();
        if current.is_some_and(|current| Arc::ptr_eq(&current, contact)) {
            self.contact.store(None);
            if let Some(twin) = contact.known_twin() {
                twin.retire();
            }
            if let Some(base) = self.base.lock().take() {
                self.pool.forget(&base);
            }
            if let Link::Modern(Way::Pipe(pipe)) = &contact.link {
                pipe.end(Failure::new(
                    Kind::StreamEnded,
                    "The server's program is being restarted",
                ));
            }
        }
    }

    pub(super) fn base_session(&self) -> Option<Arc<Session>> {
        self.base.lock().clone()
    }

    /// Whether the first attempt to reach the server has ended, successfully or not.
    pub fn was_tried(&self) -> bool {
        if let Some(replicas) = &self.replicas {
            return replicas.were_tried();
        }
        self.settings.start == Start::Lazy || self.health.lock().tried
    }

    /// Closes idle sessions, and drops expired tasks.
    pub fn maintain(&self) {
        let idle = self.shared.timeouts.server_session.0;
        if let Some(replicas) = &self.replicas {
            return replicas.maintain(idle);
        }
        self.held.sweep();
        self.compare_in_time();
        self.prestart();
        self.pool.sweep(idle, self.base.lock().as_ref());
        if let Some(twin) = self.known_twin() {
            twin.maintain();
        }
    }

    /// Whether the server was taken out of service.
    pub fn is_retired(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Takes the server out of service. Calls in flight continue; new ones are refused.
    pub fn retire(&self) {
        self.stop.cancel();
        self.members().iter().for_each(|member| member.retire());
    }

    /// Closes the server once its calls have ended, or the time for that has passed.
    pub async fn drain(self: Arc<Self>) {
        let end = tokio::time::Instant::now() + self.shared.timeouts.drain.0;
        while self.is_busy() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.retire();
    }

    /// Closes all connections, for a server without supervision.
    pub fn close(&self) {
        if let Some(contact) = self.contact.swap(None) {
            if let Some(twin) = contact.known_twin() {
                twin.retire();
            }
            if let Link::Modern(Way::Pipe(pipe)) = &contact.link {
                pipe.end(Failure::new(Kind::Closing, "The server is being stopped"));
            }
        }
        self.base.lock().take();
        self.held.clear();
        self.prestarted.close();
        self.pool.close();
    }
}
