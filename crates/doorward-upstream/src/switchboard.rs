//! Delivers change notifications of all servers to their subscribers.
//!
//! Notifications about the same object that wait for a listener are combined: only the latest is
//! delivered, so that a server that repeats itself delays nobody. A listener that is too slow, by
//! number or bytes, is disconnected: it reconnects and reads again, and nobody else is delayed.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use doorward_mcp::filter::Filter;
use doorward_mcp::names::{Qualifier, qualified_uri};
use doorward_mcp::{Era, Object, method};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::Subscription;
use doorward_core::Portal;
use doorward_core::share::{Held, sharer};
use doorward_identity::identity::Principal;
use doorward_mcp::uri;

/// One change, with names as in the listener's portal.
#[derive(Debug)]
pub struct Notice {
    pub method: Box<str>,
    pub params: Object,
    /// Equal for notices about the same object.
    key: u64,
    bytes: usize,
}

/// Maximum bytes of notices that wait for one listener; a larger one waits alone.
const WAITING_BYTES: usize = 1 << 20;
/// Maximum bytes of a notice about a resource; a larger one is reduced to its URI.
const UPDATE_BYTES: usize = 16 << 10;

#[derive(Debug, Default)]
pub struct Switchboard {
    state: Mutex<State>,
    /// Randomly seeded, so that collisions cannot be constructed.
    keys: RandomState,
}

/// Notices that wait for a listener.
#[derive(Debug, Default)]
struct Waiting {
    by_key: HashMap<u64, Arc<Notice>>,
    bytes: usize,
}

impl Waiting {
    /// Adds a notice, replacing one about the same object. `None` if there is no room, else whether
    /// it is the only one.
    fn put(&mut self, notice: Arc<Notice>) -> Option<bool> {
        let before = self.by_key.get(&notice.key).map_or(0, |before| before.bytes);
        let others = self.bytes - before;
        if others > 0 && others + notice.bytes > WAITING_BYTES {
            return None;
        }
        self.bytes = others + notice.bytes;
        Some(self.by_key.insert(notice.key, notice).is_none())
    }

    fn take(&mut self, key: u64) -> Option<Arc<Notice>> {
        let notice = self.by_key.remove(&key)?;
        self.bytes -= notice.bytes;
        Some(notice)
    }
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    listeners: HashMap<u64, Entry>,
    per_principal: HashMap<Box<str>, usize>,
}

struct Entry {
    portal: Portal,
    servers: Option<HashSet<Arc<str>>>,
    era: Era,
    caller: Arc<Principal>,
    filter: Filter,
    /// The client's sealed ids of tasks, by the server's own.
    tasks: HashMap<String, String>,
    /// Keys of the waiting notices, in order.
    inbox: mpsc::Sender<u64>,
    waiting: Arc<Mutex<Waiting>>,
    since: Instant,
    _held: Holds,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("portal", &self.portal).finish_non_exhaustive()
    }
}

/// A listener, as administrators see it.
#[derive(Debug)]
pub struct Stream {
    pub id: u64,
    pub portal: Portal,
    pub era: Era,
    pub caller: Arc<Principal>,
    pub filter: Filter,
    pub since: Instant,
}

/// A listener's subscriptions at the servers, and its part of the caller's share.
pub type Holds = (Vec<Subscription>, Held);

/// A listener. Dropping it ends its stream.
#[derive(Debug)]
pub struct Listener {
    id: u64,
    board: Weak<Switchboard>,
    inbox: mpsc::Receiver<u64>,
    waiting: Arc<Mutex<Waiting>>,
    /// The granted subscriptions, as the client named them.
    pub honoured: Filter,
}

/// The principal has reached the limit of streams.
#[derive(Debug, Clone, Copy)]
pub struct TooMany;

/// What a listener requests.
pub struct Wish {
    pub portal: Portal,
    /// The servers with targets in the portal; `None` for all.
    pub servers: Option<HashSet<Arc<str>>>,
    /// The listener's protocol era.
    pub era: Era,
    pub caller: Arc<Principal>,
    pub filter: Filter,
    /// The client's sealed ids of tasks, by the server's own.
    pub tasks: HashMap<String, String>,
    pub queue: usize,
    /// Maximum number of streams of this principal.
    pub limit: usize,
    pub held: Holds,
}

