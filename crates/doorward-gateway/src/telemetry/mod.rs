//! What is told to collectors: traces, metrics and logs by OTLP.

pub mod messages;
pub mod sending;
