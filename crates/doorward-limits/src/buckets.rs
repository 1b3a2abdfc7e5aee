//! Token buckets by key, such as an address or an administrator, for requests to the gateway's own pages and APIs. What calls
//! may use is in [`crate::rates`].

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use parking_lot::Mutex;

/// A bucket for each key. The number of keys is bounded: those whose bucket is full again are forgotten first, and while
/// none is, keys that are not known yet are refused.
#[derive(Debug)]
pub struct Buckets<K> {
    /// How many tokens a bucket holds, and how many it gets a second.
    burst: f64,
    per_second: f64,
    most: usize,
    all: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// `most` keys are remembered.
    pub fn new(burst: f64, per_second: f64, most: usize) -> Self {
        Self { burst, per_second, most, all: Mutex::default() }
    }

    fn refilled(&self, bucket: Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + since * self.per_second).min(self.burst)
    }

    /// Takes a token; `false` if there is none.
    pub fn admit(&self, key: &K, now: Instant) -> bool {
        let mut all = self.all.lock();
        if all.len() >= self.most && !all.contains_key(key) {
            all.retain(|_, bucket| self.refilled(*bucket, now) < self.burst);
            if all.len() >= self.most {
                return false;
            }
        }
        let bucket = all.entry(key.clone()).or_insert(Bucket { left: self.burst, at: now });
        let left = self.refilled(*bucket, now);
        let admitted = left >= 1.0;
        *bucket = Bucket { left: if admitted { left - 1.0 } else { left }, at: now };
        admitted
    }

    /// Gives a token back: what took it does not count.
    pub fn give_back(&self, key: &K) {
        if let Some(bucket) = self.all.lock().get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(self.burst);
        }
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
