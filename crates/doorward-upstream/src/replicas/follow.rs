//! Follows changes of replicas: names are resolved and files read periodically, and replicas are
//! added and removed.

use std::sync::Arc;
use std::time::Duration;

use super::{Groups, Place, Replica, sources};
use crate::jittered;
use crate::server::{Parts, Server};
use doorward_config::{ReplicaGroup, ServerSettings};

/// The interval at which names are resolved and files are read.
const EVERY: Duration = Duration::from_secs(5);

impl Server {
    /// Starts following the replicas.
    pub(crate) fn keep_replicas(self: &Arc<Self>) {
        let Some(replicas) = &self.replicas else { return };
        let said = self.settings.replicas.iter().filter_map(sources::said).collect();
        self.take(said);
        if self.settings.replicas.iter().all(|source| source.url.is_some()) {
            replicas.looked.send_replace(true);
            return;
        }
        self.shared.tasks.spawn(self.clone().follow_sources());
    }

    async fn follow_sources(self: Arc<Self>) {
        let Some(replicas) = &self.replicas else { return };
        // For a source that cannot be read now, its last result.
        let mut found: Vec<Vec<Place>> = vec![Vec::new(); self.settings.replicas.len()];
        loop {
            let mut troubles = Vec::new();
            for (source, found) in self.settings.replicas.iter().zip(&mut found) {
                match sources::find(source, self.settings.public_only).await {
                    Ok(places) => *found = places,
                    Err(why) => troubles.push(why),
                }
            }
            let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
            if trouble != *replicas.trouble.lock() {
                if let Some(why) = &trouble {
                    tracing::warn!(server = &*self.name, "replicas cannot be discovered: {why}");
                }
                replicas.trouble.lock().clone_from(&trouble);
            }
            self.take(found.concat());
            replicas.looked.send_replace(true);
            tokio::select! {
                () = tokio::time::sleep(jittered(EVERY)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Updates the set of replicas. Existing ones continue; removed ones complete their calls
    /// first.
    fn take(&self, places: Vec<Place>) {
        let Some(replicas) = &self.replicas else { return };
        let old = replicas.groups.load_full();
        let mut groups = Groups::default();
        let mut added = Vec::new();
        for place in places {
            let of_group = match place.group {
                ReplicaGroup::Primary => &mut groups.primary,
                ReplicaGroup::Secondary => &mut groups.secondary,
            };
            let is_it =
                |member: &&Arc<Self>| member.replica.as_ref().is_some_and(|it| it.place == place);
            if of_group.iter().any(|member| is_it(&member)) {
                continue;
            }
            if let Some(member) = old.all().find(is_it) {
                of_group.push(member.clone());
                continue;
            }
            match self.member(place.clone()) {
                Some(member) => {
                    of_group.push(member.clone());
                    added.push(member);
                }
                None => {
                    tracing::error!(server = &*self.name, replica = place.label(), "is not a URL");
                }
            }
        }
        let removed: Vec<_> =
            old.all().filter(|old| groups.tagged(old.tag()).is_none()).cloned().collect();
        if added.is_empty() && removed.is_empty() && groups.len() == old.len() {
            return;
        }
        replicas.groups.store(Arc::new(groups));
        for member in added {
            tracing::info!(server = &*self.name, replica = member.place(), "a replica was added");
            self.interest.pass_on(&member.interest);
            member.keep();
        }
        for member in removed {
            tracing::info!(server = &*self.name, replica = member.place(), "a replica was removed");
            self.shared.tasks.spawn(member.drain());
        }
        self.bump();
    }

    fn member(&self, place: Place) -> Option<Arc<Self>> {
        let uri = place.url.as_str().parse().ok()?;
        let settings = ServerSettings {
            url: Some(place.url.clone()),
            replicas: Vec::new(),
            region: place.region.clone().or_else(|| self.settings.region.clone()),
            data_classes: place.data_classes.clone().or_else(|| self.settings.data_classes.clone()),
            ..self.settings.clone()
        };
        Some(Self::build(Parts {
            name: &self.name,
            settings,
            shared: self.shared.clone(),
            generation: self.generation.clone(),
            endpoint: Some(self.endpoint.as_ref()?.replica(uri, place.address)),
            handshake_only: false,
            catalog: self.catalog.clone(),
            stateful: self.stateful.clone(),
            hints: self.hints.clone(),
            replica: Some(Replica::new(place)),
        }))
    }
}
