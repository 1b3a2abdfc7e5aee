//! Metrics of tolerated deviations from the protocol.

use doorward_mcp::lenient::Deviation;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::labels::DeviationLabels;

/// Counters of one server's deviations.
#[derive(Debug)]
pub struct Deviations {
    pub(super) server: String,
    pub(super) counted: Family<DeviationLabels, Counter>,
}

impl Deviations {
    pub fn note(&self, deviation: Deviation) {
        let labels = DeviationLabels { server: self.server.clone(), deviation: deviation.as_str() };
        self.counted.get_or_create(&labels).inc();
    }
}
