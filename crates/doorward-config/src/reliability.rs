//! What happens when a server is slow, fails or is overloaded.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use super::server::is_owned_header;

/// Settings that are absent are inherited from the settings for all servers, or have their default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReliabilitySettings {
    /// Maximum total time of a call, including one that reports progress. Default: `timeouts.call_with_progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Period>,
    /// How long the server may take to respond to one attempt of a call that can be retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Period>,
    /// How long the server may take to begin its response; over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Period>,
    /// Header that tells the server how much time a call has left, in milliseconds; over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetrySettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<BulkheadSettings>,
    /// Active health checks. Default: only servers with replicas are checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
    /// When a failing replica is taken out of rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejection: Option<EjectionSettings>,
}

/// Retries of failed calls. Calls that may have changed something are never retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Maximum number of attempts, including the first; 1 disables retries.
    pub attempts: u32,
    /// Maximum percentage of its calls that may be retries; a few retries are always allowed.
    pub budget: u8,
    /// Maximum pause before the second attempt; it doubles with each attempt. Pauses are random, from zero to
    /// this time.
    pub backoff: Period,
    /// Maximum pause, including one that the server requests (`Retry-After`). If the server requests a longer
    /// one, its error is returned.
    pub max_backoff: Period,
    /// Trust tools that declare that they can be called repeatedly (`idempotentHint`).
    pub trust_idempotent: bool,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            budget: 20,
            backoff: Period(Duration::from_millis(100)),
            max_backoff: Period(Duration::from_secs(5)),
            trust_idempotent: false,
        }
    }
}

/// Circuit breaker: when to stop sending calls to a failing server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Disable the circuit breaker.
    pub off: bool,
    /// Percentage of failed calls at which the circuit opens.
    pub failures: u8,
    /// Percentage of calls slower than `slow_after` at which the circuit opens.
    pub slow: u8,
    pub slow_after: Period,
    /// Period over which calls are counted.
    pub window: Period,
    /// Minimum number of calls in the window.
    pub min_calls: u32,
    /// How long the circuit stays open the first time. It doubles each time that the server fails again, up to
    /// eight times as long.
    pub open: Period,
    /// Number of calls to let through as probes; all must succeed to close the circuit.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            off: false,
            failures: 50,
            slow: 90,
            slow_after: Period(Duration::from_secs(30)),
            window: Period(Duration::from_secs(30)),
            min_calls: 20,
            open: Period(Duration::from_secs(5)),
            probes: 3,
        }
    }
}

impl BreakerSettings {
    pub(super) fn problems(&self) -> Vec<&'static str> {
        let mut problems = Vec::new();
        let shares = [self.failures, self.slow];
        if shares.iter().any(|share| *share == 0 || *share > 100) {
            problems.push("'failures' and 'slow' must be percentages from 1 to 100");
        }
        if self.window.0 < Duration::from_secs(1) || self.open.0.is_zero() {
            problems.push("'window' must be at least 1s, and 'open' must not be 0");
        }
        if self.min_calls == 0 || self.probes == 0 {
            problems.push("'min_calls' and 'probes' must be at least 1");
        }
        problems
    }
}

/// Bulkhead: how many concurrent calls a server receives, and what happens to those beyond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BulkheadSettings {
    pub concurrency: usize,
    /// How many calls may wait. When another comes, the call is refused that has waited longest of the caller
    /// with the most waiting calls.
    pub queue: usize,
    /// How long a call may wait.
    pub wait: Period,
    /// Adapt the concurrency to the server, up to `concurrency`: it is reduced when calls take longer than under
    /// low load.
    pub adaptive: bool,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            concurrency: 1_000,
            queue: 1_000,
            wait: Period(Duration::from_secs(5)),
            adaptive: false,
        }
    }
}

/// Active health checks: by `server/discover`, or by `ping` in the handshake era.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// Disable health checks.
    pub off: bool,
    /// How often the server is checked.
    pub interval: Period,
    /// How long a health check may take.
    pub timeout: Period,
    /// Number of consecutive failures after which the server is down.
    pub failures: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            off: false,
            interval: Period(Duration::from_secs(5)),
            timeout: Period(Duration::from_secs(2)),
            failures: 2,
        }
    }
}

/// When a replica is taken out of rotation although it can be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EjectionSettings {
    /// Disable ejection.
    pub off: bool,
    /// Number of consecutive failed calls.
    pub failures: u32,
    /// How long a replica is ejected the first time. The time grows by as much with each ejection, up to ten
    /// times as long.
    pub period: Period,
    /// Maximum percentage of replicas that are ejected at a time.
    pub max_percent: u8,
}

impl Default for EjectionSettings {
    fn default() -> Self {
        Self { off: false, failures: 5, period: Period(Duration::from_secs(30)), max_percent: 50 }
    }
}

impl ReliabilitySettings {
    /// These settings, with absent ones inherited from the less specific level.
    pub fn or(&self, other: &Self) -> Self {
        Self {
            total: self.total.or(other.total),
            attempt: self.attempt.or(other.attempt),
            first_byte: self.first_byte.or(other.first_byte),
            deadline_header: self.deadline_header.clone().or_else(|| other.deadline_header.clone()),
            retries: self.retries.clone().or_else(|| other.retries.clone()),
            breaker: self.breaker.clone().or_else(|| other.breaker.clone()),
            bulkhead: self.bulkhead.clone().or_else(|| other.bulkhead.clone()),
            health: self.health.clone().or_else(|| other.health.clone()),
            ejection: self.ejection.clone().or_else(|| other.ejection.clone()),
        }
    }

    /// Keys below it, and their problems.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut wrong = |key, why: &str| problems.push((key, why.to_owned()));
        let header = self.deadline_header.as_ref();
        if header.is_some_and(|it| http::HeaderName::try_from(it).is_err() || is_owned_header(it)) {
            wrong("deadline_header", "is not a header that can be used");
        }
        if let Some(retries) = &self.retries {
            if retries.attempts == 0 || retries.attempts > 10 {
                wrong("retries", "'attempts' must be 1 to 10");
            }
            if retries.budget > 100 {
                wrong("retries", "'budget' must be a percentage from 0 to 100");
            }
        }
        for why in self.breaker.iter().flat_map(BreakerSettings::problems) {
            wrong("breaker", why);
        }
        if self.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.concurrency == 0) {
            wrong("bulkhead", "'concurrency' must be at least 1");
        }
        if let Some(health) = &self.health {
            if health.interval.0 < Duration::from_millis(100) || health.timeout.0.is_zero() {
                wrong("health", "'interval' must be at least 100ms, and 'timeout' must not be 0");
            }
            if health.failures == 0 {
                wrong("health", "'failures' must be at least 1");
            }
        }
        if let Some(ejection) = &self.ejection {
            if ejection.failures == 0 || ejection.period.0.is_zero() {
                wrong("ejection", "'failures' must be at least 1, and 'period' must not be 0");
            }
            if ejection.max_percent > 100 {
                wrong("ejection", "'max_percent' must be a percentage from 0 to 100");
            }
        }
        problems
    }
}
