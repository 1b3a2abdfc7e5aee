//! What is counted and measured, in the OpenMetrics form.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabel {
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    server: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: String,
    dry_run: &'static str,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)] // The labels' own spelling.
pub enum Outcome {
    ok,
    /// The server's own error, or bad input.
    error,
    /// A policy refused it.
    denied,
    /// A limit was used up.
    limited,
    /// The gateway's own: the server could not be reached, understood or waited for.
    failure,
}

/// The measures of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    seconds: Family<ServerLabel, Histogram, fn() -> Histogram>,
    limited: Family<LimitLabels, Counter>,
    pub sessions: Gauge,
    pub listeners: Gauge,
    pub parked: Gauge,
    pub processes: Gauge,
    pub in_flight: Gauge,
}

/// The measures of one server, looked up once.
#[derive(Debug)]
pub struct ServerMetrics {
    outcomes: [Counter; 5],
    seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = || {
            Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0,
            ])
        };
        let mut metrics = Self {
            registry: Registry::with_prefix("doorward"),
            calls: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            limited: Family::default(),
            sessions: Gauge::default(),
            listeners: Gauge::default(),
            parked: Gauge::default(),
            processes: Gauge::default(),
            in_flight: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("calls", "Calls by server and outcome", metrics.calls.clone());
        let about = "Calls beyond a limit";
        registry.register("limited_calls", about, metrics.limited.clone());
        registry.register("call_seconds", "Duration of calls", metrics.seconds.clone());
        for (name, help, gauge) in [
            ("client_sessions", "Open sessions of handshake-era clients", &metrics.sessions),
            ("listeners", "Open listening streams", &metrics.listeners),
            ("parked_calls", "Calls that wait for their clients", &metrics.parked),
            ("server_processes", "Running server programs", &metrics.processes),
            ("calls_in_flight", "Calls being answered", &metrics.in_flight),
        ] {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }
}

impl Metrics {
    pub fn server(&self, name: &str) -> ServerMetrics {
        let all =
            [Outcome::ok, Outcome::error, Outcome::denied, Outcome::limited, Outcome::failure];
        let outcomes = all.map(|outcome| {
            self.calls.get_or_create(&CallLabels { server: name.to_owned(), outcome }).clone()
        });
        let label = ServerLabel { server: name.to_owned() };
        let seconds = self.seconds.get_or_create(&label).clone();
        ServerMetrics { outcomes, seconds }
    }

    /// Counts a call that a limit refused, or would have.
    pub fn limited(&self, limit: &str, dry: bool) {
        let dry_run = if dry { "true" } else { "false" };
        let labels = LimitLabels { limit: limit.to_owned(), dry_run };
        self.limited.get_or_create(&labels).inc();
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl ServerMetrics {
    pub fn record(&self, outcome: Outcome, seconds: f64) {
        self.outcomes[outcome as usize].inc();
        self.seconds.observe(seconds);
    }
}
