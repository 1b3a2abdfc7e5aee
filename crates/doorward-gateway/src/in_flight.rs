//! Calls in flight, for the admin API.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

use doorward_identity::identity::Principal;

const SHARDS: usize = 16;

#[derive(Debug, Default)]
pub struct Live([Mutex<HashMap<u64, Entry>>; SHARDS]);

/// A call that is sent to a server.
#[derive(Debug)]
pub struct Entry {
    pub began: Instant,
    pub principal: Arc<Principal>,
    pub server: Arc<str>,
    pub method: Box<str>,
    pub target: String,
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
}

impl Live {
    fn shard(&self, call: u64) -> &Mutex<HashMap<u64, Entry>> {
        &self.0[usize::try_from(call % SHARDS as u64).unwrap_or(0)]
    }

    pub fn enter(&self, call: u64, entry: Entry) -> Lives<'_> {
        self.shard(call).lock().insert(call, entry);
        Lives { live: self, call }
    }

    /// Those that have lasted longest, first.
    pub fn list(&self, most: usize) -> Vec<LiveCall> {
        let mut all: Vec<LiveCall> = Vec::new();
        for shard in &self.0 {
            all.extend(shard.lock().iter().map(|(call, entry)| LiveCall {
                call: format!("{call:016x}"),
                principal: entry.principal.id.to_string(),
                server: entry.server.to_string(),
                method: entry.method.to_string(),
                target: entry.target.clone(),
                ms: u64::try_from(entry.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            }));
        }
        all.sort_by_key(|call| std::cmp::Reverse(call.ms));
        all.truncate(most);
        all
    }
}

impl Drop for Lives<'_> {
    fn drop(&mut self) {
        self.live.shard(self.call).lock().remove(&self.call);
    }
}
