//! Keeps a server in contact: looks for it, listens to it, and comes back to it with growing
//! pauses when it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, method};
use serde::Serialize;

use super::exchange::Deadline;
use super::session::Session;
use super::{Asked, Contact, Link, Server, jittered};
use crate::call::Failure;
use crate::settings::Start;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tools that are not shown, of which a state tells.
const MOST_LEFT_OUT: usize = 100;
/// A verdict that a server knows only the handshake is asked again after this: the server may have
/// been renewed.
const VERDICT_AGE: Duration = Duration::from_secs(60 * 60);

/// How a server is doing.
#[derive(Debug, Default)]
pub struct Health {
    failures: u32,
    last: Option<Failure>,
    retry_at: Option<Instant>,
    tried: bool,
    latency: Option<Duration>,
}

impl Health {
    /// Fails while the pause after a failure lasts, so that a dead server costs its callers
    /// nothing but an error.
    pub fn check(&self) -> Result<(), Failure> {
        match (&self.last, self.retry_at) {
            (Some(failure), Some(at)) if Instant::now() < at => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    pub fn failed(&mut self, failure: &Failure) {
        self.tried = true;
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_PAUSE * 2u32.saturating_pow((self.failures - 1).min(8));
        self.retry_at = Some(Instant::now() + jittered(pause.min(LONGEST_PAUSE)));
        self.last = Some(failure.clone());
    }

    /// Something has changed: it is worth looking again at once.
    fn renewed(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    fn succeeded(&mut self, latency: Duration) {
        *self = Self { tried: true, latency: Some(latency), ..Self::default() };
    }
}

/// A tool that is not shown.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    pub tool: String,
    pub why: String,
}

/// A server's state as it is told to people and machines.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    pub name: String,
    /// `up`, `down`, `starting` or `idle` (not used yet).
    pub state: &'static str,
    /// `modern`, `handshake`, or `both`: each client is answered in its own.
    pub era: Option<String>,
    pub revision: Option<String>,
    pub transport: Option<&'static str>,
    /// `closed`; `open` while it is left alone for its failures, `half_open` while it is tried again.
    pub circuit: &'static str,
    /// How long the last first contact took.
    pub latency_ms: Option<f64>,
    pub tools: Option<usize>,
    /// Tools that are not shown, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    pub prompts: Option<usize>,
    pub resources: Option<usize>,
    pub sessions: usize,
    /// Why it is down.
    pub problem: Option<String>,
    pub retry_in_ms: Option<u64>,
}

impl Server {
    /// Starts keeping the server in contact.
    pub fn keep(self: &Arc<Self>) {
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
                contact = self.contact() => match contact {
                    Ok(contact) => {
                        self.attend(&contact).await;
                        self.forget(&contact);
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

    /// Looks for the server now, for there is something new to show it.
    pub fn look_now(&self) {
        self.health.lock().renewed();
        self.wanted.notify_one();
        self.announce();
    }

    fn pause(&self) -> Duration {
        let at = self.health.lock().retry_at;
        at.map_or(FIRST_PAUSE, |at| at.saturating_duration_since(Instant::now()))
            .max(Duration::from_millis(50))
    }

    /// Stays with a server until the contact is lost.
    async fn attend(self: &Arc<Self>, contact: &Arc<Contact>) {
        self.prefetch().await;
        let lost = async {
            match &contact.link {
                Link::Sample => crate::sample::tick(self).await,
                // An API says nothing by itself.
                Link::Api(_) => std::future::pending().await,
                Link::Modern(way) => self.listen_modern(way, contact).await,
                Link::Http(_) | Link::EventStream(_) | Link::Process => {
                    self.listen_handshake().await;
                }
            }
        };
        tokio::select! {
            () = lost => tracing::info!(server = &*self.name, "lost contact with the server"),
            () = self.stop.cancelled() => {}
            () = self.old_verdict(contact) => {}
        }
    }

    async fn old_verdict(&self, contact: &Contact) {
        if contact.era == doorward_mcp::Era::Modern {
            return std::future::pending().await;
        }
        tokio::time::sleep(jittered(VERDICT_AGE)).await;
    }

    /// Fetches the lists ahead, so that the first client need not wait.
    async fn prefetch(&self) {
        let client = Client::default();
        let asked = self.own_request(method::TOOLS_LIST, &client);
        if let Err(error) = self.catalog.view(self, &asked).await {
            tracing::warn!(server = &*self.name, ?error, "the server's lists could not be fetched");
        }
    }

    /// A request of the gateway's own: it declares nothing, and belongs to local callers.
    pub(super) fn own_request<'a>(&self, method: &'a str, client: &'a Client) -> Asked<'a> {
        Asked {
            method,
            params: Object::new(),
            client,
            principal: crate::identity::LOCAL,
            own: None,
            session: None,
            handshake_client: false,
            retry: None,
            refused: &[],
            tool: None,
            traceparent: None,
            param_headers: None,
            deadline: Deadline::new(self.shared.timeouts.call.0, self.shared.timeouts.call.0),
        }
    }

    /// How to speak to the server: remembered, or found out now.
    pub async fn contact(&self) -> Result<Arc<Contact>, Failure> {
        if let Some(contact) = self.contact.load_full().filter(|contact| contact.is_usable()) {
            return Ok(contact);
        }
        self.wanted.notify_one();
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
        let found = tokio::time::timeout(patience, self.find()).await.unwrap_or_else(|_| {
            Err(Failure::new(Kind::Timeout, "The server did not answer the first question in time"))
        });
        match found {
            Ok((contact, session)) => {
                self.health.lock().succeeded(start.elapsed());
                tracing::info!(
                    server = &*self.name,
                    era = %contact.era,
                    revision = %contact.revision,
                    transport = contact.transport.as_str(),
                    latency_ms = start.elapsed().as_secs_f64() * 1e3,
                    "the server is up"
                );
                self.shared.audit.event("server.up", |members| {
                    members.text("server", &self.name).text("revision", contact.revision.as_str());
                    members.text("transport", contact.transport.as_str());
                });
                if let Some(session) = session {
                    let client = Client::default();
                    self.pool.adopt(
                        self,
                        &self.own_request(method::PING, &client),
                        session.clone(),
                    );
                    *self.base.lock() = Some(session);
                }
                let contact = Arc::new(contact);
                self.contact.store(Some(contact.clone()));
                self.announce();
                Ok(contact)
            }
            Err(failure) => {
                let mut health = self.health.lock();
                health.failed(&failure);
                if self.handshake_only {
                    // Most modern servers know no handshake; nothing is wrong with that.
                    tracing::debug!(
                        server = &*self.name,
                        "the server knows no handshake: {failure}"
                    );
                    return Err(failure);
                }
                tracing::warn!(
                    server = &*self.name,
                    kind = failure.kind.as_str(),
                    cause = failure.cause.as_deref().unwrap_or_default(),
                    retry_in_ms =
                        health.retry_at.map(|at| (at - Instant::now()).as_millis() as u64),
                    "the server is down: {failure}"
                );
                // Once, however often it is looked for.
                if health.failures == 1 {
                    self.shared.audit.event("server.down", |members| {
                        members.text("server", &self.name).text("error", failure.kind.as_str());
                    });
                }
                Err(failure)
            }
        }
    }

    /// Drops what is remembered, if it still is this.
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
            if let Link::Modern(super::Way::Pipe(pipe)) = &contact.link {
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

    /// Whether the first attempt to reach the server has ended, well or not.
    pub fn was_tried(&self) -> bool {
        self.settings.start == Start::Lazy || self.health.lock().tried
    }

    /// Closes sessions that nobody uses any more, and forgets tasks whose time is over.
    pub fn maintain(&self) {
        self.held.sweep();
        self.pool.sweep(self.shared.timeouts.server_session.0, self.base.lock().as_ref());
        if let Some(twin) = self.known_twin() {
            twin.maintain();
        }
    }

    /// Takes the server out of service. Calls in flight go on; new ones are refused.
    pub fn retire(&self) {
        self.stop.cancel();
    }

    fn close(&self) {
        if let Some(contact) = self.contact.swap(None) {
            if let Some(twin) = contact.known_twin() {
                twin.retire();
            }
            if let Link::Modern(super::Way::Pipe(pipe)) = &contact.link {
                pipe.end(Failure::new(Kind::Closing, "The server is being stopped"));
            }
        }
        self.base.lock().take();
        self.held.clear();
        self.pool.close();
    }

    fn left_out(&self) -> Vec<LeftOut> {
        let left_out = self.catalog.left_out().into_iter();
        left_out.take(MOST_LEFT_OUT).map(|(tool, why)| LeftOut { tool, why }).collect()
    }

    pub fn state(&self) -> State {
        let contact = self.known();
        let twin = self.known_twin();
        let health = self.health.lock();
        let counts = self.catalog.counts();
        State {
            name: self.name.to_string(),
            state: match (&contact, &health.last) {
                (Some(_), _) => "up",
                (None, Some(_)) => "down",
                (None, None) if self.settings.start == Start::Lazy => "idle",
                (None, None) => "starting",
            },
            era: contact.as_ref().map(|contact| match &twin {
                Some(_) => "both".into(),
                None => contact.era.to_string(),
            }),
            revision: contact.as_ref().map(|contact| contact.revision.to_string()),
            transport: contact.as_ref().map(|contact| contact.transport.as_str()),
            circuit: self.guard.circuit(),
            latency_ms: health.latency.map(|latency| latency.as_secs_f64() * 1e3),
            tools: counts.map(|counts| counts[0]),
            left_out: self.left_out(),
            prompts: counts.map(|counts| counts[1]),
            resources: counts.map(|counts| counts[2]),
            sessions: self.pool.len() + twin.map_or(0, |twin| twin.pool.len()),
            problem: health.last.as_ref().map(|failure| match &failure.cause {
                Some(cause) => format!("{failure} ({cause})"),
                None => failure.to_string(),
            }),
            retry_in_ms: health
                .retry_at
                .map(|at| at.saturating_duration_since(Instant::now()).as_millis() as u64),
        }
    }
}
