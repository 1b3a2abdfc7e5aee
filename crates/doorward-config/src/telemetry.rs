//! Traces, metrics and logs for collectors.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Period, Secret};

/// OpenTelemetry: nothing is sent unless `otlp` says where to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    pub otlp: Option<Otlp>,
    pub traces: TraceSettings,
    pub metrics: MetricSettings,
    pub logs: LogSettings,
}

/// A collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Its address, such as `http://127.0.0.1:4318`; over HTTP `/v1/traces` and the like are added to it.
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
    /// Which part of the calls that begin a trace is traced: 0 for none, 1 for all.
    pub sample: f64,
    /// Calls that belong to a trace are traced if their client traces it.
    pub follow_clients: bool,
    /// Arguments and results are told, too, masked as in the record.
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
    /// Send them to the collector, too; they are at `/metrics` in any case.
    pub otlp: bool,
    pub every: Period,
    /// Count calls by tenant and user, too. Each of them is a series.
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
    /// Send the log to the collector, too.
    pub otlp: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { otlp: true }
    }
}

impl TelemetrySettings {
    /// Keys below `telemetry`, and what is wrong with them.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(otlp) = &self.otlp {
            if !matches!(otlp.endpoint.scheme(), "http" | "https") {
                problems.push(("otlp", "'endpoint': expected an http:// or https:// URL".into()));
            }
            if let Some(name) =
                otlp.headers.keys().find(|name| http::HeaderName::try_from(*name).is_err())
            {
                problems.push(("otlp", format!("'{name}' is no header's name")));
            }
        }
        if !(0.0..=1.0).contains(&self.traces.sample) {
            problems.push(("traces", "'sample': expected a part from 0 to 1".into()));
        }
        if self.metrics.every.0 < Duration::from_secs(1) {
            problems.push(("metrics", "'every': expected 1s at least".into()));
        }
        problems
    }
}
