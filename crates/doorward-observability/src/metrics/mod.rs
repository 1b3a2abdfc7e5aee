//! Metrics, in the OpenMetrics and the Prometheus format.
//!
//! Servers, tools and outcomes are labels; users only if enabled. The number of series is bounded,
//! however many names a peer makes up.

mod checks;
mod deviations;
mod inspection;
mod labels;
mod prometheus;
mod server;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use doorward_limits::Observer;
use doorward_mcp::display::harmless_line;
use parking_lot::RwLock;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::checks::CheckMetrics;
pub use self::deviations::Deviations;
pub use self::inspection::InspectionMetrics;
pub use self::labels::{CacheOutcome, Outcome};
pub use self::prometheus::prometheus;

use self::labels::{
    CacheLabels, CallLabels, DeviationLabels, LifecycleLabels, LimitLabels, OperationLabels,
    ReplicaLabels, ServerLabels, UserLabels,
};

/// Maximum number of distinct labels for tools per server, and for users; the others share one.
const MOST_TOOLS: usize = 2_000;
const MOST_USERS: usize = 10_000;
/// The label that the others share.
pub const OTHERS: &str = "other";

type Durations = Family<OperationLabels, Histogram, fn() -> Histogram>;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    users: Family<UserLabels, Counter>,
    known_users: RwLock<std::collections::HashSet<String>>,
    durations: Durations,
    upstream: Durations,
    limited: Family<LimitLabels, Counter>,
    invalid_arguments: Family<ServerLabels, Counter>,
    deviations: Family<DeviationLabels, Counter>,
    retries: Family<ServerLabels, Counter>,
    shed: Family<ServerLabels, Counter>,
    cache: Family<CacheLabels, Counter>,
    pub checks: CheckMetrics,
    pub cache_entries: Gauge,
    pub cache_bytes: Gauge,
    invalid_results: Family<ServerLabels, Counter>,
    pub inspection: InspectionMetrics,
    pub refused: Counter,
    pub audit_records: Counter,
    pub audit_lost: Counter,
    pub audit_waiting: Gauge,
    pub audit_failing: Gauge,
    pub exports_failing: Gauge,
    pub limits_unavailable: Gauge,
    pub spans_dropped: Counter,
    pub stops: Gauge,
    pub webhooks_dropped: Counter,
    pub credit_alerts: Counter,
    pub webhooks_failed: Counter,
    pub stops_unwritten: Gauge,
    pub sessions: Gauge,
    pub listeners: Gauge,
    pub parked: Gauge,
    pub processes: Gauge,
    pub in_flight: Gauge,
    pub servers_up: Gauge,
    pub servers: Gauge,
    pub servers_review_overdue: Gauge,
    pub definitions_withheld: Gauge,
    lifecycle: Family<LifecycleLabels, Gauge>,
    replicas: Family<ReplicaLabels, Gauge>,
    concurrency: Family<ServerLabels, Gauge>,
    pub resident: Gauge,
}

/// The metrics of one server, looked up once.
#[derive(Debug)]
pub struct ServerMetrics {
    server: String,
    calls: Family<CallLabels, Counter>,
    durations: Durations,
    upstream: Durations,
    pub invalid_arguments: Counter,
    pub invalid_results: Counter,
    pub retries: Counter,
    pub shed: Counter,
    cache: [Counter; 4],
    /// By tool or prompt.
    tools: RwLock<HashMap<String, [Counter; 5]>>,
    /// By method: the duration of the whole call, and of the server's part.
    methods: RwLock<HashMap<String, (Histogram, Histogram)>>,
}

/// Sanitizes a name for a label, because people read metrics at a terminal.
fn label(name: &str) -> String {
    harmless_line(name).into_owned()
}

