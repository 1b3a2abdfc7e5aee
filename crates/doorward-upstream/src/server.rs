//! One server behind the gateway: its state, and what it shares with other servers.
//!
//! Its behaviour is in other files, each of which adds methods for one purpose.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::contact::Contact;
use super::health::Health;
use super::notices::Notices;
use super::pool::Pool;
use super::prestarted::Prestarted;
use super::reliability::Guard;
use super::replicas::{Replica, Replicas};
use super::session::Session;
use super::shared::Shared;
use super::subscriptions::{Interest, WANTED_BYTES};
use super::task_store::Held;
use doorward_config::ServerSettings;
use doorward_core::capability_use::CapabilityUse;
use doorward_identity::seal;
use doorward_observability::audit::members::Members;
use doorward_observability::metrics::ServerMetrics;
use doorward_transport::http::Endpoint;

/// One server behind the gateway.
#[derive(Debug)]
pub struct Server {
    pub name: Arc<str>,
    pub settings: ServerSettings,
    pub shared: Arc<Shared>,
    pub catalog: Arc<Catalog>,
    pub metrics: ServerMetrics,
    pub(super) endpoint: Option<Endpoint>,
    /// Use only the handshake era with this server, for clients of that era.
    pub(super) handshake_only: bool,
    pub(super) this: Weak<Self>,
    pub(super) notices: Notices,
    pub(super) contact: ArcSwapOption<Contact>,
    /// Locked while the server is being detected.
    pub(super) finding: tokio::sync::Mutex<()>,
    pub(super) health: Mutex<Health>,
    pub(super) pool: Pool,
    pub(super) prestarted: Prestarted,
    /// Tasks of a handshake-era server.
    pub(super) held: Held,
    /// The session that listens, with a handshake-era server.
    pub(super) base: Mutex<Option<Arc<Session>>>,
    pub(super) interest: Interest,
    pub(super) ids: Arc<AtomicI64>,
    pub guard: Guard,
    /// A digest of the settings that determine how the server is reached, and with which
    /// credential.
    pub fingerprint: [u8; 32],
    /// Counts changes at the server.
    pub(super) changes: Arc<AtomicU64>,
    /// Its results state their time to live.
    pub(super) hints: Arc<AtomicBool>,
    /// Its program fails on `server/discover`, which it does not know: start with `initialize`.
    pub(super) trips_over_discover: AtomicBool,
    /// It stores state in sessions.
    pub(super) stateful: Arc<AtomicBool>,
    /// It responds to requests on the session's listening stream.
    pub(super) answers_elsewhere: Arc<AtomicBool>,
    /// It is a replica.
    pub(super) replica: Option<Replica>,
    /// It has replicas.
    pub(super) replicas: Option<Replicas>,
    /// Whether some replicas must not receive every class of data.
    pub restricts_data: bool,
    /// Notified when the server seems to be down, which triggers a check, and when it is.
    pub(super) doubted: tokio::sync::Notify,
    pub(super) lost: tokio::sync::Notify,
    /// The server sends requests that name no call.
    pub(super) asks: Arc<AtomicBool>,
    /// Whether its behaviour depends on client capabilities.
    pub(super) capability_use: Arc<CapabilityUse>,
    /// Counts changes of the catalogue, over all servers.
    pub(super) generation: Arc<AtomicU64>,
    /// Notified at the first use of a lazily started server.
    pub(super) wanted: tokio::sync::Notify,
    pub(super) stop: CancellationToken,
    pub(super) in_flight: AtomicUsize,
}

/// The parts from which a server is built.
pub struct Parts<'a> {
    pub name: &'a str,
    pub settings: ServerSettings,
    pub shared: Arc<Shared>,
    pub generation: Arc<AtomicU64>,
    pub endpoint: Option<Endpoint>,
    pub handshake_only: bool,
    pub catalog: Arc<Catalog>,
    pub stateful: Arc<AtomicBool>,
    pub hints: Arc<AtomicBool>,
    pub replica: Option<Replica>,
}

impl Server {
    pub fn new(
        name: &str,
        settings: ServerSettings,
        shared: Arc<Shared>,
        generation: Arc<AtomicU64>,
    ) -> Arc<Self> {
        let endpoint = shared.endpoint(name, &settings);
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

    pub(super) fn build(parts: Parts<'_>) -> Arc<Self> {
        let Parts { name, settings, shared, .. } = parts;
        let interest = shared.limits.shared(WANTED_BYTES);
        parts.catalog.is_pinned.store(settings.pins.active().is_some(), Ordering::Relaxed);
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
            restricts_data: settings.restricts_data(),
            doubted: tokio::sync::Notify::new(),
            lost: tokio::sync::Notify::new(),
            settings,
            shared,
            catalog: parts.catalog,
            this: this.clone(),
            notices: Notices::default(),
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
            capability_use: Arc::default(),
            generation: parts.generation,
            wanted: tokio::sync::Notify::new(),
            stop: CancellationToken::new(),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// The current contact, without detecting the server.
    pub fn known(&self) -> Option<Arc<Contact>> {
        match &self.replicas {
            None => self.contact.load_full(),
            Some(replicas) => replicas.reachable()?.known(),
        }
    }

    /// Triggers the start of a lazily started server, without waiting.
    pub fn wake(&self) {
        self.wanted.notify_one();
        self.members().iter().for_each(|member| member.wake());
    }

    /// Its replicas.
    pub(super) fn members(&self) -> Vec<Arc<Self>> {
        self.replicas.as_ref().map(Replicas::members).unwrap_or_default()
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

    /// Whether the server's requests were seen to name no call, so that calls that can be
    /// interrupted must run one at a time.
    pub(super) fn needs_lease(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// Writes an audit event of the server, with the replica if it is one.
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
