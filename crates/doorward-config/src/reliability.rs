//! What is done when a server is slow, fails, or is asked more than it can bear.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use super::server::is_owned_header;

/// What is absent is what is said for all servers, or the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReliabilitySettings {
    /// How long a call may take in all, however much it progresses; `timeouts.call_with_progress` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Period>,
    /// How long the server may take to answer one attempt of a call that may be repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Period>,
    /// How long the server may take to begin its answer; over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Period>,
    /// The header in which the server is told how much time a call has left, in milliseconds; over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetrySettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<BulkheadSettings>,
    /// Whether the server is asked now and then how it is; replicas are when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
    /// When a replica that fails is passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejection: Option<EjectionSettings>,
}

/// Which calls are made again, and how often. Never one that may have written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// How often a call is made at most; 1 is never again.
    pub attempts: u32,
    /// Of its calls, so many of a hundred may be made again; a few always may.
    pub budget: u8,
    /// The longest pause before the second attempt; it doubles with each. Pauses are chosen by chance between
    /// nothing and that.
    pub pause: Period,
    /// The longest pause, be it what the server asks for (`Retry-After`). Where it asks for more, its refusal
    /// is told.
    pub longest: Period,
    /// A tool that says that it may be called twice (`idempotentHint`) is believed.
    pub trust_idempotent: bool,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            budget: 20,
            pause: Period(Duration::from_millis(100)),
            longest: Period(Duration::from_secs(5)),
            trust_idempotent: false,
        }
    }
}

/// When a server that fails is left alone for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// It never is.
    pub off: bool,
    /// When so many of a hundred calls have failed.
    pub failures: u8,
    /// When so many of a hundred took longer than `slow_after`.
    pub slow: u8,
    pub slow_after: Period,
    /// Of the calls that ended within this time.
    pub window: Period,
    /// If there were as many.
    pub least: u32,
    /// How long it is left alone the first time; twice as long each time that it fails again, up to eight times.
    pub open: Period,
    /// Calls that are let through to find out, of which all must succeed.
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
            least: 20,
            open: Period(Duration::from_secs(5)),
            probes: 3,
        }
    }
}

/// How many calls a server has at a time, and what happens to those beyond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BulkheadSettings {
    pub concurrency: usize,
    /// How many may wait. When one more comes, the one is refused that has waited longest of the caller who has most
    /// waiting.
    pub queue: usize,
    /// How long one waits.
    pub wait: Period,
    /// The number of calls at a time is found out, up to `concurrency`: fewer when they take longer than with little beside
    /// them.
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

/// How a server is asked how it is: by `server/discover`, or `ping` in the handshake era.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// It never is.
    pub off: bool,
    pub every: Period,
    /// How long it may take to answer.
    pub within: Period,
    /// Taken for down when it did not so many times in a row.
    pub failures: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            off: false,
            every: Period(Duration::from_secs(5)),
            within: Period(Duration::from_secs(2)),
            failures: 2,
        }
    }
}

/// When a replica is passed over though it can be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EjectionSettings {
    /// None ever is.
    pub off: bool,
    /// After so many calls that failed in a row.
    pub failures: u32,
    /// How long the first time; each time longer by as much, up to ten times.
    pub period: Period,
    /// At most so many of a hundred replicas at a time.
    pub most: u8,
}

impl Default for EjectionSettings {
    fn default() -> Self {
        Self { off: false, failures: 5, period: Period(Duration::from_secs(30)), most: 50 }
    }
}

impl ReliabilitySettings {
    /// With what is said less specially where nothing is said here.
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

    /// Keys below it, and what is wrong with them.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut wrong = |key, why: &str| problems.push((key, why.to_owned()));
        let header = self.deadline_header.as_ref();
        if header.is_some_and(|it| http::HeaderName::try_from(it).is_err() || is_owned_header(it)) {
            wrong("deadline_header", "is no header to use");
        }
        if let Some(retries) = &self.retries {
            if retries.attempts == 0 || retries.attempts > 10 {
                wrong("retries", "'attempts' must be 1 to 10");
            }
            if retries.budget > 100 {
                wrong("retries", "'budget' is so many of a hundred calls");
            }
        }
        if let Some(breaker) = &self.breaker {
            let shares = [breaker.failures, breaker.slow];
            if shares.iter().any(|share| *share == 0 || *share > 100) {
                wrong("breaker", "'failures' and 'slow' are so many of a hundred calls");
            }
            if breaker.window.0 < Duration::from_secs(1) || breaker.open.0.is_zero() {
                wrong("breaker", "'window' must be a second at least, and 'open' not nothing");
            }
            if breaker.least == 0 || breaker.probes == 0 {
                wrong("breaker", "'least' and 'probes' must be 1 at least");
            }
        }
        if self.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.concurrency == 0) {
            wrong("bulkhead", "'concurrency' must be 1 at least");
        }
        if let Some(health) = &self.health {
            if health.every.0 < Duration::from_millis(100) || health.within.0.is_zero() {
                wrong("health", "'every' must be 100 ms at least, and 'within' not nothing");
            }
            if health.failures == 0 {
                wrong("health", "'failures' must be 1 at least");
            }
        }
        if let Some(ejection) = &self.ejection {
            if ejection.failures == 0 || ejection.period.0.is_zero() {
                wrong("ejection", "'failures' must be 1 at least, and 'period' not nothing");
            }
            if ejection.most > 100 {
                wrong("ejection", "'most' is so many of a hundred replicas");
            }
        }
        problems
    }
}
