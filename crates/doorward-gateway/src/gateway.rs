//! The gateway: its servers, what they offer together, and how all that changes while it runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_mcp::error::Kind;
use doorward_mcp::filter::Filter;
use doorward_mcp::names::{split_name, split_uri};
use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Era, Object, Revision, RpcError, Value, capabilities, meta};
use doorward_policy::{Action, Target, TargetKind};
use doorward_store::Store;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, Asking, Policies};
use crate::call::{Call, CallError, Failure, Portal};
use crate::catalog::{Snapshot, Snapshots, Viewer};
use crate::facade::sessions::Sessions;
use crate::identity::Identity;
use crate::kept::Kept;
use crate::memory::{self, Memory};
use crate::metrics::Metrics;
use crate::portals::{Selection, Selections};
use crate::seal::Sealer;
use crate::settings::{Explain, Settings};
use crate::switchboard::{Listener, TooMany, Wish};
use crate::upstream::parking::ParkingLot;
use crate::upstream::process::ProcessCount;
use crate::upstream::{Contact, Server, Shared, State, declared, http};

/// How long a list of all servers waits for one of them.
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
/// How long what the gateway says of itself may be kept.
const DISCOVER_TTL_MS: u64 = 60_000;

/// Who sees which portal: so many are remembered.
const MOST_SEEN: usize = 4096;

/// What the items of the four lists are.
const TARGETS: [TargetKind; 4] =
    [TargetKind::Tool, TargetKind::Prompt, TargetKind::Resource, TargetKind::Resource];

type Servers = BTreeMap<String, Arc<Server>>;

