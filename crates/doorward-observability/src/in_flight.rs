//! Calls in flight and calls that have ended: for the admin API, and to cancel those that are stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{broadcast, oneshot};

use doorward_identity::identity::Principal;
use doorward_inspect::written::{self, Keep};

const SHARDS: usize = 16;
/// Maximum number of ended calls buffered per watcher; a slower watcher misses some.
const BEHIND: usize = 1_024;

/// Calls by id, and what cancels each; `None` once cancelled.
type Shard = Mutex<HashMap<u64, (Entry, Option<oneshot::Sender<()>>)>>;

#[derive(Debug)]
pub struct Live {
    shards: [Shard; SHARDS],
    ended: broadcast::Sender<Arc<EndedCall>>,
    /// The number of watchers, counted separately: the channel's count is behind its lock, and
    /// every call reads it.
    watchers: Arc<AtomicUsize>,
}

impl Default for Live {
    fn default() -> Self {
        let ended = broadcast::Sender::new(BEHIND);
        Self { shards: Default::default(), ended, watchers: Arc::default() }
    }
}

/// A call that has ended, as watchers see it.
#[derive(Debug, Clone, Serialize)]
pub struct EndedCall {
    pub call: String,
    pub principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub server: String,
    pub method: String,
    pub target: String,
    /// `ok`, `error`, `denied`, `rate_limited` or `failure`.
    pub outcome: &'static str,
    pub ms: f64,
}

/// A call that is sent to a server.
#[derive(Debug)]
pub struct Entry {
    pub began: Instant,
    pub principal: Arc<Principal>,
    pub server: Arc<str>,
    pub method: Box<str>,
    pub target: String,
    /// Whether the server receives a credential with it.
    pub presents: bool,
}

/// A call as it is reported.
#[derive(Debug, Serialize)]
pub struct LiveCall {
    pub call: String,
    pub principal: String,
    pub server: String,
    pub method: String,
    pub target: String,
    pub ms: u64,
}

/// Registers a call for as long as this value lives.
#[derive(Debug)]
pub struct Lives<'a> {
    live: &'a Live,
    call: u64,
    cancelled: oneshot::Receiver<()>,
}

impl Lives<'_> {
    /// Returns when the call is cancelled by a stop. Not to be awaited once it has returned.
    pub async fn cancelled(&mut self) {
        // The sender is held until the call has ended.
        let _ = (&mut self.cancelled).await;
    }
}

impl Live {
    fn shard(&self, call: u64) -> &Shard {
        &self.shards[usize::try_from(call % SHARDS as u64).unwrap_or(0)]
    }

    pub fn enter(&self, call: u64, entry: Entry) -> Lives<'_> {
        let (cancel, cancelled) = oneshot::channel();
        self.shard(call).lock().insert(call, (entry, Some(cancel)));
        Lives { live: self, call, cancelled }
    }

    /// Cancels stopped calls.
    pub fn cancel(&self, are_stopped: impl Fn(&Entry) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let stopped = shard.values_mut().filter(|(entry, _)| are_stopped(entry));
            for cancel in stopped.filter_map(|(_, cancel)| cancel.take()) {
                let _ = cancel.send(());
            }
        }
    }

    /// Watches calls that end from now on.
    pub fn watch(&self) -> Watch {
        let calls = self.ended.subscribe();
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watch { calls, watchers: self.watchers.clone() }
    }

    /// Reports a call that has ended. Without watchers, nothing is built.
    pub fn ended(&self, call: impl FnOnce() -> EndedCall) {
        if self.watchers.load(Ordering::Relaxed) > 0 {
            let _ = self.ended.send(Arc::new(call()));
        }
    }

    /// The longest-running calls first.
    pub fn list(&self, most: usize) -> Vec<LiveCall> {
        let mut all: Vec<LiveCall> = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().iter().map(|(call, (entry, _))| LiveCall {
                call: format!("{call:016x}"),
                principal: entry.principal.id.to_string(),
                server: entry.server.to_string(),
                method: written::text(&entry.method, Keep::Nothing).into_owned(),
                target: written::text(&entry.target, Keep::Nothing).into_owned(),
                ms: u64::try_from(entry.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            }));
        }
        all.sort_by_key(|call| std::cmp::Reverse(call.ms));
        all.truncate(most);
        all
    }
}

/// A watcher of ended calls.
#[derive(Debug)]
pub struct Watch {
    pub calls: broadcast::Receiver<Arc<EndedCall>>,
    watchers: Arc<AtomicUsize>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Lives<'_> {
    fn drop(&mut self) {
        self.live.shard(self.call).lock().remove(&self.call);
    }
}
