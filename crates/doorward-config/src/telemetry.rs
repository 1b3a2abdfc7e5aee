//! OpenTelemetry: traces, metrics and logs.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Period, Secret};

/// OpenTelemetry. Nothing is sent unless `otlp` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    pub otlp: Option<Otlp>,
    pub traces: TraceSettings,
    pub metrics: MetricSettings,
    pub logs: LogSettings,
}

/// An OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Address of the collector, such as `http://127.0.0.1:4318`; over HTTP `/v1/traces` and similar paths are
    /// appended.
    pub endpoint: Url,
    #[serde(default)]
    pub protocol: OtlpProtocol,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpProtocol {
    #[default]
    Http,
    Grpc,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// Fraction of the calls without a trace of their own to sample: 0 for none, 1 for all.
    pub sample: f64,
    /// Sample calls that belong to a trace if their client samples it.
    pub follow_clients: bool,
    /// Include arguments and results, masked as in audit records.
    pub payloads: bool,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { sample: 0.05, follow_clients: true, payloads: false }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricSettings {
    /// Also send metrics to the collector; they are at `/metrics` in any case.
    pub otlp: bool,
    pub every: Period,
    /// Also label calls with tenant and user. Each combination is a separate time series.
    pub users: bool,
}

impl Default for MetricSettings {
    fn default() -> Self {
        Self { otlp: true, every: Period(Duration::from_secs(30)), users: false }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Also send logs to the collector.
    pub otlp: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { otlp: true }
    }
}

impl TelemetrySettings {
    /// Keys below `telemetry`, and their problems.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(otlp) = &self.otlp {
            if !matches!(otlp.endpoint.scheme(), "http" | "https") {
                problems.push(("otlp", "'endpoint': expected an http:// or https:// URL".into()));
            }
            if let Some(name) =
                otlp.headers.keys().find(|name| http::HeaderName::try_from(*name).is_err())
            {
                problems.push(("otlp", format!("'{name}' is not a valid header name")));
            }
        }
        if !(0.0..=1.0).contains(&self.traces.sample) {
            problems.push(("traces", "'sample': must be a number from 0 to 1".into()));
        }
        if self.metrics.every.0 < Duration::from_secs(1) {
            problems.push(("metrics", "'every': must be at least 1s".into()));
        }
        problems
    }
}
