//! Does in the store what was decided about the entries of another registry.

use doorward_config::{RegistrySettings, Settings};
use doorward_governance::lifecycle::Step;
use doorward_governance::names;
use doorward_mcp::names::{is_server_name, server_name_from};
use doorward_store::{
    EntryState, Error, MOST_ENTRIES, RegistryEntry, ServerOrigin, ServerProposal, Stepping, Store,
    StoredServer,
};

use super::decide::{Decision, decide};
use super::entry::{Listed, Status};
use super::fetch::{DeletedVersion, Read};
use super::translate::{Offer, translate};

/// After so many proposals in a row that the store refuses, the rest of a reading waits without being tried.
const MOST_REFUSED: usize = 20;
/// Entries that are read from the store at once.
const PAGE: i64 = 500;

/// Imports what was read from one registry.
#[derive(Debug)]
pub struct Import<'a> {
    /// Acting for the registry.
    pub store: &'a Store,
    pub settings: &'a Settings,
    pub registry: &'a RegistrySettings,
    pub name: &'a str,
}

/// What is known during one import.
#[derive(Debug, Default)]
struct Progress {
    /// The names of all servers and portals.
    taken: Vec<String>,
    /// Proposals in a row that were refused, and why the last one was.
    refused: (usize, String),
    /// The first problem with an entry that did not concern the others.
    problem: Option<String>,
}

impl Progress {
    /// Continues after an error that concerns one entry.
    fn continue_after(&mut self, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Err(error @ (Error::Refused(_) | Error::Moved | Error::Absent { .. })) => {
                self.problem.get_or_insert(error.to_string());
                Ok(())
            }
            done => done,
        }
    }
}

