//! Which events a receiver is sent, and how often they are tried: what webhooks and e-mail have in common.
//!
//! The keys are repeated in both, because errors in flattened keys would not name their places.

use std::time::Duration;

use doorward_core::pattern::Pattern;

use super::Period;

/// Every kind of event, and what it tells.
pub const EVENT_KINDS: [(&str, &str); 19] = [
    ("stop.set", "something was stopped in an emergency"),
    ("stop.lifted", "a stop was undone"),
    ("server.proposed", "a proposal waits for its review"),
    ("server.review_due", "the review date of a server has passed"),
    ("server.quarantined", "a server is quarantined"),
    ("definition.drifted", "a definition differs from its pin, and is quarantined"),
    (
        "definition.suspicious",
        "a definition has invisible characters, or looks like instructions to a model",
    ),
    ("approval.waiting", "a call waits for approval"),
    ("approval.decided", "a call was approved or refused"),
    ("request.opened", "a user asks for access or a new server"),
    ("request.granted", "a request for access was granted"),
    ("request.refused", "a request for access was refused"),
    ("server.down", "a server cannot be reached"),
    ("server.up", "a server that was down can be reached again"),
    ("refusals.high", "more callers and calls are refused than `refusals_per_minute`"),
    ("budget.near", "an account has used a percentage of its credit or budget"),
    ("export.behind", "an audit export fails"),
    ("export.recovered", "an audit export that failed works again"),
    ("webhook.test", "sent on request, to try a webhook"),
];

/// The settings of a receiver that are about events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub kinds: &'a [Pattern],
    pub tenants: &'a [Pattern],
    pub servers: &'a [Pattern],
    pub retry_pause: Period,
    pub retry_for: Period,
}

impl Choice<'_> {
    /// Whether the receiver wants an event. What belongs to no tenant or server is for all.
    pub fn wants(&self, kind: &str, tenant: Option<&str>, server: Option<&str>) -> bool {
        self.kinds.iter().any(|pattern| pattern.matches(kind))
            && fits(self.tenants, tenant)
            && fits(self.servers, server)
    }

    /// Problems, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let all = || EVENT_KINDS.map(|(kind, _)| kind).join(", ");
        if self.kinds.is_empty() {
            problems.push(("kinds", format!("expected at least one of {}", all())));
        }
        for pattern in self.kinds {
            if !EVENT_KINDS.iter().any(|(kind, _)| pattern.matches(kind)) {
                let why = format!("'{pattern}' matches no kind of event: {}", all());
                problems.push(("kinds", why));
            }
        }
        if self.retry_pause.0 < Duration::from_millis(10) {
            problems.push(("retry_pause", "must be at least 10ms".into()));
        }
        if self.retry_for.0 > Duration::from_secs(30 * 24 * 60 * 60) {
            problems.push(("retry_for", "must be at most 30d".into()));
        }
        problems
    }
}

/// Whether a name fits one of the patterns. No patterns fit all, and no name fits all patterns.
fn fits(patterns: &[Pattern], name: Option<&str>) -> bool {
    patterns.is_empty()
        || name.is_none_or(|name| patterns.iter().any(|pattern| pattern.matches(name)))
}

pub(super) fn first_pause() -> Period {
    Period(Duration::from_secs(5))
}

pub(super) fn a_day() -> Period {
    Period(Duration::from_secs(24 * 60 * 60))
}
