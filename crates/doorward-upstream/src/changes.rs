//! Changes at a server: listeners are notified, and cached results invalidated.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_mcp::{Object, method};

use super::Server;
use doorward_transport::inbound::Inbound;

impl Server {
    /// The scope of a change at the server.
    pub fn epoch(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Invalidates cached results, because the server may have changed.
    pub async fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(shared) = self.shared.cache.shared() {
            shared.changed(&self.name).await;
        }
    }

    /// The same, in the background.
    pub fn changed_soon(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(shared) = self.shared.cache.shared() {
            let name = self.name.clone();
            self.shared.tasks.spawn(async move { shared.changed(&name).await });
        }
    }

    pub fn gives_hints(&self) {
        self.hints.store(true, Ordering::Release);
    }

    pub fn has_given_hints(&self) -> bool {
        self.hints.load(Ordering::Acquire)
    }

    /// Handles a notification that belongs to no call. Returns `false` if it is unknown.
    pub(crate) fn unsolicited(&self, name: &str, params: &Object) -> bool {
        match name {
            method::TOOLS_CHANGED => self.list_changed(0, method::TOOLS_CHANGED),
            method::PROMPTS_CHANGED => self.list_changed(1, method::PROMPTS_CHANGED),
            method::RESOURCES_CHANGED => self.list_changed(2, method::RESOURCES_CHANGED),
            method::RESOURCE_UPDATED => self.changed_soon(),
            method::TASK_CHANGED => {}
            // The outcome of a URL elicitation is learnt by retrying the request.
            "notifications/elicitation/complete"
            | "notifications/tasks/status"
            | method::ACKNOWLEDGED => return true,
            _ => return false,
        }
        if matches!(name, method::RESOURCE_UPDATED | method::TASK_CHANGED) {
            self.publish(name, params);
        }
        true
    }

    /// A list of the server has changed. Listeners are notified at most a few times a second, however often the server
    /// reports it: changes in between are combined.
    fn list_changed(&self, list: usize, name: &'static str) {
        if self.is_pinned() {
            // Immediately: no call may reach a definition that was not compared with its pin.
            self.catalog.invalidate(Some(name));
            self.doubt_definitions();
        }
        let Some(wait) = self.notices.wait(list) else { return };
        if wait.is_zero() {
            return self.tell_list_changed(name);
        }
        let this = self.this.clone();
        self.shared.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(server) = this.upgrade() {
                server.notices.told(list);
                server.tell_list_changed(name);
            }
        });
    }

    fn tell_list_changed(&self, name: &str) {
        self.catalog.invalidate(Some(name));
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changed_soon();
        self.publish(name, &Object::new());
        self.compare_soon();
    }

    /// The handlers for a channel that several calls share.
    pub(super) fn inbound(&self) -> Inbound {
        let this = self.this.clone();
        let unsolicited = Arc::new(move |name: &str, params: Object| {
            if let Some(server) = this.upgrade() {
                server.unsolicited(name, &params);
            }
        });
        Inbound::new(unsolicited, self.asks.clone(), self.capability_use.clone())
    }

    /// All lists of the server may have changed.
    pub(super) fn announce(&self) {
        self.catalog.invalidate(None);
        self.generation.fetch_add(1, Ordering::AcqRel);
        for change in [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED] {
            self.publish(change, &Object::new());
        }
    }

    fn publish(&self, change: &str, params: &Object) {
        self.shared.switchboard.publish(&self.name, self.audience(), change, params);
    }

    /// The definitions that may be served have changed: fetches the lists again and notifies all listeners.
    pub fn renew_lists(&self) {
        self.catalog.forget();
        for replica in self.members() {
            replica.doubt_definitions();
            replica.compare_soon();
        }
        self.announce();
        self.compare_soon();
        if let Some(twin) = self.known_twin() {
            twin.renew_lists();
        }
    }

    pub(crate) fn bump(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}
