//! How limits are reported to callers: in errors and in headers.

use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::RpcError;
use doorward_mcp::error::Kind;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};

use super::measure::{Left, Measure};
use super::rule::Rule;

/// A limit that refused a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    pub rule: Arc<str>,
    pub measure: Measure,
    /// Time until the next attempt; `None` if the call can never be allowed.
    pub retry: Option<Duration>,
    /// The shared store is unavailable, and the limit is configured to refuse calls then.
    pub away: bool,
}

impl Limited {
    pub(super) fn of(rule: &Rule, measure: Measure, retry: Duration) -> Self {
        let retry = (retry < Duration::MAX).then_some(retry);
        Self { rule: rule.name.clone(), measure, retry, away: false }
    }

    /// The error for the caller: the name of the limit, and when to retry.
    pub fn error(&self, call: &str) -> RpcError {
        let (rule, word) = (&self.rule, self.measure.word());
        let message = match self.retry {
            _ if self.away => format!("The limit '{rule}' cannot be checked at the moment"),
            None => {
                format!("The call counts for more than the limit '{rule}' ({word}) can allow")
            }
            Some(_) => format!("The limit '{rule}' ({word}) is used up"),
        };
        let retry =
            self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX).max(1));
        RpcError::new(Kind::RateLimited.code(), message).with_data(&serde_json::json!({
            "kind": Kind::RateLimited.as_str(),
            "limit": &**rule,
            "measure": word,
            "retryable": retry.is_some(),
            "retryAfterMs": retry,
            "call": call,
        }))
    }

    /// Writes the headers `Retry-After` (RFC 9110), `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers).
    pub fn tell(&self, headers: &mut HeaderMap) {
        let Some(retry) = self.retry else { return };
        // Rounded up to whole seconds.
        let seconds = retry.as_millis().div_ceil(1_000).max(1);
        headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        if !self.away && !self.measure.is_concurrent() {
            write_headers(headers, &self.rule, self.measure, Left { remaining: 0, reset: retry });
        }
    }
}

/// The limit with the smallest remaining share.
#[derive(Debug, Clone)]
pub struct Nearest {
    pub(super) rule: Arc<str>,
    pub(super) measure: Measure,
    pub(super) left: Left,
}

impl Nearest {
    /// Writes the same headers as [`Limited::tell`], without `Retry-After`.
    pub fn tell(&self, headers: &mut HeaderMap) {
        write_headers(headers, &self.rule, self.measure, self.left);
    }

    pub(super) fn share(&self) -> f64 {
        self.left.remaining as f64 / self.measure.limit().max(1) as f64
    }
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). Times are rounded up to whole
/// seconds.
fn write_headers(headers: &mut HeaderMap, rule: &str, measure: Measure, left: Left) {
    let (quota, window) = (measure.limit(), measure.seconds());
    let (remaining, seconds) = (left.remaining, left.reset.as_millis().div_ceil(1_000).max(1));
    let policy = format!("\"{rule}\";q={quota};w={window}");
    let left = format!("\"{rule}\";r={remaining};t={seconds}");
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}