impl Switchboard {
    /// Counts a stream of a principal, up to the limit.
    pub fn listen(self: &Arc<Self>, wish: Wish) -> Result<Listener, TooMany> {
        let (sender, inbox) = mpsc::channel(wish.queue.max(1));
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let mut state = self.state.lock();
        let count = state.per_principal.entry(sharer(&wish.caller.id).into()).or_default();
        if *count >= wish.limit {
            drop(state);
            return Err(TooMany);
        }
        *count += 1;
        state.next += 1;
        let id = state.next;
        let honoured =
            Filter { tasks: wish.tasks.values().cloned().collect(), ..wish.filter.clone() };
        state.listeners.insert(
            id,
            Entry {
                portal: wish.portal,
                servers: wish.servers,
                era: wish.era,
                caller: wish.caller,
                filter: wish.filter,
                tasks: wish.tasks,
                inbox: sender,
                waiting: waiting.clone(),
                since: Instant::now(),
                _held: wish.held,
            },
        );
        Ok(Listener { id, board: Arc::downgrade(self), inbox, waiting, honoured })
    }

    /// One notice waits per resource or task of a server, and per kind of list.
    fn notice(&self, server: &str, method: &str, params: Object) -> Arc<Notice> {
        let about = params.string(if method == method::TASK_CHANGED { "taskId" } else { "uri" });
        let server = if about.is_some() { server } else { "" };
        let key = self.keys.hash_one((server, method, about.as_deref().unwrap_or_default()));
        drop(about);
        let text = params.to_bytes();
        let bytes = text.len().max(1);
        // A copy, which does not keep the server's whole message in memory.
        let params = Object::parse(&Bytes::copy_from_slice(&text)).unwrap_or(params);
        Arc::new(Notice { method: method.into(), params, key, bytes })
    }

    /// Delivers a change at a server to its subscribers; with `audience`, only to listeners of one
    /// era.
    pub fn publish(&self, server: &str, audience: Option<Era>, name: &str, params: &Object) {
        let short;
        let params = match name {
            method::RESOURCE_UPDATED if params.to_bytes().len() > UPDATE_BYTES => {
                let uri = params.string("uri").filter(|uri| uri.len() <= uri::LONGEST);
                let Some(uri) = uri else { return };
                let mut bare = Object::new();
                bare.set("uri", &*uri);
                short = bare;
                &short
            }
            _ => params,
        };
        let mut plain: Option<Arc<Notice>> = None;
        let mut qualified: Option<Arc<Notice>> = None;
        let mut lagging = Vec::new();
        let mut state = self.state.lock();
        for (id, entry) in &state.listeners {
            let merged = match &entry.portal {
                Portal::Merged | Portal::Named(_) => true,
                Portal::Server(only) if **only == *server => false,
                Portal::Server(_) => continue,
            };
            // Changes of all servers concern every portal.
            let elsewhere =
                |servers: &HashSet<Arc<str>>| !server.is_empty() && !servers.contains(server);
            if entry.servers.as_ref().is_some_and(elsewhere) {
                continue;
            }
            if audience.is_some_and(|era| era != entry.era)
                || !entry.wants(server, merged, name, params)
            {
                continue;
            }
            let notice = if let Some(own) = entry.task_params(name, params) {
                self.notice(server, name, own)
            } else if merged {
                qualified
                    .get_or_insert_with(|| {
                        let mut params = params.clone();
                        Qualifier { server }.notification(name, &mut params);
                        self.notice(server, name, params)
                    })
                    .clone()
            } else {
                plain.get_or_insert_with(|| self.notice(server, name, params.clone())).clone()
            };
            if !entry.tell(notice) {
                lagging.push(*id);
            }
        }
        let cut: Vec<Entry> = lagging.iter().filter_map(|id| state.remove(*id)).collect();
        drop(state);
        for _ in cut {
            tracing::info!("disconnected a listener that reads too slowly");
        }
    }

    /// Notifies listeners at the merged portal that servers were added or removed.
    pub fn publish_merged(&self) {
        for change in [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED] {
            // No server has an empty name, so only the merged portal matches.
            self.publish("", None, change, &Object::new());
        }
    }