/// One running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub shared: Arc<Shared>,
    pub sessions: Sessions,
    /// By name in lower case: the scheme of an URI has no case.
    servers: ArcSwap<Servers>,
    snapshots: Snapshots,
    settings: ArcSwap<Settings>,
    portals: ArcSwap<Selections>,
    /// Who sees which portal, by all that it depends on but the catalogue, whose count it has.
    seen_portals: Mutex<HashMap<Vec<u8>, (bool, u64)>>,
    pub identity: Identity,
    pub kept: Kept,
    policies: ArcSwap<Policies>,
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
    /// Builds a gateway and starts to look for its servers. Fails when the system has no
    /// randomness.
    pub fn start(settings: Settings, store: Option<Store>) -> Result<Arc<Self>, getrandom::Error> {
        let limits = settings.limits.clone();
        let timeouts = settings.timeouts.clone();
        let shared = Arc::new(Shared {
            sealer: Sealer::new(settings.state_key.as_ref())?,
            parking: ParkingLot::new(limits.parked, timeouts.interaction.0),
            processes: ProcessCount::new(limits.processes),
            memory: Memory::new(limits.memory.map(|memory| memory.0 as u64)),
            switchboard: Arc::default(),
            http: http::Clients::new(timeouts.connect.0),
            metrics: Metrics::default(),
            info: Value::from_serde(&about_doorward()),
            tasks: TaskTracker::new(),
            limits,
            timeouts,
        });
        let gateway = Arc::new(Self {
            sessions: Sessions::new(shared.clone()),
            shared,
            servers: ArcSwap::default(),
            snapshots: Snapshots::default(),
            portals: ArcSwap::default(),
            seen_portals: Mutex::default(),
            identity: Identity::default(),
            kept: Kept::new(store),
            policies: ArcSwap::from_pointee(Policies::new(None, String::new(), &settings)),
            settings: ArcSwap::from_pointee(Settings {
                servers: BTreeMap::new(),
                ..settings.clone()
            }),
            closing: CancellationToken::new(),
        });
        gateway.reload(settings);
        gateway.shared.tasks.spawn(gateway.clone().maintain());
        if gateway.kept.store().is_some() {
            gateway.shared.tasks.spawn(gateway.clone().follow_store());
        }
        if gateway.shared.memory.limit().is_some() {
            gateway.shared.tasks.spawn(gateway.clone().watch_memory());
        }
        Ok(gateway)
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    pub fn policies(&self) -> arc_swap::Guard<Arc<Policies>> {
        self.policies.load()
    }

    /// How much callers are told of a refusal.
    pub fn explains(&self) -> Explain {
        self.policies().explain
    }

    /// Puts other policies in force. Whoever listens to single resources asks again, and all others
    /// are told that lists may have changed.
    pub fn set_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
        self.shared.switchboard.renew();
    }

    /// Takes new settings, which were checked before: servers are added, changed and removed, and
    /// calls in flight go on with the server they were sent to.
    pub fn reload(&self, settings: Settings) -> Changes {
        let old = self.servers.load_full();
        let mut changes = Changes::default();
        let mut servers = Servers::new();
        for (name, wanted) in settings.active() {
            let key = name.to_ascii_lowercase();
            match old.get(&key) {
                Some(server) if server.settings == *wanted && *server.name == **name => {
                    servers.insert(key, server.clone());
                    continue;
                }
                Some(_) => changes.changed.push(name.clone()),
                None => changes.added.push(name.clone()),
            }
            let generation: Arc<AtomicU64> = self.snapshots.generation.clone();
            let server = Server::new(name, wanted.clone(), self.shared.clone(), generation);
            server.keep();
            servers.insert(key, server);
        }
        let current = self.settings.load();
        for (key, differs) in [
            ("listen", settings.listen != current.listen),
            ("tls", settings.tls != current.tls),
            ("admin", settings.admin != current.admin),
            ("limits", settings.limits != current.limits),
            ("timeouts", settings.timeouts != current.timeouts),
            ("state_key", settings.state_key != current.state_key),
            ("store", settings.store != current.store),
            ("public_url", settings.public_url != current.public_url),
        ] {
            if differs {
                changes.at_restart.push(key);
            }
        }
        drop(current);
        let retired: Vec<_> = old
            .iter()
            .filter(|(key, server)| servers.get(*key).is_none_or(|now| !Arc::ptr_eq(now, server)))
            .map(|(key, server)| (!servers.contains_key(key), server.clone()))
            .collect();
        self.servers.store(Arc::new(servers));
        self.settings.store(Arc::new(settings));
        self.settings_changed();
        self.snapshots.changed();
        for (removed, server) in retired {
            if removed {
                changes.removed.push(server.name.to_string());
                self.shared.switchboard.close_portal(&server.name);
            }
            self.shared.tasks.spawn(retire(server));
        }
        if !(changes.added.is_empty() && changes.changed.is_empty() && changes.removed.is_empty()) {
            self.shared.switchboard.publish_merged();
        }
        changes
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

    /// Whether every server that should be there was looked for at least once.
    pub fn is_ready(&self) -> bool {
        !self.closing.is_cancelled()
            && self.servers.load().values().all(|server| server.was_tried())
    }

    /// Waits, for a moment, for servers that are only just being started.
    async fn settle(&self) {
        let end = tokio::time::Instant::now() + SERVER_PATIENCE;
        while !self.is_ready() && !self.closing.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if tokio::time::Instant::now() >= end {
                return;
            }
        }
    }

    fn portal_servers(&self, portal: &Portal) -> Vec<Arc<Server>> {
        match portal {
            Portal::Merged => self.servers(),
            Portal::Named(name) => {
                let portal = self.portal(name);
                let chosen = |server: &Arc<Server>| {
                    portal.as_ref().is_some_and(|portal| portal.may_use(&server.name))
                };
                self.servers().into_iter().filter(chosen).collect()
            }
            Portal::Server(name) => self.server(name).into_iter().collect(),
        }
    }

    /// A snapshot of the caller's lists that still holds.
    pub fn fresh_snapshot(&self, call: &Call) -> Option<Arc<Snapshot>> {
        let whole = self.snapshots.fresh(&viewer(call, None))?;
        let Some(mut key) = self.view_key(&call.asking()) else { return Some(whole) };
        key.extend_from_slice(&declared(&call.client.capabilities));
        self.snapshots.seen(&key, &whole)
    }

    /// The caller's lists, fetched where needed. At the merged portal a server that is down, or
    /// that takes too long, is left out until it is back.
    pub async fn snapshot(&self, call: &Call) -> Result<Arc<Snapshot>, CallError> {
        let merged = call.portal.is_merged();
        if merged {
            self.settle().await;
        }
        if let Some(whole) = self.snapshots.fresh(&viewer(call, None)) {
            return Ok(self.seen(call, whole).await);
        }
        let generation = self.snapshots.generation();
        let era = call.revision.era();
        let views =
            join_all(self.portal_servers(&call.portal).into_iter().map(|server| async move {
                let server = server.spoken_in(era).await;
                let asked = call.asked(&server);
                let fetching = server.catalog.view(&server, &asked);
                let view = if merged {
                    match tokio::time::timeout(SERVER_PATIENCE, fetching).await {
                        Ok(view) => view,
                        Err(_) => server
                            .catalog
                            .known(&server, &asked.client.capabilities)
                            .ok_or_else(|| {
                                Failure::new(Kind::Timeout, "The server's lists take too long")
                                    .into()
                            }),
                    }
                } else {
                    fetching.await
                };
                (server, view)
            }))
            .await;
        let mut found = Vec::with_capacity(views.len());
        for (server, view) in views {
            match view {
                Ok(view) => found.push((server, view)),
                Err(error) if !merged => return Err(error),
                Err(error) => {
                    tracing::debug!(server = &*server.name, ?error, "left out of the list");
                }
            }
        }
        let page = self.shared.limits.page;
        let selection = match &call.portal {
            Portal::Named(name) => self.portal(name),
            Portal::Merged | Portal::Server(_) => None,
        };
        let viewer = viewer(call, selection.as_deref());
        let whole = self.snapshots.build(&viewer, found, generation, page);
        Ok(self.seen(call, whole).await)
    }

    /// What a caller sees of a portal's lists: what there is a call for that would be permitted.
    async fn seen(&self, call: &Call, whole: Arc<Snapshot>) -> Arc<Snapshot> {
        let asking = call.asking();
        let Some(mut key) = self.view_key(&asking) else { return whole };
        key.extend_from_slice(&declared(&call.client.capabilities));
        if let Some(seen) = self.snapshots.seen(&key, &whole) {
            return seen;
        }
        let mut marked: [Vec<bool>; 4] = Default::default();
        for (kind, of) in TARGETS.into_iter().enumerate() {
            for (number, ((server, view), name)) in whole.origins(kind).enumerate() {
                let tool = if of == TargetKind::Tool { view.tool(name) } else { None };
                let target = access::target(server, of, name, tool.map(|tool| &**tool));
                marked[kind].push(self.may(&asking, access::action_on(of), &target));
                // Others wait meanwhile.
                if number % 32 == 31 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let seen = Arc::new(whole.only(&marked, self.shared.limits.page));
        self.snapshots.keep_seen(key, &whole, &seen);
        seen
    }

    /// Whether a portal is there for a caller. Asked for each of their calls, and remembered as long as
    /// nothing changes that it depends on.
    pub async fn sees_portal(&self, call: &Call) -> bool {
        let generation = self.snapshots.generation();
        let Some(mut key) = self.view_key(&call.asking()) else {
            return self.find_portal(call).await;
        };
        key.push(b' ');
        key.extend_from_slice(call.portal.name().as_bytes());
        let remembered = self.seen_portals.lock().get(&key).copied();
        if let Some((sees, _)) = remembered.filter(|(_, of)| *of == generation) {
            return sees;
        }
        let sees = self.find_portal(call).await;
        let mut seen = self.seen_portals.lock();
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        seen.insert(key, (sees, generation));
        sees
    }

    async fn find_portal(&self, call: &Call) -> bool {
        match &call.portal {
            Portal::Merged => true,
            Portal::Server(name) => match self.server(name) {
                Some(server) => self.sees(call, &server).await,
                None => false,
            },
            Portal::Named(name) => {
                if self.portal(name).is_none() {
                    return false;
                }
                let portal = Target::new(TargetKind::Portal, "", name);
                if self.may(&call.asking(), Action::List, &portal) {
                    return true;
                }
                let Ok(snapshot) = self.snapshot(call).await else { return false };
                (0..TARGETS.len()).any(|kind| snapshot.origins(kind).next().is_some())
            }
        }
    }

    /// Whether a server is there for a caller: it is permitted to be listed, or something of its is
    /// permitted to be used. Without what is fetched, for that would tell what is there from what is
    /// not.
    pub async fn sees(&self, call: &Call, server: &Arc<Server>) -> bool {
        let asking = call.asking();
        let whole = access::target(server, TargetKind::Server, "", None);
        if self.may(&asking, Action::List, &whole) {
            return true;
        }
        let Ok(snapshot) = self.snapshot(call).await else { return false };
        (0..TARGETS.len())
            .any(|kind| snapshot.origins(kind).any(|((source, _), _)| source.name == server.name))
    }

    /// The server that a name or URI at a portal is about, and its own name for it. For a server's
    /// portal, the server whatever the name.
    pub fn named(
        &self,
        portal: &Portal,
        is_uri: bool,
        name: &str,
    ) -> Option<(Arc<Server>, String)> {
        match portal {
            Portal::Server(server) => Some((self.server(server)?, name.to_owned())),
            Portal::Named(portal) if !is_uri => {
                let portal = self.portal(portal)?;
                let (server, own) = portal.split(name)?;
                Some((self.server(server)?, own.to_owned()))
            }
            Portal::Merged | Portal::Named(_) => {
                let split = if is_uri { split_uri(name) } else { split_name(name) };
                let (server, own) = split?;
                Some((self.server(server)?, own.to_owned()))
            }
        }
    }

    /// A portal that was made of a selection.
    pub fn portal(&self, name: &str) -> Option<Arc<Selection>> {
        self.portals.load().get(&name.to_ascii_lowercase()).map(|(_, portal)| portal.clone())
    }

    /// All of them, with their names.
    pub fn portals(&self) -> Arc<Selections> {
        self.portals.load_full()
    }

    /// Takes portals anew; listeners at those that are gone are sent away, and all others look again.
    pub(crate) fn set_portals(&self, portals: Selections) {
        let old = self.portals.swap(Arc::new(portals));
        let now = self.portals.load();
        let same = |name: &String, before: &Arc<Selection>| {
            now.get(name).is_some_and(|(_, after)| after.settings == before.settings)
        };
        if old.len() == now.len() && old.iter().all(|(name, (_, before))| same(name, before)) {
            return;
        }
        for (name, (shown, before)) in old.iter() {
            if !same(name, before) {
                self.shared.switchboard.close_portal(shown);
            }
        }
        self.snapshots.changed();
    }

    /// What a path names: a portal or server, by its own spelling.
    pub fn portal_named(&self, name: &str) -> Option<Portal> {
        if let Some((shown, _)) = self.portals.load().get(&name.to_ascii_lowercase()) {
            return Some(Portal::Named(shown.clone()));
        }
        self.server(name).map(|server| Portal::Server(server.name.clone()))
    }

    /// What the gateway says of itself at a portal, in the form of 2026-07-28. It never fails
    /// because one of several servers is down.
    pub async fn discover(&self, call: &Call) -> Result<Object, CallError> {
        let mut result = match &call.portal {
            Portal::Server(name) => {
                let server =
                    self.server(name).ok_or_else(|| RpcError::invalid_request("Unknown server"))?;
                let server = server.spoken_in(call.revision.era()).await;
                about_server(&*server.contact().await?)
            }
            Portal::Merged | Portal::Named(_) => {
                self.settle().await;
                let seen = self.seen_servers(call).await;
                let mut about = self.about_all(call.revision.era(), seen.as_ref()).await;
                let portal = self.portal(call.portal.name());
                if let Some(text) = portal.and_then(|portal| portal.settings.instructions.clone()) {
                    about.set("instructions", text.as_str());
                }
                about
            }
        };
        result.set("resultType", "complete");
        result.set("supportedVersions", Value::from_serde(&[Revision::NEWEST.as_str()]));
        if CacheHints::read(&result).is_none() {
            CacheHints { ttl_ms: DISCOVER_TTL_MS, public: false }.put(&mut result);
        }
        Ok(result)
    }

    /// The servers that a caller sees; `None` for all.
    async fn seen_servers(&self, call: &Call) -> Option<HashSet<Arc<str>>> {
        if self.is_unrestricted(&call.caller.principal, &call.portal) {
            return None;
        }
        let mut seen = HashSet::new();
        for server in self.portal_servers(&call.portal) {
            if self.sees(call, &server).await {
                seen.insert(server.name.clone());
            }
        }
        Some(seen)
    }

    async fn about_all(&self, era: Era, seen: Option<&HashSet<Arc<str>>>) -> Object {
        let servers = self.servers().into_iter();
        let servers = servers.filter(|server| seen.is_none_or(|seen| seen.contains(&server.name)));
        let servers = join_all(servers.map(|server| async move {
            let found = tokio::time::timeout(SERVER_PATIENCE, server.spoken_in(era)).await;
            found.unwrap_or(server)
        }))
        .await;
        let contacts: Vec<_> = servers
            .into_iter()
            .filter_map(|server| Some((server.name.clone(), server.known()?)))
            .collect();
        let mut declared = capabilities::merge(
            contacts.iter().map(|(_, contact)| contact.about.capabilities.clone()),
        );
        // The gateway itself announces servers that come and go.
        for group in ["tools", "prompts", "resources"] {
            if let Some(group) = declared.object_mut(group) {
                group.set("listChanged", Value::bool(true));
            }
        }
        let instructions: Vec<String> = contacts
            .iter()
            .filter_map(|(name, contact)| {
                let text = contact.about.instructions.as_ref()?.as_str()?.into_owned();
                (!text.trim().is_empty()).then(|| format!("## {name}\n\n{text}"))
            })
            .collect();
        let mut result = Object::new();
        result.set("capabilities", declared);
        if !instructions.is_empty() {
            result.set("instructions", instructions.join("\n\n").as_str());
        }
        let mut about = Object::new();
        about.set(meta::SERVER_INFO, self.shared.info.clone());
        result.set("_meta", about);
        result
    }

    /// Joins the listeners at a portal.
    pub async fn listen(&self, asking: &Asking<'_>, wanted: Filter) -> Result<Listener, CallError> {
        let (portal, principal) = (asking.portal, &asking.caller.principal);
        let era = asking.revision.era();
        let limits = &self.shared.limits;
        if wanted.uris.len() + wanted.tasks.len() > limits.subscriptions {
            let message =
                format!("The limit of {} subscriptions is exceeded", limits.subscriptions);
            return Err(RpcError::invalid_params(message).into());
        }
        let mut held: Vec<(Arc<Server>, String)> = Vec::new();
        let mut held_tasks: Vec<(Arc<Server>, String)> = Vec::new();
        let mut granted = match portal {
            Portal::Merged | Portal::Named(_) => {
                Filter { uris: Default::default(), tasks: Default::default(), ..wanted.clone() }
            }
            Portal::Server(name) => {
                let server =
                    self.server(name).ok_or_else(|| RpcError::invalid_request("Unknown server"))?;
                let contact = server.spoken_in(era).await.contact().await?;
                // Sessions are told whatever the server tells, declared or not; a modern listener
                // what it was promised.
                let lists = match era {
                    Era::Handshake => wanted.clone(),
                    Era::Modern => wanted.honoured_by(&contact.about.capabilities),
                };
                Filter { uris: Default::default(), tasks: Default::default(), ..lists }
            }
        };
        for uri in &wanted.uris {
            let Some((server, own)) = self.named(portal, true, uri) else { continue };
            let target = access::target(&server, TargetKind::Resource, &own, None);
            if !self.may(asking, Action::Subscribe, &target) {
                continue;
            }
            let server = server.spoken_in(era).await;
            if can_subscribe(&server).await && server.subscribe(&own).await.is_ok() {
                granted.uris.insert(uri.clone());
                held.push((server, own));
            }
        }
        let mut tasks = HashMap::new();
        for sealed in &wanted.tasks {
            let (server, own) = match portal {
                Portal::Server(name) => (self.server(name), sealed.as_str()),
                Portal::Merged | Portal::Named(_) => match sealed.rsplit_once('.') {
                    Some((server, own)) => (self.server(server), own),
                    None => continue,
                },
            };
            let Some(server) = server else { continue };
            let Some(task) = server.open_task(&principal.id, own) else { continue };
            if server.subscribe_task(&task).await {
                tasks.insert(task.clone(), sealed.clone());
                held_tasks.push((server, task));
            }
        }
        let release = Box::new(move |_: &Filter, _: &HashMap<String, String>| {
            held.iter().for_each(|(server, uri)| server.unsubscribe(uri));
            held_tasks.iter().for_each(|(server, task)| server.unsubscribe_task(task));
        });
        let servers = match portal {
            Portal::Named(_) => {
                Some(self.portal_servers(portal).iter().map(|server| server.name.clone()).collect())
            }
            Portal::Merged | Portal::Server(_) => None,
        };
        let wish = Wish {
            portal: portal.clone(),
            servers,
            era,
            principal: principal.id.clone(),
            filter: granted,
            tasks,
            queue: limits.queue,
            limit: limits.streams_per_principal,
            release,
        };
        self.shared.switchboard.listen(wish).map_err(|TooMany| CallError::Refused {
            failure: Failure::new(
                Kind::Overloaded,
                format!("The limit of {} open streams is reached", limits.streams_per_principal),
            ),
            status: 429,
        })
    }

    /// Looks after everything that has a time.
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

    async fn maintain(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.closing.cancelled() => return,
            }
            self.identity.sweep();
            self.shared.parking.sweep().await;
            self.sessions.sweep();
            for server in self.servers() {
                server.maintain();
            }
        }
    }

    /// The measures, as text in the OpenMetrics form.
    pub fn metrics(&self) -> String {
        let metrics = &self.shared.metrics;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.sessions.set(count(self.sessions.len()));
        metrics.listeners.set(count(self.shared.switchboard.listeners()));
        metrics.parked.set(count(self.shared.parking.len()));
        metrics.processes.set(count(self.shared.processes.running()));
        let busy = self.servers().iter().map(|server| server.in_flight()).sum();
        metrics.in_flight.set(count(busy));
        metrics.text()
    }

    /// Ends the streams on which clients only listen, gracefully, so that they go elsewhere; calls
    /// go on. To be repeated while calls end: a stream that also carries answers ends with the last.
    pub fn close_streams(&self) {
        self.closing.cancel();
        self.shared.switchboard.close();
        self.sessions.close_streams();
    }

    /// Ends the gateway once its doors are closed: streams end gracefully, waiting calls are given
    /// up, programs are stopped. Returns whether everything ended in time.
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

