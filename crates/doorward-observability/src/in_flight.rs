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
/// Ended calls that a watcher may be behind; beyond, it misses some.
const BEHIND: usize = 1_024;

/// Calls by ID, and what cancels each; `None` once it has.
type Shard = Mutex<HashMap<u64, (Entry, Option<oneshot::Sender<()>>)>>;

#[derive(Debug)]
pub struct Live {
    shards: [Shard; SHARDS],
    ended: broadcast::Sender<Arc<EndedCall>>,
    /// Watchers, counted apart: the channel's own count is behind its lock, and every call asks.
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
    /// A credential is presented to the server for it.
    pub presents: bool,
}

/// One of them, as it is told.
#[derive(Debug, Serialize)]
pub struct LiveCall {
    pub call: String,
    pub principal: String,
    pub server: String,
    pub method: String,
    pub target: String,
    pub ms: u64,
}

/// A call is among them as long as this lives.
#[derive(Debug)]
pub struct Lives<'a> {
    live: &'a Live,
    call: u64,
    cancelled: oneshot::Receiver<()>,
}

impl Lives<'_> {
    /// Returns when the call is cancelled by a stop. Not to be awaited once it has returned.
    pub async fn cancelled(&mut self) {
        // The other end is held until the call has ended.
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

    /// Cancels those that are stopped.
    pub fn cancel(&self, are_stopped: impl Fn(&Entry) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let stopped = shard.values_mut().filter(|(entry, _)| are_stopped(entry));
            for cancel in stopped.filter_map(|(_, cancel)| cancel.take()) {
                let _ = cancel.send(());
            }
        }
    }

    /// Calls that end from now on.
    pub fn watch(&self) -> Watch {
        let calls = self.ended.subscribe();
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watch { calls, watchers: self.watchers.clone() }
    }

    /// Tells watchers of a call that has ended. Without watchers, nothing is made.
    pub fn ended(&self, call: impl FnOnce() -> EndedCall) {
        if self.watchers.load(Ordering::Relaxed) > 0 {
            let _ = self.ended.send(Arc::new(call()));
        }
    }

    /// Those that have lasted longest, first.
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

/// Somebody who watches calls end.
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
