//! Servers: detected, connected and called.
//!
//! A [`Server`] takes a call in its modern form and returns a modern result, whatever the server behind it supports.
//! Everything that differs between eras and transports is below here.

pub mod answer;
mod api;
pub mod call_error;
mod calls;
pub mod catalog;
mod changes;
mod contact;
mod credential;
mod event_stream;
pub mod exchange;
mod handshake;
mod health;
pub mod http;
mod inbound;
mod listening;
mod modern;
mod opening;
pub mod parking;
mod pipe;
mod pool;
pub mod portals;
mod prestarted;
mod probe;
pub mod process;
mod programs;
mod redirects;
pub mod reliability;
mod replicas;
pub mod sample;
pub mod server_info;
pub mod session;
mod session_loss;
pub mod state;
mod status;
mod subscriptions;
mod supervisor;
pub mod switchboard;
mod task_wait;
mod tasks;
mod twin;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use doorward_mcp::error::Kind;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, RpcError, Value, method};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::exchange::Deadline;
use self::http::{Endpoint, Own};
use self::modern::Way;
use self::parking::ParkingLot;
use self::pool::Pool;
use self::prestarted::Prestarted;
use self::process::ProcessCount;
use self::replicas::{Replica, Replicas};
use self::session::Session;
use self::subscriptions::{Interest, WANTED_BYTES};
use self::supervisor::Health;
use self::tasks::Held;
use crate::call_error::CallError;
use crate::catalog::{Catalog, ToolEntry};
use crate::reliability::Guard;
use crate::switchboard::Switchboard;
use doorward_cache::Cache;
use doorward_config::{Limits, ServerSettings, Timeouts};
use doorward_core::memory::Memory;
use doorward_core::share::Shares;
use doorward_core::{Events, Failure};
use doorward_identity::delegation::Delegations;
use doorward_identity::seal::{self, Sealer};
use doorward_observability::audit::Audit;
use doorward_observability::audit::members::Members;
use doorward_observability::metrics::ServerMetrics;

pub use self::contact::{Contact, Link, Transport};
pub use self::pool::declared;
pub use self::programs::Programs;
pub use self::replicas::{Chosen, End};
pub use self::status::State;
pub use self::subscriptions::Subscription;

/// What all servers of a gateway share.
pub struct Shared {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub sealer: Sealer,
    pub parking: ParkingLot,
    pub processes: Arc<ProcessCount>,
    /// Programs that were started for somebody's sessions.
    pub programs: Arc<Programs>,
    pub memory: Memory,
    /// Bytes that are held for clients: what they subscribe to, and questions that wait for them.
    pub held: Arc<Shares>,
    /// Bytes of the lists of all servers.
    pub view_bytes: Arc<catalog::ViewBytes>,
    pub switchboard: Arc<Switchboard>,
    pub audit: Arc<Audit>,
    pub cache: Cache,
    pub http: Arc<doorward_net::clients::Clients>,
    /// What users have let the gateway do for them.
    pub delegations: Arc<Delegations>,
    pub metrics: doorward_observability::metrics::Metrics,
    /// The gateway as a client: `{name, version}`.
    pub info: Value,
    /// Tasks that outlive a call; waited for at shutdown.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// One request to a server, in the modern form and with the server's own names.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub method: &'a str,
    pub params: Object,
    pub client: &'a Client,
    pub principal: &'a str,
    /// What the caller has given for this server.
    pub own: Option<Own>,
    /// The client's session, where it has one.
    pub session: Option<Arc<str>>,
    /// The client is of the handshake era, which does not know the tasks extension.
    pub handshake_client: bool,
    pub retry: Option<&'a Retry>,
    /// Questions a handshake-era client answered with an error.
    pub refused: &'a [(String, RpcError)],
    pub deadline: Deadline,
    /// The trace that the call belongs to, for servers over HTTP (W3C Trace Context).
    pub traceparent: Option<String>,
    /// For `tools/call`: what routing found in the catalogue.
    pub tool: Option<Arc<ToolEntry>>,
    /// `Mcp-Param-*` headers the client sent, for a tool of which nothing is known here.
    pub param_headers: Option<&'a ::http::HeaderMap>,
}

