//! When the definitions of servers are judged again: after changes of pins, of the settings and rules for inspection, of
//! external checks, and of other servers' names.

use std::sync::Arc;

use doorward_config::Settings;
use doorward_governance::pins::Lock;
use doorward_mcp::method;
use doorward_store::Store;
use doorward_upstream::Server;

use crate::gateway::Gateway;

impl Gateway {
    /// Applies the pins of the lock file to the servers that it names.
    pub async fn declare_pins(&self, lock: &Lock) {
        let changed = self.pins.lock(lock);
        if !changed.is_empty() {
            tracing::info!(servers = ?changed, "the pins of the lock file have changed");
            self.judge_again(|server| changed.iter().any(|name| name == server)).await;
        }
    }

    /// Reads changed pins, and refreshes the lists of their servers.
    pub(crate) async fn take_pins(&self, store: &Store) -> doorward_store::Result<()> {
        let changed = self.pins.take(store).await?;
        self.pins.retain(|name| self.server(name).is_some_and(|server| server.is_pinned()));
        let is_changed = |server: &str| match &changed {
            Some(changed) => changed.iter().any(|name| name == server),
            None => true,
        };
        self.judge_again(is_changed).await;
        Ok(())
    }

    /// An undecided definition may have been decided without being fetched again.
    async fn judge_again(&self, concerns: impl Fn(&str) -> bool) {
        for server in self.servers() {
            if server.is_pinned() && concerns(&server.name.to_ascii_lowercase()) {
                judge_all(&server).await;
            }
        }
    }

    /// Applies the external checks in force. What servers have said is checked again if those of
    /// definitions have changed.
    pub(crate) fn declare_checks(&self, settings: &Settings) {
        self.checks.take(&settings.checks, &self.shared.http);
        if self.pins.use_checks(self.checks.load()) {
            let servers = self.servers();
            servers.iter().for_each(|server| server.renew_lists());
            self.shared.tasks.spawn(async move {
                for server in servers {
                    judge_all(&server).await;
                }
            });
        }
    }

    /// Asks external checks of definitions again that have failed.
    pub(crate) async fn follow_failed_checks(self: Arc<Self>) {
        let again = || self.pins.to_ask_again();
        while let Some(failed) = self.closing.run_until_cancelled(again()).await {
            for server in failed.iter().filter_map(|name| self.server(name)) {
                judge_all(&server).await;
            }
        }
    }

    /// Applies the settings for definitions, and the active rules. Lists inspected under earlier
    /// ones are inspected again.
    pub fn declare_definitions(&self, settings: &Settings) {
        let definitions = &self.pins.definitions;
        definitions.names().retain(|name| self.server(name).is_some());
        self.pins.forget_refused(|name| self.server(name).is_some());
        if definitions.declare(settings.inspection.as_ref(), self.inspection.scanner()) {
            self.servers().iter().for_each(|server| server.renew_lists());
        }
    }

    /// Inspects lists again when other servers' tools are renamed: a definition may mention them,
    /// or resemble them.
    pub(crate) async fn follow_names(self: Arc<Self>) {
        let names = self.pins.definitions.names();
        while let Some(changed) = self.closing.run_until_cancelled(names.changed()).await {
            let concerns = |server: &Server| {
                changed.len() > 1 || !changed.contains(&server.name.to_ascii_lowercase())
            };
            for server in self.servers().iter().filter(|server| concerns(server)) {
                server.catalog.invalidate(Some(method::TOOLS_CHANGED));
            }
            self.lists_changed();
        }
    }
}

/// Judges all that a server has said.
async fn judge_all(server: &Server) {
    if let Some(contact) = server.known() {
        server.judge_about(contact.era, &contact.about).await;
    }
    server.renew_lists();
}
