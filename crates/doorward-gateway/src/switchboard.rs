//! Who listens to what: change notifications of all servers, handed to those who asked for them.
//!
//! What waits for a listener already is not told it twice, so that a server that repeats itself holds up
//! nobody. A listener that does not keep up all the same is cut off rather than waited for: it connects again and looks
//! anew, and nobody else is held up.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

use doorward_mcp::filter::Filter;
use doorward_mcp::names::{Qualifier, qualified_uri};
use doorward_mcp::{Era, Object, method};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::call::Portal;
use crate::share::sharer;

/// One change, as the listener's portal names it.
#[derive(Debug)]
pub struct Notice {
    pub method: Box<str>,
    pub params: Object,
    /// The same for notices that say the same.
    key: u64,
}

#[derive(Debug, Default)]
pub struct Switchboard {
    state: Mutex<State>,
    /// Of a seed of its own, so that nobody makes up two notices that are taken for one.
    keys: RandomState,
}

/// Notices that wait for a listener, by their keys.
type Waiting = Arc<Mutex<HashSet<u64>>>;

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
    principal: Box<str>,
    filter: Filter,
    /// The client's sealed ids of tasks, by the server's own.
    tasks: HashMap<String, String>,
    inbox: mpsc::Sender<Arc<Notice>>,
    waiting: Waiting,
    release: Release,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("portal", &self.portal).finish_non_exhaustive()
    }
}

/// Gives up what a listener held at the servers.
pub type Release = Box<dyn FnOnce(&Filter, &HashMap<String, String>) + Send>;

/// One who listens. Dropping it ends the listening.
#[derive(Debug)]
pub struct Listener {
    id: u64,
    board: Weak<Switchboard>,
    inbox: mpsc::Receiver<Arc<Notice>>,
    waiting: Waiting,
    /// What was granted, as the client named it.
    pub honoured: Filter,
}

/// The principal has as many streams as it may.
#[derive(Debug, Clone, Copy)]
pub struct TooMany;

/// What a listener asks for.
pub struct Wish {
    pub portal: Portal,
    /// The servers that may have something at the portal; all when absent.
    pub servers: Option<HashSet<Arc<str>>>,
    /// What the listener speaks.
    pub era: Era,
    pub principal: Box<str>,
    pub filter: Filter,
    /// The client's sealed ids of tasks, by the server's own.
    pub tasks: HashMap<String, String>,
    pub queue: usize,
    /// Streams this principal may have.
    pub limit: usize,
    pub release: Release,
}

impl Switchboard {
    /// Counts a stream of a principal's, up to the limit.
    pub fn listen(self: &Arc<Self>, wish: Wish) -> Result<Listener, TooMany> {
        let (sender, inbox) = mpsc::channel(wish.queue.max(1));
        let waiting = Waiting::default();
        let mut state = self.state.lock();
        let count = state.per_principal.entry(sharer(&wish.principal).into()).or_default();
        if *count >= wish.limit {
            drop(state);
            (wish.release)(&wish.filter, &wish.tasks);
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
                principal: wish.principal,
                filter: wish.filter,
                tasks: wish.tasks,
                inbox: sender,
                waiting: waiting.clone(),
                release: wish.release,
            },
        );
        Ok(Listener { id, board: Arc::downgrade(self), inbox, waiting, honoured })
    }

    fn notice(&self, method: &str, params: Object) -> Arc<Notice> {
        let key = self.keys.hash_one((method, &*params.to_bytes()));
        Arc::new(Notice { method: method.into(), params, key })
    }

    /// Hands a change of one server's to all who asked for it; `audience` where it is for the
    /// listeners of one era only.
    pub fn publish(&self, server: &str, audience: Option<Era>, name: &str, params: &Object) {
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
            // What concerns all servers concerns every portal.
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
                self.notice(name, own)
            } else if merged {
                qualified
                    .get_or_insert_with(|| {
                        let mut params = params.clone();
                        Qualifier { server }.notification(name, &mut params);
                        self.notice(name, params)
                    })
                    .clone()
            } else {
                plain.get_or_insert_with(|| self.notice(name, params.clone())).clone()
            };
            if !entry.tell(notice) {
                lagging.push(*id);
            }
        }
        let cut: Vec<Entry> = lagging.iter().filter_map(|id| state.remove(*id)).collect();
        drop(state);
        for entry in cut {
            tracing::info!("cut off a listener that does not keep up");
            entry.let_go();
        }
    }

    /// Tells listeners at the merged portal that servers came or went.
    pub fn publish_merged(&self) {
        for change in [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED] {
            // No server has the empty name, so that only the merged portal hears it.
            self.publish("", None, change, &Object::new());
        }
    }

    /// What anybody may see has changed: whoever was promised something in particular asks again, and
    /// all others look again.
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
                    && !entry.tell(self.notice(change, Object::new()))
                {
                    lagging.push(*id);
                    break;
                }
            }
        }
        let cut: Vec<Entry> = lagging.iter().filter_map(|id| state.remove(*id)).collect();
        drop(state);
        cut.into_iter().for_each(Entry::let_go);
    }

    /// Ends the listening of those at a portal that is gone.
    pub fn close_portal(&self, name: &str) {
        self.cut(|entry| {
            matches!(&entry.portal, Portal::Server(only) | Portal::Named(only) if **only == *name)
        });
    }

    /// Ends the listening of a principal.
    pub fn close_principal(&self, principal: &str) {
        self.cut(|entry| *entry.principal == *principal);
    }

    /// Ends all listening: the gateway shuts down.
    pub fn close(&self) {
        self.cut(|_| true);
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
        cut.into_iter().for_each(Entry::let_go);
    }

    pub fn listeners(&self) -> usize {
        self.state.lock().listeners.len()
    }
}

