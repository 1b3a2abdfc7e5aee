//! What external checks have said of a call, and what is needed to ask them about its answer.

use std::sync::Arc;

use doorward_config::CheckWhen;
use doorward_guards::checks::{Checks, Report};
use doorward_observability::audit::members::Members;
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
            let (check, seconds) = (&*report.check, report.took.as_secs_f64());
            self.shared.metrics.check(check, report.action, report.failure, seconds);
        }
        self.reports.extend(reports);
    }

    /// All of it, for the audit record: a JSON array.
    pub fn told(&self) -> String {
        let mut all = String::from("[");
        for report in &self.reports {
            let mut members = Members::default();
            members.text("check", &report.check);
            members.text("when", if report.when == CheckWhen::Before { "before" } else { "after" });
            members.text("action", report.action).maybe("reason", Some(&report.reason));
            members.maybe("failure", report.failure);
            members.texts("labels", report.labels.iter().map(String::as_str));
            let micros = i64::try_from(report.took.as_micros()).unwrap_or(i64::MAX);
            members.number("us", micros).maybe("sent_sha256", report.sent.as_deref());
            if all.len() > 1 {
                all.push(',');
            }
            all.push('{');
            all.push_str(members.as_text());
            all.push('}');
        }
        all.push(']');
        all
    }
}
