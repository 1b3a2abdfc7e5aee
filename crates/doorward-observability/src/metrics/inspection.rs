//! Metrics of call inspection: findings and actions.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::{DataLabels, FindingLabels, RefusedLabels};

/// Counts by direction. Signals, classes and actions are those of the operator's rules, so there are few series.
#[derive(Debug, Default)]
pub struct InspectionMetrics {
    findings: Family<FindingLabels, Counter>,
    data: Family<DataLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
}

impl InspectionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let about = "Messages in which inspection found a signal";
        registry.register("inspection_findings", about, self.findings.clone());
        let about = "Secrets and personal data that inspection found, by what was done with them";
        registry.register("inspection_data", about, self.data.clone());
        let about = "Messages that inspection refused";
        registry.register("inspection_refused", about, self.refused.clone());
    }

    /// Counts a signal in a message.
    pub fn finding(&self, direction: &'static str, signal: &str) {
        let labels = FindingLabels { direction, signal: super::label(signal) };
        self.findings.get_or_create(&labels).inc();
    }

    /// Counts occurrences of a class of data.
    pub fn data(&self, direction: &'static str, class: &str, action: &'static str, count: u64) {
        let labels = DataLabels { direction, class: super::label(class), action };
        self.data.get_or_create(&labels).inc_by(count);
    }

    /// Counts a refused message.
    pub fn refused(&self, direction: &'static str, code: &'static str) {
        self.refused.get_or_create(&RefusedLabels { direction, code }).inc();
    }
}