impl State {
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.listeners.remove(&id)?;
        let sharer = sharer(&entry.principal);
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

    /// A task is told under the id by which its owner knows it.
    fn task_params(&self, name: &str, params: &Object) -> Option<Object> {
        if name != method::TASK_CHANGED {
            return None;
        }
        let sealed = self.tasks.get(params.string("taskId")?.as_ref())?;
        let mut params = params.clone();
        params.set("taskId", sealed.as_str());
        Some(params)
    }

    /// Hands over a notice, unless the same waits already; `false` when there is no room.
    fn tell(&self, notice: Arc<Notice>) -> bool {
        let key = notice.key;
        if !self.waiting.lock().insert(key) {
            return true;
        }
        let told = self.inbox.try_send(notice).is_ok();
        if !told {
            self.waiting.lock().remove(&key);
        }
        told
    }

    fn let_go(self) {
        (self.release)(&self.filter, &self.tasks);
    }
}

impl Listener {
    /// The next change; `None` when the gateway ends the listening. Safe to cancel.
    pub async fn next(&mut self) -> Option<Arc<Notice>> {
        let notice = self.inbox.recv().await;
        self.taken(notice)
    }

    pub fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Arc<Notice>>> {
        self.inbox.poll_recv(context).map(|notice| self.taken(notice))
    }

    /// From now on the same is news again.
    fn taken(&self, notice: Option<Arc<Notice>>) -> Option<Arc<Notice>> {
        notice.inspect(|notice| _ = self.waiting.lock().remove(&notice.key))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(board) = self.board.upgrade() else { return };
        let entry = board.state.lock().remove(self.id);
        if let Some(entry) = entry {
            entry.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(portal: Portal, filter: Filter) -> Wish {
        Wish {
            portal,
            servers: None,
            era: Era::Modern,
            principal: "p".into(),
            filter,
            tasks: HashMap::new(),
            queue: 2,
            limit: 2,
            release: Box::new(|_, _| {}),
        }
    }

    fn updated(uri: &str) -> Object {
        let mut params = Object::new();
        params.set("uri", uri);
        params
    }

    #[tokio::test]
    async fn a_change_reaches_those_who_asked_under_their_own_names() {
        let board = Arc::new(Switchboard::default());
        let uris = |uri: &str| Filter { uris: [uri.to_owned()].into(), ..Filter::default() };
        let mut merged = board.listen(wish(Portal::Merged, uris("fs+a:b"))).unwrap();
        let mut single = board.listen(wish(Portal::Server("fs".into()), uris("a:b"))).unwrap();
        board.publish("fs", None, method::RESOURCE_UPDATED, &updated("a:b"));
        board.publish("other", None, method::RESOURCE_UPDATED, &updated("a:b"));
        board.publish("fs", None, method::TOOLS_CHANGED, &Object::new());
        assert_eq!(merged.next().await.unwrap().params.string("uri").unwrap(), "fs+a:b");
        assert_eq!(single.next().await.unwrap().params.string("uri").unwrap(), "a:b");
        assert!(merged.inbox.try_recv().is_err() && single.inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_listener_that_lags_is_cut_off() {
        let board = Arc::new(Switchboard::default());
        let uris = (0..5).map(|number| format!("fs+a:{number}")).collect();
        let filter = Filter { uris, ..Filter::default() };
        let mut listener = board.listen(wish(Portal::Merged, filter)).unwrap();
        for number in 0..5 {
            let updated = updated(&format!("a:{number}"));
            board.publish("fs", None, method::RESOURCE_UPDATED, &updated);
        }
        assert!(listener.next().await.is_some());
        assert!(listener.next().await.is_some());
        assert!(listener.next().await.is_none());
        assert_eq!(board.listeners(), 0);
    }

    #[tokio::test]
    async fn what_a_server_repeats_waits_once() {
        let board = Arc::new(Switchboard::default());
        let mut listener = board.listen(wish(Portal::Merged, Filter::lists())).unwrap();
        for _ in 0..100_000 {
            board.publish("fs", None, method::TOOLS_CHANGED, &Object::new());
        }
        assert!(listener.next().await.is_some());
        assert!(listener.inbox.try_recv().is_err());
        // After it was taken the same is news.
        board.publish("fs", None, method::TOOLS_CHANGED, &Object::new());
        assert!(listener.next().await.is_some());
        assert_eq!(board.listeners(), 1);
    }

    #[tokio::test]
    async fn streams_are_counted_per_principal() {
        let board = Arc::new(Switchboard::default());
        let first = board.listen(wish(Portal::Merged, Filter::lists())).unwrap();
        let _second = board.listen(wish(Portal::Merged, Filter::lists())).unwrap();
        assert!(board.listen(wish(Portal::Merged, Filter::lists())).is_err());
        drop(first);
        assert!(board.listen(wish(Portal::Merged, Filter::lists())).is_ok());
    }
}
