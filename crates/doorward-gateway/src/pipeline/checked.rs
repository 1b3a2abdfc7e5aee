//! What external checks have said of a call, and what is needed to ask them about its answer.

use std::sync::Arc;

use doorward_guards::checks::{Checks, Report};
use doorward_upstream::Shared;

/// The checks of a call whose target they concern.
#[derive(Debug)]
pub struct Checked {
    pub checks: Arc<Checks>,
    pub shared: Arc<Shared>,
    /// The call, as checks are told it: `doorward_guards::checks::Subject::about`.
    pub about: serde_json::Value,
    pub reports: Vec<Report>,
}

impl Checked {
    /// Counts and keeps what checks have said.
    pub fn note(&mut self, reports: Vec<Report>) {
        for report in &reports {
            let seconds = report.took.as_secs_f64();
            self.shared.metrics.checks.note(&report.check, report.action, report.failure, seconds);
        }
        self.reports.extend(reports);
    }
}
