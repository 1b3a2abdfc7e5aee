//! One cached result.

use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_mcp::{Object, Value};
use serde::{Deserialize, Serialize};

/// What an entry takes beside its text.
const OVERHEAD: usize = 768;

/// A result, and for how long it is good.
#[derive(Debug)]
pub struct Entry {
    pub result: Object,
    pub weight: u32,
    made: Instant,
    /// What marked the server's state before it was asked.
    pub epoch: u64,
    pub lives: Lives,
}

/// How long a result is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lives {
    pub fresh: Duration,
    /// After that, while another is fetched.
    pub revalidating: Duration,
    /// After that, where the server fails.
    pub failing: Duration,
}

impl Lives {
    pub fn longest(&self) -> Duration {
        self.fresh.saturating_add(self.revalidating.max(self.failing))
    }
}

/// How good a result still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Fresh,
    /// It is told, and another is fetched.
    Revalidating,
    /// It is told only where the server fails.
    Failing,
    Over,
}

/// A result as it lies in a shared store.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    result: String,
    /// Milliseconds since 1970.
    made: i64,
    epoch: u64,
    lives: Lives,
}

impl Entry {
    pub fn new(result: Object, lives: Lives, epoch: u64) -> Self {
        // A copy, which does not hold the buffer that it was read into: that is larger than most results.
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

    /// Whether it may be told where the server fails.
    pub fn helps(&self) -> bool {
        self.made.elapsed() < self.lives.fresh.saturating_add(self.lives.failing)
    }

    /// The result, with a word on where it comes from and what is left of its time.
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

    pub(super) fn to_kept(&self) -> Kept {
        let age = i64::try_from(self.made.elapsed().as_millis()).unwrap_or(i64::MAX);
        let result = String::from_utf8_lossy(&self.result.to_bytes()).into_owned();
        Kept { result, made: now().saturating_sub(age), epoch: self.epoch, lives: self.lives }
    }

    /// What lay in a shared store, if it is a result.
    pub(super) fn from_kept(kept: Kept) -> Option<Self> {
        let text = Bytes::from(kept.result);
        let result = Object::parse(&text)?;
        let age = u64::try_from(now().saturating_sub(kept.made)).unwrap_or(0);
        let made = Instant::now().checked_sub(Duration::from_millis(age))?;
        Some(Self { made, ..Self::new(result, kept.lives, kept.epoch) })
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
