//! Timestamps, as they are stored.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as everything with a time is kept.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