/// One server behind the gateway.
#[derive(Debug)]
pub struct Server {
    pub name: Arc<str>,
    pub settings: ServerSettings,
    pub shared: Arc<Shared>,
    pub catalog: Arc<Catalog>,
    pub metrics: ServerMetrics,
    endpoint: Option<Endpoint>,
    /// The server is spoken to in the handshake era's words only, for clients of that era.
    handshake_only: bool,
    this: Weak<Self>,
    notices: changes::Notices,
    contact: ArcSwapOption<Contact>,
    /// Held while the server is being looked for.
    finding: tokio::sync::Mutex<()>,
    health: Mutex<Health>,
    pool: Pool,
    prestarted: Prestarted,
    /// Tasks of a handshake-era server.
    held: Held,
    /// The session that listens, with a handshake-era server.
    base: Mutex<Option<Arc<Session>>>,
    interest: Interest,
    ids: Arc<AtomicI64>,
    pub guard: Guard,
    /// What it is reached by and shown, in a few bytes.
    pub fingerprint: [u8; 32],
    /// Counts what was changed at it.
    changes: Arc<AtomicU64>,
    /// Its results say for how long they are good.
    hints: Arc<AtomicBool>,
    /// Its program trips over `server/discover`, which is unknown to it: it is greeted by `initialize`.
    trips_over_discover: AtomicBool,
    /// It keeps something in sessions.
    stateful: Arc<AtomicBool>,
    /// It answers requests on the stream on which a session listens.
    answers_elsewhere: Arc<AtomicBool>,
    /// It is one of several.
    replica: Option<Replica>,
    /// It is several.
    replicas: Option<Replicas>,
    /// Woken when it seems to be gone, so that somebody looks; and when it is.
    doubted: tokio::sync::Notify,
    lost: tokio::sync::Notify,
    /// The server sends requests of its own that name no call.
    asks: Arc<AtomicBool>,
    /// Counts changes of the catalogue, over all servers.
    generation: Arc<AtomicU64>,
    /// Woken at the first use of a server that starts lazily.
    wanted: tokio::sync::Notify,
    stop: CancellationToken,
    in_flight: AtomicUsize,
}

/// What a server is made of.
struct Parts<'a> {
    name: &'a str,
    settings: ServerSettings,
    shared: Arc<Shared>,
    generation: Arc<AtomicU64>,
    endpoint: Option<Endpoint>,
    handshake_only: bool,
    catalog: Arc<Catalog>,
    stateful: Arc<AtomicBool>,
    hints: Arc<AtomicBool>,
    replica: Option<Replica>,
}

