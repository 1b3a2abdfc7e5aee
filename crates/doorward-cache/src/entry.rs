//! One cached result.

use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_mcp::{Object, Value};
use serde::{Deserialize, Serialize};

/// Memory used by an entry in addition to its text, in bytes.
const OVERHEAD: usize = 768;

/// A result and its lifetimes.
#[derive(Debug)]
pub struct Entry {
    pub result: Object,
    pub weight: u32,
    made: Instant,
    /// The server's change counter before the request was sent.
    pub epoch: u64,
    pub lives: Lives,
}

/// How long a result may be served from cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lives {
    pub fresh: Duration,
    /// After `fresh`: served while it is refreshed in the background.
    pub revalidating: Duration,
    /// After `fresh`: served if the server fails.
    pub failing: Duration,
}

impl Lives {
    pub fn longest(&self) -> Duration {
        self.fresh.saturating_add(self.revalidating.max(self.failing))
    }
}

/// The state of a cached result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Fresh,
    /// It is served, and refreshed in the background.
    Revalidating,
    /// It is served only if the server fails.
    Failing,
    Over,
}

/// A result as stored in a shared cache.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    result: String,
    /// Milliseconds since 1970.
    made: i64,
    epoch: u64,
    lives: Lives,
}

impl Entry {
    pub fn new(result: Object, lives: Lives, epoch: u64) -> Self {
        // A copy, so that the read buffer is freed. The buffer is larger than most results.
        let text = Bytes::copy_from_slice(&result.to_bytes());
        let weight = u32::try_from(text.len() + OVERHEAD).unwrap_or(u32::MAX);
        let result = Object::parse(&text).unwrap_or(result);
        Self { result, weight, made: Instant::now(), epoch, lives }
    }

    pub fn age(&self) -> Age {
        let age = self.made.elapsed();
        let Lives { fresh, revalidating, failing } = self.lives;
        if age < fresh {
            Age::Fresh
        } else if age < fresh.saturating_add(revalidating) {
            Age::Revalidating
        } else if age < fresh.saturating_add(failing) {
            Age::Failing
        } else {
            Age::Over
        }
    }

    /// Whether it may be served if the server fails.
    pub fn helps(&self) -> bool {
        self.made.elapsed() < self.lives.fresh.saturating_add(self.lives.failing)
    }

    /// The result to return, with `doorward/cache` in its `_meta` (`status` and age) and the remaining `ttlMs`.
    pub fn told(&self, status: &str) -> Object {
        let mut result = self.result.clone();
        let age = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(ttl) = result.get("ttlMs").and_then(Value::as_u64) {
            result.set("ttlMs", Value::Raw(ttl.saturating_sub(age).to_string().into()));
        }
        if result.object("_meta").is_none() {
            result.set("_meta", Object::new());
        }
        if let Some(meta) = result.object_mut("_meta") {
            let told = serde_json::json!({ "status": status, "ageMs": age });
            meta.set("doorward/cache", Value::from_serde(&told));
        }
        result
    }

    pub(super) fn to_stored(&self) -> Stored {
        let age = i64::try_from(self.made.elapsed().as_millis()).unwrap_or(i64::MAX);
        let result = String::from_utf8_lossy(&self.result.to_bytes()).into_owned();
        Stored { result, made: now().saturating_sub(age), epoch: self.epoch, lives: self.lives }
    }

    /// Reads an entry from a shared cache; `None` if it is not a valid result.
    pub(super) fn from_stored(stored: Stored) -> Option<Self> {
        let text = Bytes::from(stored.result);
        let result = Object::parse(&text)?;
        let age = u64::try_from(now().saturating_sub(stored.made)).unwrap_or(0);
        let made = Instant::now().checked_sub(Duration::from_millis(age))?;
        Some(Self { made, ..Self::new(result, stored.lives, stored.epoch) })
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