impl Import<'_> {
    /// Imports all that was read, and proposes entries of earlier readings that had to wait. Returns the first problem with
    /// an entry, if there was one; the others are imported nevertheless.
    pub async fn all(&self, read: &Read) -> Result<Option<String>, Error> {
        let mut progress = Progress { taken: self.taken().await?, ..Progress::default() };
        for listed in read.entries.values() {
            let deleted = read.deleted.get(&listed.name).map_or(&[][..], Vec::as_slice);
            let done = self.entry(listed, deleted, &mut progress).await;
            progress.continue_after(done)?;
        }
        for (name, deleted) in &read.deleted {
            if !read.entries.contains_key(name) {
                let done = self.deleted_version(name, deleted, &mut progress).await;
                progress.continue_after(done)?;
            }
        }
        let done = self.waiting(&mut progress).await;
        progress.continue_after(done)?;
        Ok(progress.problem)
    }

    /// Treats what is not in a registry any more, after all of it was read, as deleted. Returns a problem, if there was one.
    pub async fn absent(&self, read: &Read) -> Result<Option<String>, Error> {
        let mut progress = Progress::default();
        for known in self.known(|state| state != EntryState::Deleted).await? {
            if read.entries.contains_key(&known.entry) || !self.registry.wants(&known.entry) {
                continue;
            }
            if read.entries.is_empty() {
                let why =
                    "it has no entries any more: those that were read before are left as they are";
                return Ok(Some(why.into()));
            }
            let listed = deleted(&known, &known.version, "it is not listed any more");
            let done = self.entry(&listed, &[], &mut progress).await;
            progress.continue_after(done)?;
        }
        Ok(progress.problem)
    }

    /// The entries of the registry that are in certain states.
    async fn known(
        &self,
        wanted: impl Fn(EntryState) -> bool,
    ) -> Result<Vec<RegistryEntry>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        for _ in 0..=MOST_ENTRIES / PAGE {
            let page = self.store.registry_entries(self.name, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.entry);
            all.extend(page.into_iter().filter(|it| wanted(it.state)));
        }
        Ok(all)
    }

    async fn waiting(&self, progress: &mut Progress) -> Result<(), Error> {
        for entry in self.known(|state| state == EntryState::Waiting).await? {
            if progress.refused.0 >= MOST_REFUSED {
                break;
            }
            let offer = Offer { spec: entry.spec.clone(), digest: entry.digest.clone() };
            self.propose(entry, offer, progress).await?;
        }
        Ok(())
    }

    /// Only an older version of an entry was deleted, and of its latest nothing is new: if the older one is what was
    /// proposed, that is deleted.
    async fn deleted_version(
        &self,
        name: &str,
        versions: &[DeletedVersion],
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let Some(known) = self.store.registry_entry(self.name, name).await? else { return Ok(()) };
        let used = if known.proposed.is_empty() { &known.version } else { &known.proposed };
        match versions.iter().find(|it| it.version == *used) {
            Some(it) => self.entry(&deleted(&known, &it.version, &it.message), &[], progress).await,
            None => Ok(()),
        }
    }

    async fn entry(
        &self,
        listed: &Listed,
        deleted: &[DeletedVersion],
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let known = self.store.registry_entry(self.name, &listed.name).await?;
        let server = match &known {
            Some(known) if !known.server.is_empty() => self.own(&known.server).await?,
            _ => None,
        };
        let offer = translate(self.name, listed);
        let on_deleted = self.registry.on_deleted;
        let used = known.as_ref().filter(|known| !known.proposed.is_empty());
        let used = used.and_then(|known| deleted.iter().find(|it| it.version == known.proposed));
        let decision = decide(listed, offer, known.as_ref(), server.as_ref(), used, on_deleted);
        let mut entry = RegistryEntry {
            registry: self.name.into(),
            entry: listed.name.clone(),
            version: listed.version.clone(),
            state: EntryState::Skipped,
            reason: String::new(),
            server: server.as_ref().map(|server| server.name.clone()).unwrap_or_default(),
            proposed: known.as_ref().map(|known| known.proposed.clone()).unwrap_or_default(),
            spec: String::new(),
            digest: String::new(),
            updated: 0,
        };
        (entry.state, entry.reason) = match decision {
            Decision::Unchanged => return Ok(()),
            Decision::Record(state, reason) => {
                if known.as_ref().is_some_and(|known| known.state == EntryState::Waiting)
                    && state == EntryState::Proposed
                {
                    entry.proposed.clone_from(&listed.version);
                }
                // That its proposal was withdrawn is of interest until it is proposed again.
                let known = known.as_ref().filter(|known| known.is_withdrawn());
                entry.digest = known
                    .filter(|_| state != EntryState::Proposed)
                    .map(|known| known.digest.clone())
                    .unwrap_or_default();
                (state, reason)
            }
            Decision::Propose(offer) => return self.propose(entry, offer, progress).await,
            Decision::Withdraw(state, reason) => {
                self.step(server.as_ref(), Step::Reject, &reason).await?;
                entry.digest = server.map(|server| server.digest).unwrap_or_default();
                (state, reason)
            }
            Decision::Quarantine(state, reason) => {
                self.step(server.as_ref(), Step::Quarantine, &reason).await?;
                // Whoever releases it has decided about this version.
                entry.proposed.clear();
                (state, reason)
            }
        };
        let is_same = known.is_some_and(|known| entry == RegistryEntry { updated: 0, ..known });
        match is_same {
            true => Ok(()),
            false => self.store.put_registry_entry(&entry).await,
        }
    }

    /// Proposes the server of an entry, and stores what has become of that.
    async fn propose(
        &self,
        mut entry: RegistryEntry,
        offer: Offer,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        // One that waits has a name only if its proposal was not finished: then it is there, or the name is free for others.
        let before = entry.clone();
        let mut is_made = false;
        if entry.state == EntryState::Waiting && !entry.server.is_empty() {
            match self.own(&entry.server).await? {
                None => entry.server.clear(),
                Some(server) => is_made = server.digest == offer.digest,
            }
        }
        let is_tried = !is_made && progress.refused.0 < MOST_REFUSED;
        let is_new = entry.server.is_empty();
        if is_new {
            entry.server = free_name(&entry.entry, &progress.taken).unwrap_or_default();
        }
        (entry.spec, entry.digest) = (offer.spec.clone(), offer.digest.clone());
        entry.reason = String::new();
        if entry.server.is_empty() {
            entry.state = EntryState::Skipped;
            entry.reason =
                "other servers or portals have its name, or one that looks like it".into();
        } else if let Some(why) = self.refusal(&mut entry, &offer, is_made, progress).await? {
            (entry.state, entry.reason) = (EntryState::Waiting, why);
            // Until it is proposed, its name is free for others.
            if is_new {
                entry.server.clear();
            }
        } else {
            entry.state = EntryState::Proposed;
            entry.proposed.clone_from(&entry.version);
            progress.taken.push(entry.server.clone());
        }
        if entry.state != EntryState::Waiting {
            (entry.spec, entry.digest) = (String::new(), String::new());
        }
        if is_tried || entry != before {
            self.store.put_registry_entry(&entry).await?;
        }
        Ok(())
    }

    /// Proposes a server, unless that is made already. Returns why that has to wait, if it has.
    async fn refusal(
        &self,
        entry: &mut RegistryEntry,
        offer: &Offer,
        is_made: bool,
        progress: &mut Progress,
    ) -> Result<Option<String>, Error> {
        let (refused, last) = &mut progress.refused;
        if is_made {
            return Ok(None);
        }
        if *refused >= MOST_REFUSED {
            return Ok(Some(last.clone()));
        }
        // Its name is stored before, so that the server is known to be this entry's if the gateway ends in between.
        entry.state = EntryState::Waiting;
        self.store.put_registry_entry(entry).await?;
        let why = format!("{} {} of the registry '{}'", entry.entry, entry.version, self.name);
        let Offer { spec, digest } = offer;
        let proposal = ServerProposal { name: &entry.server, spec, digest, why: &why };
        match self.store.propose_server(&proposal).await {
            Ok(_) => {
                *refused = 0;
                Ok(None)
            }
            Err(Error::Refused(why)) => {
                *refused += 1;
                last.clone_from(&why);
                Ok(Some(why))
            }
            Err(error) => Err(error),
        }
    }

    async fn step(
        &self,
        server: Option<&StoredServer>,
        step: Step,
        why: &str,
    ) -> Result<(), Error> {
        let Some(server) = server else { return Ok(()) };
        let revision = Some(server.revision);
        let stepping = Stepping { why: why.into(), revision, ..Stepping::default() };
        self.store.step_server(&server.name, step, &stepping, None).await?;
        tracing::warn!(
            registry = self.name,
            server = server.name,
            step = step.as_str(),
            why,
            "a server is not proposed or not in use any more because of its registry"
        );
        Ok(())
    }

    /// The server of a name, if this registry has proposed it.
    async fn own(&self, name: &str) -> Result<Option<StoredServer>, Error> {
        let found = match self.store.server(name).await {
            Err(Error::Absent { .. }) => return Ok(None),
            found => found?,
        };
        let own =
            found.origin == ServerOrigin::RunTime && found.proposed_by == self.store.actor().name;
        Ok(own.then_some(found))
    }

    async fn taken(&self) -> Result<Vec<String>, Error> {
        let Settings { servers, portals, .. } = self.settings;
        let mut taken: Vec<String> = servers.keys().chain(portals.keys()).cloned().collect();
        taken.extend(self.store.portals().await?.into_iter().map(|portal| portal.name));
        taken.extend(self.store.servers().await?.into_iter().map(|server| server.name));
        Ok(taken)
    }
}

/// A known entry as if the registry had listed one of its versions as deleted.
fn deleted(known: &RegistryEntry, version: &str, message: &str) -> Listed {
    Listed {
        name: known.entry.clone(),
        version: version.into(),
        status: Status::Deleted(message.into()),
        is_latest: true,
        updated: None,
        server: serde_json::Map::new(),
    }
}

/// A name for the server of an entry: what is behind its slash, or all of it where that is taken or looks like another.
fn free_name(entry: &str, taken: &[String]) -> Option<String> {
    let last = server_name_from(entry.rsplit('/').next().unwrap_or(entry));
    [last, server_name_from(&entry.replace('/', "."))].into_iter().find(|name| {
        // The admin API has a path of that name.
        is_server_name(name)
            && name != "status"
            && !taken.contains(name)
            && names::conflict(name, taken.iter().map(String::as_str)).is_none()
    })
}

#[cfg(test)]
mod tests;
