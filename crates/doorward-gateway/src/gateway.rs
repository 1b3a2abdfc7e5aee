//! The gateway: its servers, their combined lists, and how both change at run time.

mod about;
mod discover;
mod listen;
mod lists;
pub mod looking;
mod named;
mod serving;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_mcp::Value;
use doorward_store::Store;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::about::about_doorward;

use crate::access::{Policies, Tenants};
use crate::billing::Ledger;
use crate::exchange::Exchanges;
use crate::life::Life;
use crate::sessions::Sessions;
use crate::stops::Emergency;
use crate::store_sync::StoreCopy;
use doorward_authorization::Authorization;
use doorward_cache::Cache;
use doorward_cache::rest::Rests;
use doorward_config::{Explain, Settings};
use doorward_core::DoorState;
use doorward_core::memory::{self, Memory};
use doorward_core::news::News;
use doorward_core::share::Shares;
use doorward_definitions::Keeper;
use doorward_guards::conversations::Conversations;
use doorward_guards::flow::Flow;
use doorward_guards::inspection::Active as Inspections;
use doorward_identity::delegation::Delegations;
use doorward_identity::identity::Identity;
use doorward_identity::seal::Sealer;
use doorward_identity::signing::Signing;
use doorward_limits::rates::Limiter;
use doorward_observability::audit::Audit;
use doorward_observability::in_flight::Live;
use doorward_observability::metrics::{Metrics, ServerState};
use doorward_observability::telemetry::Telemetry;
use doorward_transport::process::ProcessCount;
use doorward_upstream::catalog::Snapshots;
use doorward_upstream::catalog::ViewKey;
use doorward_upstream::parking::ParkingLot;
use doorward_upstream::portals::Selections;
use doorward_upstream::{Programs, Server, Shared, State};
use doorward_web::unread::Unread;

/// How long a merged list waits for one server.
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
/// The interval of maintenance for logins and signing keys.
const SELDOM: Duration = Duration::from_secs(10 * 60);

type Servers = BTreeMap<String, Arc<Server>>;

/// Whether a server is visible, by view key, and the generation of the lists it was computed for.
type SeenServers = HashMap<(ViewKey, Arc<str>), (bool, u64)>;

/// One running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub shared: Arc<Shared>,
    pub sessions: Sessions,
    /// Responses that clients have not read yet.
    pub unread: Arc<Unread>,
    /// By name in lower case: the scheme of a URI is case-insensitive.
    servers: ArcSwap<Servers>,
    snapshots: Snapshots,
    settings: ArcSwap<Settings>,
    portals: ArcSwap<Selections>,
    /// Visible servers, by all that this depends on; the generation of the lists is in the value.
    seen_servers: Mutex<SeenServers>,
    pub identity: Identity,
    pub authorization: Authorization,
    pub signing: Signing,
    pub exchanges: Exchanges,
    pub limiter: Limiter,
    pub ledger: Ledger,
    /// The labels that callers carry.
    pub flow: Arc<Flow>,
    pub conversations: Arc<Conversations>,
    pub telemetry: Telemetry,
    pub live: Live,
    pub kept: StoreCopy,
    /// Which servers are served, and which are withheld.
    pub life: Life,
    /// When the entries of the registry were published and updated.
    pub published: doorward_registry::serve::Times,
    pub emergency: Emergency,
    /// What was cut from results.
    pub rests: Arc<Rests>,
    /// News about approvals.
    pub approvals: News,
    pub pins: Arc<Keeper>,
    /// The inspection of calls.
    pub inspection: Inspections,
    policies: ArcSwap<Policies>,
    /// External checks; `None` if none are configured.
    pub checks: doorward_guards::checks::Active,
    pub(crate) tenants: Tenants,
    /// What the doors keep.
    pub doors: DoorState,
    /// Cancelled when the gateway begins to shut down.
    pub closing: CancellationToken,
}

/// What a reload changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// Keys that take effect at the next start only.
    pub at_restart: Vec<&'static str>,
}

