//! Observability: the audit log and its exports, metrics, and OpenTelemetry.

pub mod audit;
pub mod metrics;
pub mod telemetry;
