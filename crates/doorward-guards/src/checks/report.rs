//! What checks have said, in the form of audit records and errors.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_config::CheckWhen;
use doorward_mcp::{Object, Value};
use serde_json::json;

/// What one check said.
#[derive(Debug, Clone)]
pub struct Report {
    pub check: Arc<str>,
    pub when: CheckWhen,
    /// `allow`, `refuse`, `change`, `hold`, or `failed`.
    pub action: &'static str,
    /// Empty where there is none.
    pub reason: String,
    /// Why it failed, in a word.
    pub failure: Option<&'static str>,
    pub labels: BTreeSet<String>,
    pub took: Duration,
    /// SHA-256 of what it was sent.
    pub sent: Option<String>,
}

/// Why a call does not go on.
#[derive(Debug, Clone)]
pub struct Refused {
    pub check: Arc<str>,
    pub reason: String,
    /// The check did not say so: it failed.
    pub failed: bool,
}

impl Refused {
    /// The message for the caller. `was_called` tells that the server may have done what it was asked to.
    pub fn message(&self, was_called: bool) -> String {
        let Self { check, reason, failed } = self;
        let (called, what) = match was_called {
            true => ("The server was called, but the", "result"),
            false => ("The", "call"),
        };
        let message = match failed {
            true => format!("{called} check '{check}' failed"),
            false => format!("{called} check '{check}' refused the {what}"),
        };
        match reason.is_empty() {
            true => message,
            false => format!("{message}: {reason}"),
        }
    }
}

/// All that was said of a call or a definition, for its audit record: a JSON array.
pub fn told(reports: &[Report]) -> String {
    let all = reports.iter().map(|report| {
        let when = report.when.as_str();
        let mut one = json!({ "check": &*report.check, "when": when, "action": report.action });
        if !report.reason.is_empty() {
            one["reason"] = json!(report.reason);
        }
        if let Some(failure) = report.failure {
            one["failure"] = json!(failure);
        }
        if !report.labels.is_empty() {
            one["labels"] = json!(report.labels);
        }
        one["us"] = json!(u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX));
        if let Some(sent) = &report.sent {
            one["sent_sha256"] = json!(sent);
        }
        one
    });
    serde_json::Value::from_iter(all).to_string()
}

/// Whether a changed result is of the kind that the server's was: only a server asks for input, and only a server has
/// tasks.
pub fn is_same_kind(result: &Object, changed: &Object) -> bool {
    ["resultType", "inputRequests", "requestState", "taskId", "status"].into_iter().all(|member| {
        let bytes = |object: &Object| object.get(member).map(Value::to_bytes);
        bytes(result) == bytes(changed)
    })
}
