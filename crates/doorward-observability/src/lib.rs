//! What operators and auditors see: the audit log and its exports, metrics, and what collectors are sent by OTLP.

pub mod audit;
pub mod metrics;
pub mod telemetry;