impl Gateway {
    /// Builds a gateway and starts detecting its servers. Fails if the system has no randomness.
    pub fn start(
        settings: Settings,
        store: Option<Store>,
        emergency: Emergency,
    ) -> Result<Arc<Self>, getrandom::Error> {
        let limits = settings.limits.clone();
        let timeouts = settings.timeouts.clone();
        let audit = Arc::new(Audit::new(&settings.audit, store.is_some()));
        let metrics = Metrics::default();
        let pins = Arc::new(Keeper::new(store.clone(), audit.clone(), metrics.checks.clone()));
        let shared = Arc::new(Shared {
            approval: pins.clone(),
            sealer: Sealer::new(settings.state_key.as_ref())?,
            parking: ParkingLot::new(limits.shared(limits.parked), timeouts.interaction.0),
            processes: ProcessCount::new(limits.processes),
            programs: Programs::new(limits.shared(limits.processes)),
            held: Shares::new(limits.shared(limits.held_bytes.0)),
            view_bytes: Arc::default(),
            memory: Memory::new(limits.memory.map(|memory| memory.0 as u64)),
            switchboard: Arc::default(),
            http: doorward_net::clients::Clients::new(timeouts.connect.0),
            cache: Cache::new(&settings.cache),
            audit,
            delegations: Arc::new(Delegations::new(store.clone(), settings.store_key.as_ref())),
            metrics,
            info: Value::from_serde(&about_doorward()),
            tasks: TaskTracker::new(),
            limits,
            timeouts,
        });
        let gateway = Arc::new(Self {
            sessions: Sessions::new(shared.clone()),
            unread: Unread::new(shared.limits.shared(shared.limits.unread_bytes.0)),
            shared,
            servers: ArcSwap::default(),
            snapshots: Snapshots::default(),
            portals: ArcSwap::default(),
            seen_servers: Mutex::default(),
            identity: Identity::new(emergency.stops.clone()),
            authorization: Authorization::default(),
            signing: Signing::new(settings.store_key.as_ref()),
            exchanges: Exchanges::default(),
            limiter: Limiter::new(&settings),
            ledger: Ledger::default(),
            flow: Arc::new(Flow::new(&settings)),
            conversations: Arc::new(Conversations::new(&settings)),
            telemetry: Telemetry::new(&settings.telemetry),
            live: Live::default(),
            life: Life::new(store.is_some()),
            published: Default::default(),
            kept: StoreCopy::new(store),
            emergency,
            rests: Arc::default(),
            approvals: News::default(),
            pins,
            checks: Default::default(),
            tenants: Tenants::default(),
            inspection: Inspections::new(
                settings.state_key.as_ref().or(settings.store_key.as_ref()),
            )?,
            policies: ArcSwap::from_pointee(Policies::new(None, String::new(), &settings)),
            settings: ArcSwap::from_pointee(Settings {
                servers: BTreeMap::new(),
                ..settings.clone()
            }),
            doors: DoorState::default(),
            closing: CancellationToken::new(),
        });
        // Set before the first event.
        gateway.shared.audit.feed.turn(!settings.webhooks.is_empty());
        gateway.reload(settings);
        gateway.shared.tasks.spawn(gateway.clone().maintain());
        gateway.shared.tasks.spawn(gateway.clone().free_places());
        gateway.shared.tasks.spawn(gateway.clone().watch_reviews());
        gateway.shared.tasks.spawn(gateway.clone().follow_stops());
        gateway.shared.tasks.spawn(gateway.clone().follow_names());
        gateway.shared.tasks.spawn(gateway.clone().follow_failed_checks());
        let told = gateway.clone();
        gateway.shared.tasks.spawn(async move {
            told.telemetry.run(told.closing.clone(), || told.metrics()).await;
        });
        if gateway.kept.store().is_some() {
            gateway.shared.tasks.spawn(gateway.clone().follow_store());
            gateway.shared.tasks.spawn(gateway.clone().watch_credit());
            gateway.shared.tasks.spawn(gateway.clone().send_webhooks());
            gateway.shared.tasks.spawn(gateway.clone().read_registries());
        }
        if gateway.shared.memory.limit().is_some() {
            gateway.shared.tasks.spawn(gateway.clone().watch_memory());
        }
        Ok(gateway)
    }