/// Counts a call while it lasts.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    pub fn new(
        name: &str,
        settings: ServerSettings,
        shared: Arc<Shared>,
        generation: Arc<AtomicU64>,
    ) -> Arc<Self> {
        let endpoint = Endpoint::of(name, &shared, &settings);
        Self::build(Parts {
            name,
            settings,
            shared,
            generation,
            endpoint,
            handshake_only: false,
            catalog: Arc::default(),
            stateful: Arc::default(),
            hints: Arc::default(),
            replica: None,
        })
    }

    fn build(parts: Parts<'_>) -> Arc<Self> {
        let Parts { name, settings, shared, .. } = parts;
        let interest = shared.limits.shared(WANTED_BYTES);
        Arc::new_cyclic(|this| Self {
            handshake_only: parts.handshake_only,
            name: name.into(),
            endpoint: parts.endpoint,
            metrics: shared.metrics.server(name),
            guard: Guard::new(&settings.reliability),
            fingerprint: seal::sha256(&serde_json::to_vec(&settings).unwrap_or_default()),
            changes: shared.cache.changes_of(name),
            hints: parts.hints,
            trips_over_discover: AtomicBool::new(false),
            stateful: parts.stateful,
            answers_elsewhere: Arc::default(),
            replica: parts.replica,
            replicas: Replicas::of(&settings),
            doubted: tokio::sync::Notify::new(),
            lost: tokio::sync::Notify::new(),
            settings,
            shared,
            catalog: parts.catalog,
            this: this.clone(),
            notices: changes::Notices::default(),
            contact: ArcSwapOption::empty(),
            finding: tokio::sync::Mutex::default(),
            health: Mutex::default(),
            pool: Pool::default(),
            prestarted: Prestarted::default(),
            held: Held::default(),
            base: Mutex::default(),
            interest: Interest::new(interest),
            ids: Arc::new(AtomicI64::new(1)),
            asks: Arc::default(),
            generation: parts.generation,
            wanted: tokio::sync::Notify::new(),
            stop: CancellationToken::new(),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// What is known of the server now, without looking for it.
    pub fn known(&self) -> Option<Arc<Contact>> {
        match &self.replicas {
            None => self.contact.load_full(),
            Some(replicas) => replicas.reachable()?.known(),
        }
    }

    /// Lets a server that starts at its first use start now, and waits for nothing.
    pub fn wake(&self) {
        self.wanted.notify_one();
        self.members().iter().for_each(|member| member.wake());
    }

    /// Its replicas.
    fn members(&self) -> Vec<Arc<Self>> {
        self.replicas.as_ref().map(Replicas::members).unwrap_or_default()
    }

    /// How long a request may take; a tool's own timeout comes before the server's.
    pub fn deadline(&self, method: &str, params: &Object) -> Deadline {
        let tool = (method == method::TOOLS_CALL && !self.settings.tool_timeouts.is_empty())
            .then(|| self.settings.tool_timeouts.get(params.string("name")?.as_ref()))
            .flatten();
        let (idle, idle_setting) = match (tool, &self.settings.timeout) {
            (Some(tool), _) => (tool, "the server's 'tool_timeouts'"),
            (None, Some(server)) => (server, "the server's 'timeout'"),
            (None, None) => (&self.shared.timeouts.call, "'timeouts.call'"),
        };
        let reliability = &self.settings.reliability;
        let total = reliability.total.map(|total| total.0);
        let (longest, longest_setting) = match total {
            Some(total) => (total, "'reliability.total'"),
            None => (self.shared.timeouts.call_with_progress.0, "'timeouts.call_with_progress'"),
        };
        let idle_setting =
            if total.is_some_and(|total| total <= idle.0) { longest_setting } else { idle_setting };
        Deadline::new(total.map_or(idle.0, |total| idle.0.min(total)), longest)
            .beginning_within(reliability.first_byte.map(|first| first.0))
            .set_by(idle_setting, longest_setting)
    }

    /// Asks the server. The events of the run go to `events`, with the client's back-pressure;
    /// dropping the future cancels the request at the server.
    pub async fn ask(&self, asked: &Asked<'_>, events: &Events) -> Result<Object, CallError> {
        if self.replicas.is_some() {
            let member = self.asker(asked).await?;
            return Box::pin(member.ask(asked, events)).await;
        }
        let _in_flight = InFlight::enter(&self.in_flight);
        for attempt in 0..2 {
            let contact = self.contact().await?;
            let outcome = match &contact.link {
                Link::Sample => crate::sample::ask(self, asked, events).await,
                Link::Api(api) => self.ask_api(api, asked).await,
                Link::Modern(way) => {
                    self.ask_modern(&way.shown(asked.own.as_ref()), asked, events).await
                }
                Link::Http(_) | Link::EventStream(_) | Link::Process => {
                    self.ask_handshake(&contact, asked, events).await
                }
            };
            match outcome {
                // What is remembered of the server proved wrong, and nothing was done.
                Err(CallError::Gateway(failure)) if failure.era_in_doubt && attempt == 0 => {
                    tracing::info!(
                        server = &*self.name,
                        "the server changed its era; detecting it again"
                    );
                    self.forget(&contact);
                }
                other => return other,
            }
        }
        Err(Failure::new(
            Kind::InvalidMessage,
            "The server does not speak the protocol it announces",
        )
        .into())
    }

    /// Calls in flight, in either era.
    pub fn in_flight(&self) -> usize {
        let own = self.in_flight.load(Ordering::Acquire);
        if self.replicas.is_some() {
            return own + self.members().iter().map(|member| member.in_flight()).sum::<usize>();
        }
        if self.replica.is_some() {
            return own;
        }
        own + self.known_twin().map_or(0, |twin| twin.in_flight())
    }

    pub fn is_busy(&self) -> bool {
        self.in_flight() > 0
    }

    pub(crate) fn next_id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the server's own requests were seen to name no call, so that calls which can be
    /// interrupted must come one at a time.
    fn needs_lease(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// Records what has happened to the server; of a replica, to which.
    pub(crate) fn event(&self, name: &str, more: impl FnOnce(&mut Members)) {
        self.shared.audit.event(name, |members| {
            members.text("server", &self.name);
            if let Some(place) = self.place() {
                members.text("replica", &place);
            }
            more(members);
        });
    }
}

/// Half to three halves of a pause, so that many who wait do not come back together.
pub fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + random)
}
