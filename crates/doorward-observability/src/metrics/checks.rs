//! Metrics of external checks, by the names in the configuration.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    check: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckAnswerLabels {
    check: String,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckFailureLabels {
    check: String,
    kind: &'static str,
}

/// Durations, results and failures of checks.
#[derive(Debug, Clone)]
pub struct CheckMetrics {
    seconds: Family<CheckLabels, Histogram, fn() -> Histogram>,
    answers: Family<CheckAnswerLabels, Counter>,
    failures: Family<CheckFailureLabels, Counter>,
}

impl Default for CheckMetrics {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(super::durations as fn() -> Histogram),
            answers: Family::default(),
            failures: Family::default(),
        }
    }
}

impl CheckMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let about = "Duration of requests to external checks";
        registry.register("check_seconds", about, self.seconds.clone());
        let about = "Answers of external checks, by action";
        registry.register("check_answers", about, self.answers.clone());
        let about = "External checks that could not be made";
        registry.register("check_failures", about, self.failures.clone());
    }

    /// Counts the result or failure of a check.
    pub fn note(
        &self,
        check: &str,
        action: &'static str,
        failure: Option<&'static str>,
        seconds: f64,
    ) {
        let check = check.to_owned();
        self.seconds.get_or_create(&CheckLabels { check: check.clone() }).observe(seconds);
        match failure {
            None => self.answers.get_or_create(&CheckAnswerLabels { check, action }).inc(),
            Some(kind) => self.failures.get_or_create(&CheckFailureLabels { check, kind }).inc(),
        };
    }
}