    /// Permissions have changed: streams with specific subscriptions are closed so that they are
    /// requested again; all others are told to read their lists again.
    pub fn renew(&self) {
        self.cut(|entry| !entry.filter.uris.is_empty() || !entry.tasks.is_empty());
        let mut state = self.state.lock();
        let mut lagging = Vec::new();
        for (id, entry) in &state.listeners {
            for change in
                [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED]
            {
                let params = Object::new();
                if entry.filter.wants(change, &params)
                    && !entry.tell(self.notice("", change, Object::new()))
                {
                    lagging.push(*id);
                    break;
                }
            }
        }
        let cut: Vec<Entry> = lagging.iter().filter_map(|id| state.remove(*id)).collect();
        drop(state);
        drop(cut);
    }

    /// Closes the streams at a removed portal.
    pub fn close_portal(&self, name: &str) {
        self.cut(|entry| {
            matches!(&entry.portal, Portal::Server(only) | Portal::Named(only) if **only == *name)
        });
    }

    /// Closes the streams of some callers.
    pub fn close_callers(&self, are_out: impl Fn(&Principal) -> bool) {
        self.cut(|entry| are_out(&entry.caller));
    }

    /// Closes all streams at shutdown.
    pub fn close(&self) {
        self.cut(|_| true);
    }

    /// All open streams.
    pub fn streams(&self) -> Vec<Stream> {
        let state = self.state.lock();
        let stream = |(id, entry): (&u64, &Entry)| Stream {
            id: *id,
            portal: entry.portal.clone(),
            era: entry.era,
            caller: entry.caller.clone(),
            filter: entry.filter.clone(),
            since: entry.since,
        };
        state.listeners.iter().map(stream).collect()
    }

    /// Closes one stream.
    pub fn end(&self, id: u64) {
        let cut = self.state.lock().remove(id);
        drop(cut);
    }

    fn cut(&self, which: impl Fn(&Entry) -> bool) {
        let cut: Vec<Entry> = {
            let mut state = self.state.lock();
            let ids: Vec<u64> = state
                .listeners
                .iter()
                .filter(|(_, entry)| which(entry))
                .map(|(id, _)| *id)
                .collect();
            ids.into_iter().filter_map(|id| state.remove(id)).collect()
        };
        drop(cut);
    }

    pub fn listeners(&self) -> usize {
        self.state.lock().listeners.len()
    }
}

impl State {
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.listeners.remove(&id)?;
        let sharer = sharer(&entry.caller.id);
        if let Some(count) = self.per_principal.get_mut(sharer) {
            *count -= 1;
            if *count == 0 {
                self.per_principal.remove(sharer);
            }
        }
        Some(entry)
    }
}

impl Entry {
    fn wants(&self, server: &str, merged: bool, name: &str, params: &Object) -> bool {
        if merged && name == method::RESOURCE_UPDATED {
            let Some(uri) = params.string("uri") else { return false };
            let mut named = Object::new();
            named.set("uri", qualified_uri(server, &uri).as_str());
            return self.filter.wants(name, &named);
        }
        if name == method::TASK_CHANGED {
            return params.string("taskId").is_some_and(|id| self.tasks.contains_key(id.as_ref()));
        }
        self.filter.wants(name, params)
    }

    /// Replaces the server's task id by the one its owner knows.
    fn task_params(&self, name: &str, params: &Object) -> Option<Object> {
        if name != method::TASK_CHANGED {
            return None;
        }
        let sealed = self.tasks.get(params.string("taskId")?.as_ref())?;
        let mut params = params.clone();
        params.set("taskId", sealed.as_str());
        Some(params)
    }

    /// Adds a notice; `false` if there is no room.
    fn tell(&self, notice: Arc<Notice>) -> bool {
        let key = notice.key;
        let mut waiting = self.waiting.lock();
        match waiting.put(notice) {
            None => false,
            Some(false) => true,
            Some(true) => {
                let told = self.inbox.try_send(key).is_ok();
                if !told {
                    waiting.take(key);
                }
                told
            }
        }
    }
}

impl Listener {
    /// The next change; `None` when the gateway closes the stream. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<Notice>> {
        let key = self.inbox.recv().await;
        self.taken(key)
    }

    pub fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Arc<Notice>>> {
        self.inbox.poll_recv(context).map(|key| self.taken(key))
    }

    /// A later notice about the same object counts as new.
    fn taken(&self, key: Option<u64>) -> Option<Arc<Notice>> {
        self.waiting.lock().take(key?)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(board) = self.board.upgrade() else { return };
        // The entry's contents are dropped after the lock is released.
        let entry = board.state.lock().remove(self.id);
        drop(entry);
    }
}

#[cfg(test)]
mod tests;
