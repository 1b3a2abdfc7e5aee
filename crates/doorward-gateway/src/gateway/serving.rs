//! Updates the set of served servers when the configuration or the store has changed, and reports
//! reviews that are due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use doorward_config::Settings;
use doorward_governance::lifecycle::State;
use doorward_mcp::{Object, method};
use doorward_store::{Error, Store};

use super::{Changes, Gateway, Servers};
use doorward_upstream::Server;

/// How often due reviews are checked.
const LOOK: Duration = Duration::from_secs(60);
const FIRST: Duration = Duration::from_secs(1);

impl Gateway {
    /// Starts, changes and removes servers so that exactly those are served that these settings
    /// require. The caller holds `life.serving`.
    pub(super) fn serve(&self, settings: &Settings) -> Changes {
        // No stop may be set between reading the stops and publishing the new servers.
        let _changing = self.emergency.changing.lock();
        let served = self.life.work_out(settings);
        let old = self.servers.load_full();
        let mut changes = Changes::default();
        let mut servers = Servers::new();
        for (name, wanted) in &served.servers {
            let key = name.to_ascii_lowercase();
            let wanted = wanted.with_defaults(settings);
            match old.get(&key) {
                Some(server) if server.settings == wanted && *server.name == **name => {
                    servers.insert(key, server.clone());
                    continue;
                }
                Some(_) => changes.changed.push(name.clone()),
                None => changes.added.push(name.clone()),
            }
            let generation: Arc<AtomicU64> = self.snapshots.generation.clone();
            let server = Server::new(name, wanted, self.shared.clone(), generation);
            if self.is_out_of_service(&server) {
                server.retire();
            } else {
                server.keep();
            }
            servers.insert(key, server);
        }
        let retired: Vec<_> = old
            .iter()
            .filter(|(key, server)| servers.get(*key).is_none_or(|now| !Arc::ptr_eq(now, server)))
            .map(|(key, server)| (!servers.contains_key(key), server.clone()))
            .collect();
        self.servers.store(Arc::new(servers));
        let servers = self.servers();
        self.flow.take(settings, servers.iter().map(|server| &server.settings));
        let noticed = self.life.put(served);
        self.snapshots.changed();
        for (removed, server) in retired {
            if removed {
                changes.removed.push(server.name.to_string());
                self.shared.switchboard.close_portal(&server.name);
            }
            self.shared.tasks.spawn(server.drain());
        }
        if !(changes.added.is_empty() && changes.changed.is_empty() && changes.removed.is_empty()) {
            self.shared.switchboard.publish_merged();
        }
        for server in noticed.iter().filter_map(|name| self.server(name)) {
            for change in
                [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED]
            {
                self.shared.switchboard.publish(&server.name, None, change, &Object::new());
            }
        }
        changes
    }

    /// Reads the lifecycle states from the store, and applies them. Servers from the configuration
    /// file that need review are proposed: at start, and when the configuration has changed.
    pub(crate) async fn take_servers(&self, store: &Store, anew: bool) -> Result<(), Error> {
        if self.life.begin_declaring() || anew {
            let settings = self.settings().clone();
            let reviewed = settings.active().filter(|(_, server)| settings.is_reviewed(server));
            for (name, server) in reviewed {
                let declared = store.declare_server(name, &server.approval_digest()).await;
                if let Err(error) = declared {
                    // Retried at the next poll.
                    self.life.declare();
                    return Err(error);
                }
            }
        }
        self.life.take(store.servers().await?);
        let serving = self.life.serving.lock();
        let settings = self.settings().clone();
        let changes = self.serve(&settings);
        drop(serving);
        let Changes { added, changed, removed, .. } = &changes;
        if !(added.is_empty() && changed.is_empty() && removed.is_empty()) {
            tracing::info!(?added, ?changed, ?removed, "the servers in use have changed");
            self.shared.audit.event("servers.changed", |members| {
                members.texts("added", added.iter().map(String::as_str));
                members.texts("changed", changed.iter().map(String::as_str));
                members.texts("deleted", removed.iter().map(String::as_str));
            });
        }
        Ok(())
    }

    /// Servers in use whose review date has passed.
    pub fn overdue_reviews(&self) -> Vec<(String, String)> {
        let today = self.policies().today();
        let due = self.servers().into_iter().filter_map(|server| {
            let day = server.settings.review_day().filter(|day| *day < today)?;
            Some((server.name.to_string(), day.to_string()))
        });
        due.collect()
    }

    pub(super) fn measure_lifecycle(&self) {
        let metrics = &self.shared.metrics;
        let overdue = i64::try_from(self.overdue_reviews().len()).unwrap_or(i64::MAX);
        metrics.servers_review_overdue.set(overdue);
        let withheld = self.pins.withheld().values().sum::<usize>() + self.pins.refused();
        metrics.definitions_withheld.set(i64::try_from(withheld).unwrap_or(i64::MAX));
        let served = self.life.served();
        let count = |state: State| served.states.values().filter(|it| **it == state).count();
        metrics.note_lifecycle(State::ALL.into_iter().map(|state| (state.as_str(), count(state))));
    }

    /// Reports due reviews, each once a day by one replica.
    pub(super) async fn watch_reviews(self: Arc<Self>) {
        // Delayed, because the store was not read yet.
        let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.closing.run_until_cancelled(looks.tick()).await.is_some() {
            self.report_reviews().await;
        }
    }

    async fn report_reviews(&self) {
        let today = self.policies().today().to_string();
        let overdue = self.overdue_reviews();
        let names: BTreeSet<&str> = overdue.iter().map(|(name, _)| name.as_str()).collect();
        self.life.due.lock().retain(|name, _| names.contains(name.as_str()));
        for (name, day) in &overdue {
            let told = self.life.due.lock().get(name).is_some_and(|told| *told == today);
            if told {
                continue;
            }
            let is_first = match self.kept.store() {
                None => true,
                Some(store) => match store.note_review_due(name, &today).await {
                    Ok(first) => first,
                    Err(error) => {
                        tracing::warn!(%error, server = name, "a due review cannot be noted");
                        continue;
                    }
                },
            };
            self.life.due.lock().insert(name.clone(), today.clone());
            if is_first {
                tracing::warn!(server = name, review_by = day, "the review of a server is due");
                self.shared.audit.event("server.review_due", |members| {
                    members.text("server", name).text("review_by", day);
                });
            }
        }
    }
}