fn durations() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let new = || Durations::new_with_constructor(durations as fn() -> Histogram);
        let mut metrics = Self {
            registry: Registry::with_prefix("doorward"),
            calls: Family::default(),
            users: Family::default(),
            known_users: RwLock::default(),
            durations: new(),
            upstream: new(),
            limited: Family::default(),
            invalid_arguments: Family::default(),
            deviations: Family::default(),
            retries: Family::default(),
            shed: Family::default(),
            cache: Family::default(),
            checks: CheckMetrics::default(),
            cache_entries: Gauge::default(),
            cache_bytes: Gauge::default(),
            invalid_results: Family::default(),
            inspection: InspectionMetrics::default(),
            refused: Counter::default(),
            audit_records: Counter::default(),
            audit_lost: Counter::default(),
            audit_waiting: Gauge::default(),
            audit_failing: Gauge::default(),
            exports_failing: Gauge::default(),
            limits_unavailable: Gauge::default(),
            spans_dropped: Counter::default(),
            stops: Gauge::default(),
            webhooks_dropped: Counter::default(),
            credit_alerts: Counter::default(),
            webhooks_failed: Counter::default(),
            stops_unwritten: Gauge::default(),
            sessions: Gauge::default(),
            listeners: Gauge::default(),
            parked: Gauge::default(),
            processes: Gauge::default(),
            in_flight: Gauge::default(),
            servers_up: Gauge::default(),
            servers: Gauge::default(),
            servers_review_overdue: Gauge::default(),
            definitions_withheld: Gauge::default(),
            lifecycle: Family::default(),
            replicas: Family::default(),
            concurrency: Family::default(),
            resident: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The running version", Info::new(version));
        metrics.inspection.register(registry);
        registry.register("calls", "Calls by server, tool and outcome", metrics.calls.clone());
        let about = "Replicas of servers, by health";
        registry.register("replicas", about, metrics.replicas.clone());
        let about = "Servers, by the state of their life";
        registry.register("servers_lifecycle", about, metrics.lifecycle.clone());
        let about = "Adaptive concurrency limit of a server";
        registry.register("concurrency_limit", about, metrics.concurrency.clone());
        registry.register("user_calls", "Calls by tenant, user and outcome", metrics.users.clone());
        let about = "Duration of calls, from the request to the answer";
        registry.register("call_duration_seconds", about, metrics.durations.clone());
        let about = "The part of a call's duration that its server took";
        registry.register("upstream_duration_seconds", about, metrics.upstream.clone());
        registry.register("limited_calls", "Calls over a rate limit", metrics.limited.clone());
        let about = "Tolerated protocol deviations of servers";
        registry.register("server_deviations", about, metrics.deviations.clone());
        let about = "Cacheable calls, by cache status";
        registry.register("cache_lookups", about, metrics.cache.clone());
        metrics.checks.register(registry);
        for (name, help, family) in [
            ("retries", "Retried calls", &metrics.retries),
            ("shed_calls", "Calls rejected because a server had no capacity", &metrics.shed),
            (
                "invalid_arguments",
                "Calls whose arguments do not match the tool's input schema",
                &metrics.invalid_arguments,
            ),
            (
                "invalid_results",
                "Results that do not match the tool's output schema",
                &metrics.invalid_results,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, counter) in [
            ("authentication_failures", "Requests with failed authentication", &metrics.refused),
            ("audit_records", "Audit records written", &metrics.audit_records),
            (
                "audit_lost_records",
                "Audit records dropped because the queue was full",
                &metrics.audit_lost,
            ),
            (
                "credit_alerts",
                "Percentages of credit that accounts reached",
                &metrics.credit_alerts,
            ),
            ("webhook_dropped_events", "Events not queued for webhooks", &metrics.webhooks_dropped),
            ("webhook_failed_attempts", "Failed webhook requests", &metrics.webhooks_failed),
            (
                "dropped_spans",
                "Spans dropped before a collector accepted them",
                &metrics.spans_dropped,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("client_sessions", "Open sessions of handshake-era clients", &metrics.sessions),
            ("listeners", "Open listening streams", &metrics.listeners),
            ("parked_calls", "Calls waiting for input of their clients", &metrics.parked),
            ("server_processes", "Running server programs", &metrics.processes),
            ("calls_in_flight", "Calls in flight", &metrics.in_flight),
            ("servers", "Servers in the configuration", &metrics.servers),
            (
                "servers_review_overdue",
                "Servers in use whose review date has passed",
                &metrics.servers_review_overdue,
            ),
            (
                "definitions_withheld",
                "Definitions that are not served, for they are not pinned or differ from their pins",
                &metrics.definitions_withheld,
            ),
            ("servers_up", "Servers that can be reached", &metrics.servers_up),
            ("audit_waiting_records", "Audit records queued", &metrics.audit_waiting),
            ("audit_failing", "1 while audit records cannot be written", &metrics.audit_failing),
            ("audit_failing_exports", "Failing audit exports", &metrics.exports_failing),
            (
                "shared_limits_unavailable",
                "1 while the shared limit store is unavailable",
                &metrics.limits_unavailable,
            ),
            ("stops", "Emergency stops in force", &metrics.stops),
            ("stops_unwritten", "Stops not yet in the store", &metrics.stops_unwritten),
            ("cache_entries", "Cached results", &metrics.cache_entries),
            ("cache_bytes", "Bytes of cached results", &metrics.cache_bytes),
            ("resident_memory_bytes", "Resident memory", &metrics.resident),
        ] {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }
}

/// A server's state, sampled at each scrape.
#[derive(Debug)]
pub struct ServerState<'a> {
    pub name: &'a str,
    /// The concurrency limit, if it is adaptive.
    pub concurrency: Option<usize>,
    /// The state of each of its replicas.
    pub replicas: Vec<&'static str>,
}

impl Metrics {
    /// Sets the states of all servers; removed servers are dropped.
    pub fn note_servers<'a>(&self, servers: impl Iterator<Item = ServerState<'a>>) {
        self.replicas.clear();
        self.concurrency.clear();
        for ServerState { name, concurrency, replicas } in servers {
            if let Some(limit) = concurrency {
                let labels = ServerLabels { server: name.to_owned() };
                self.concurrency.get_or_create(&labels).set(limit as i64);
            }
            for state in replicas {
                let labels = ReplicaLabels { server: name.to_owned(), state };
                self.replicas.get_or_create(&labels).inc();
            }
        }
    }

    /// Sets the number of servers in each lifecycle state.
    pub fn note_lifecycle(&self, states: impl Iterator<Item = (&'static str, usize)>) {
        for (state, count) in states {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.lifecycle.get_or_create(&LifecycleLabels { state }).set(count);
        }
    }

    pub fn server(&self, name: &str) -> ServerMetrics {
        let labels = ServerLabels { server: name.to_owned() };
        ServerMetrics {
            invalid_arguments: self.invalid_arguments.get_or_create(&labels).clone(),
            invalid_results: self.invalid_results.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            shed: self.shed.get_or_create(&labels).clone(),
            cache: CacheOutcome::ALL.map(|outcome| {
                let labels = CacheLabels { server: name.to_owned(), outcome };
                self.cache.get_or_create(&labels).clone()
            }),
            server: name.to_owned(),
            calls: self.calls.clone(),
            durations: self.durations.clone(),
            upstream: self.upstream.clone(),
            tools: RwLock::default(),
            methods: RwLock::default(),
        }
    }

    /// The counters of a server's deviations.
    pub fn deviations(&self, server: &str) -> Arc<Deviations> {
        Arc::new(Deviations { server: server.to_owned(), counted: self.deviations.clone() })
    }

    /// Counts a call by user, if the operator enabled it.
    pub fn user(&self, tenant: Option<&str>, user: &str, outcome: Outcome) {
        let tenant = tenant.unwrap_or_default();
        let name = format!("{tenant}/{user}");
        let known = self.known_users.read().contains(&name) || {
            let mut known = self.known_users.write();
            known.len() < MOST_USERS && known.insert(name)
        };
        let (tenant, user) = if known { (tenant, user) } else { (OTHERS, OTHERS) };
        let (tenant, user) = (label(tenant), label(user));
        self.users.get_or_create(&UserLabels { tenant, user, outcome }).inc();
    }

    /// The text in the OpenMetrics format, version 1.0.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Adds to a counter the increase of another since it was last read.
pub fn catch_up(counter: &Counter, seen: &AtomicU64, now: u64) {
    let before = seen.swap(now, std::sync::atomic::Ordering::AcqRel);
    counter.inc_by(now.saturating_sub(before));
}

impl Observer for Metrics {
    fn limit_hit(&self, limit: &str, dry_run: bool) {
        let dry_run = if dry_run { "true" } else { "false" };
        self.limited.get_or_create(&LimitLabels { limit: label(limit), dry_run }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_makes_up_are_one_series() {
        let metrics = Metrics::default();
        let server = metrics.server("s");
        for number in 0..MOST_TOOLS + 500 {
            server.record(&format!("m{number}"), &format!("t{number}"), Outcome::ok, 0.1, 0.0);
        }
        let text = metrics.text();
        let series = text.lines().filter(|line| line.starts_with("doorward_calls_total{")).count();
        assert!(series <= (MOST_TOOLS + 1) * 5, "{series}");
        assert!(text.contains("tool=\"other\",outcome=\"ok\"} 500"), "{series}");
        let series =
            text.lines().filter(|line| line.contains("call_duration_seconds_count{")).count();
        assert!(series <= 65, "{series}");
    }

    #[test]
    fn the_form_of_prometheus_names_counters_as_their_samples() {
        let metrics = Metrics::default();
        metrics.refused.inc();
        let text = prometheus(&metrics.text());
        assert!(text.contains(
            "# TYPE doorward_authentication_failures_total counter\ndoorward_authentication_failures_total 1\n"
        ));
        assert!(text.contains("# TYPE doorward_build_info gauge\n"), "{text}");
        assert!(!text.contains("# EOF"));
    }
}