/// Lets calls in flight end before a server that was taken out is closed.
async fn retire(server: Arc<Server>) {
    let patience = server.shared.timeouts.drain.0;
    let end = tokio::time::Instant::now() + patience;
    while server.is_busy() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.retire();
}

async fn can_subscribe(server: &Server) -> bool {
    let Ok(contact) = server.contact().await else { return false };
    let resources = contact.about.capabilities.object("resources");
    resources.and_then(|group| group.get("subscribe").and_then(Value::as_bool)).unwrap_or(false)
}

fn viewer<'a>(call: &'a Call, selection: Option<&'a Selection>) -> Viewer<'a> {
    Viewer {
        portal: &call.portal,
        selection,
        capabilities: &call.client.capabilities,
        revision: call.revision,
    }
}

fn about_server(contact: &Contact) -> Object {
    let about = &contact.about;
    if let Some(extra) = &about.extra {
        return extra.clone();
    }
    let mut result = Object::new();
    result.set("capabilities", about.capabilities.clone());
    if let Some(instructions) = &about.instructions {
        result.set("instructions", instructions.clone());
    }
    if let Some(info) = &about.info {
        let mut meta = Object::new();
        meta.set(meta::SERVER_INFO, info.clone());
        result.set("_meta", meta);
    }
    result
}

/// The gateway as it introduces itself to clients and servers.
pub fn about_doorward() -> serde_json::Value {
    serde_json::json!({ "name": "doorward", "title": "Doorward", "version": env!("CARGO_PKG_VERSION") })
}
