//! Observability: the audit log and its exports, metrics, OpenTelemetry, and webhooks.

pub mod audit;
pub mod in_flight;
pub mod metrics;
pub mod telemetry;
pub mod webhooks;