    pub fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.settings.load()
    }

    pub fn policies(&self) -> arc_swap::Guard<Arc<Policies>> {
        self.policies.load()
    }

    /// How detailed refusals are for callers.
    pub fn explains(&self) -> Explain {
        self.policies().explain
    }

    /// Activates other policies. Subscribers to single resources must subscribe again, and all
    /// others are notified that lists may have changed.
    pub fn set_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
        self.shared.switchboard.renew();
    }

    /// Applies validated settings: servers are added, changed and removed. Calls in flight stay
    /// with the server they were sent to.
    pub fn reload(&self, settings: Settings) -> Changes {
        let serving = self.life.serving.lock();
        // Before new servers are asked what they are.
        self.declare_checks(&settings);
        let mut changes = self.serve(&settings);
        self.declare_definitions(&settings);
        changes.at_restart = settings.at_restart(&self.settings.load());
        self.shared.audit.take(&settings);
        self.limiter.take(&settings);
        self.tenants.take(&settings);
        self.conversations.take(&settings);
        self.telemetry.take(&settings.telemetry);
        self.settings.store(Arc::new(settings));
        drop(serving);
        self.life.declare();
        self.settings_changed();
        self.shared.audit.event("configuration.loaded", |members| {
            members.texts("added", changes.added.iter().map(String::as_str));
            members.texts("changed", changes.changed.iter().map(String::as_str));
            // `removed` is reserved for records that retention has removed.
            members.texts("deleted", changes.removed.iter().map(String::as_str));
        });
        changes
    }

    /// Replaces the server of the same name.
    pub(crate) fn replace_server(&self, server: &Arc<Server>) {
        let mut servers = Servers::clone(&self.servers.load());
        servers.insert(server.name.to_ascii_lowercase(), server.clone());
        self.servers.store(Arc::new(servers));
        self.lists_changed();
    }

    /// The lists that callers see have changed.
    pub(crate) fn lists_changed(&self) {
        self.snapshots.changed();
    }

    /// Counts changes of the servers' lists.
    pub(crate) fn lists_generation(&self) -> Arc<AtomicU64> {
        self.snapshots.generation.clone()
    }

    pub fn server(&self, name: &str) -> Option<Arc<Server>> {
        let servers = self.servers.load();
        if let Some(server) = servers.get(name) {
            return Some(server.clone());
        }
        servers.get(&name.to_ascii_lowercase()).cloned()
    }

    /// The servers in the order in which their lists are merged: by name.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        self.servers.load().values().cloned().collect()
    }

    pub fn states(&self) -> Vec<State> {
        self.servers().iter().map(|server| server.state()).collect()
    }

    /// Whether each served server was tried at least once.
    pub fn is_ready(&self) -> bool {
        !self.closing.is_cancelled()
            && self.servers.load().values().all(|server| server.was_tried() || server.is_retired())
    }

    /// Waits briefly for servers that are being started.
    async fn settle(&self) {
        let end = tokio::time::Instant::now() + SERVER_PATIENCE;
        while !self.is_ready() && !self.closing.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if tokio::time::Instant::now() >= end {
                return;
            }
        }
    }

    async fn watch_memory(self: Arc<Self>) {
        let mut looks = tokio::time::interval(memory::EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => self.shared.memory.look(),
                () = self.closing.cancelled() => return,
            }
        }
    }

    async fn free_places(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.limiter.give_back_places() => {}
                () = self.closing.cancelled() => return,
            }
        }
    }

    /// Runs periodic maintenance.
    async fn maintain(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        // The store is read at start anyway.
        let mut seldom = tokio::time::interval_at(tokio::time::Instant::now() + SELDOM, SELDOM);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = seldom.tick() => {
                    if let Some(store) = self.kept.store() {
                        self.authorization.maintain(store).await;
                        if let Err(error) = self.signing.take_keys(store).await {
                            tracing::warn!(%error, "rotating signing keys failed");
                        }
                        self.authorization.take_keys(&self.signing);
                    }
                    continue;
                }
                () = self.closing.cancelled() => return,
            }
            self.identity.sweep();
            self.identity.check_sessions().await;
            self.exchanges.sweep();
            if let Some(store) = self.kept.store() {
                self.limiter.store_quotas(store).await;
            }
            self.limiter.maintain().await;
            self.shared.parking.sweep().await;
            self.sessions.sweep();
            self.flow.maintain(|session| self.sessions.is_open(session));
            for server in self.servers() {
                server.maintain();
            }
        }
    }

    /// The metrics as OpenMetrics text.
    pub fn metrics(&self) -> String {
        let metrics = &self.shared.metrics;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.sessions.set(count(self.sessions.len()));
        metrics.listeners.set(count(self.shared.switchboard.listeners()));
        metrics.parked.set(count(self.shared.parking.len()));
        metrics.processes.set(count(self.shared.processes.running()));
        let busy = self.servers().iter().map(|server| server.in_flight()).sum();
        metrics.in_flight.set(count(busy));
        self.measure_lifecycle();
        let states = self.states();
        metrics.note_servers(states.iter().map(|state| ServerState {
            name: &state.name,
            concurrency: state.concurrency,
            replicas: state.replicas.iter().map(|replica| replica.state).collect(),
        }));
        metrics.servers.set(count(states.len()));
        metrics.servers_up.set(count(states.iter().filter(|state| state.state == "up").count()));
        let (entries, bytes) = self.shared.cache.size();
        metrics.cache_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        metrics.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let audit = &self.shared.audit;
        audit.measure(metrics);
        metrics.limits_unavailable.set(i64::from(self.limiter.trouble().is_some()));
        let dropped = self.telemetry.dropped.swap(0, Ordering::Relaxed);
        metrics.spans_dropped.inc_by(dropped);
        metrics.stops.set(count(self.emergency.in_force().len()));
        metrics.stops_unwritten.set(count(self.emergency.unwritten()));
        metrics
            .resident
            .set(i64::try_from(memory::resident().unwrap_or_default()).unwrap_or(i64::MAX));
        metrics.text()
    }

    /// Gracefully ends the streams on which clients only listen, so that they reconnect elsewhere;
    /// calls continue. To be repeated while calls end: a stream that also carries responses ends
    /// with the last one.
    pub fn close_streams(&self) {
        self.closing.cancel();
        self.shared.switchboard.close();
        self.sessions.close_streams();
    }

    /// Shuts the gateway down once its listeners are closed: streams end gracefully, waiting calls
    /// are cancelled, programs are stopped. Returns whether everything ended in time.
    pub async fn stop(&self, within: Duration) -> bool {
        self.closing.cancel();
        self.shared.switchboard.close();
        self.shared.parking.clear().await;
        self.sessions.close();
        for server in self.servers() {
            server.retire();
        }
        self.shared.tasks.close();
        let ended = async {
            self.shared.tasks.wait().await;
            while self.shared.processes.running() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(within, ended).await.is_ok()
    }
}
