//! The lists of a portal, and as much of them as a caller sees.

use std::collections::HashSet;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_policy::{Action, Target, TargetKind};
use futures_util::future::join_all;

use super::{Gateway, SERVER_PATIENCE};
use crate::access;
use crate::call::{Call, CallError, Failure, Portal};
use crate::catalog::{Snapshot, Viewer};
use crate::portals::Selection;
use crate::upstream::{Server, declared};

/// Who sees which portal: so many are remembered.
const MOST_SEEN: usize = 4096;

/// What the items of the four lists are.
const TARGETS: [TargetKind; 4] =
    [TargetKind::Tool, TargetKind::Prompt, TargetKind::Resource, TargetKind::Resource];

impl Gateway {
    pub(super) fn portal_servers(&self, portal: &Portal) -> Vec<Arc<Server>> {
        match portal {
            Portal::Merged => self.servers(),
            Portal::Named(name) => {
                let portal = self.portal(name);
                let chosen = |server: &Arc<Server>| {
                    portal.as_ref().is_some_and(|portal| portal.may_use(&server.name))
                };
                self.servers().into_iter().filter(chosen).collect()
            }
            Portal::Server(name) => self.server(name).into_iter().collect(),
        }
    }

    /// A snapshot of the caller's lists that still holds.
    pub fn fresh_snapshot(&self, call: &Call) -> Option<Arc<Snapshot>> {
        let whole = self.snapshots.fresh(&viewer(call, None))?;
        let Some(mut key) = self.view_key(&call.asking()) else { return Some(whole) };
        key.extend_from_slice(&declared(&call.client.capabilities));
        self.snapshots.seen(&key, &whole)
    }

    /// The caller's lists, fetched where needed. At the merged portal a server that is down, or
    /// that takes too long, is left out until it is back.
    pub async fn snapshot(&self, call: &Call) -> Result<Arc<Snapshot>, CallError> {
        let merged = call.portal.is_merged();
        if merged {
            self.settle().await;
        }
        if let Some(whole) = self.snapshots.fresh(&viewer(call, None)) {
            return Ok(self.seen(call, whole).await);
        }
        let generation = self.snapshots.generation();
        let era = call.revision.era();
        let views =
            join_all(self.portal_servers(&call.portal).into_iter().map(|server| async move {
                let server = server.spoken_in(era).await;
                let asked = call.asked(&server);
                let fetching = server.catalog.view(&server, &asked);
                let view = if merged {
                    match tokio::time::timeout(SERVER_PATIENCE, fetching).await {
                        Ok(view) => view,
                        Err(_) => server
                            .catalog
                            .known(&server, &asked.client.capabilities)
                            .ok_or_else(|| {
                                Failure::new(Kind::Timeout, "The server's lists take too long")
                                    .into()
                            }),
                    }
                } else {
                    fetching.await
                };
                (server, view)
            }))
            .await;
        let mut found = Vec::with_capacity(views.len());
        for (server, view) in views {
            match view {
                Ok(view) => found.push((server, view)),
                Err(error) if !merged => return Err(error),
                Err(error) => {
                    tracing::debug!(server = &*server.name, ?error, "left out of the list");
                }
            }
        }
        let page = self.shared.limits.page;
        let selection = match &call.portal {
            Portal::Named(name) => self.portal(name),
            Portal::Merged | Portal::Server(_) => None,
        };
        let viewer = viewer(call, selection.as_deref());
        let whole = self.snapshots.build(&viewer, found, generation, page);
        Ok(self.seen(call, whole).await)
    }

    /// What a caller sees of a portal's lists: what there is a call for that would be permitted.
    async fn seen(&self, call: &Call, whole: Arc<Snapshot>) -> Arc<Snapshot> {
        let asking = call.asking();
        let Some(mut key) = self.view_key(&asking) else { return whole };
        key.extend_from_slice(&declared(&call.client.capabilities));
        if let Some(seen) = self.snapshots.seen(&key, &whole) {
            return seen;
        }
        let mut marked: [Vec<bool>; 4] = Default::default();
        for (kind, of) in TARGETS.into_iter().enumerate() {
            for (number, ((server, view), name)) in whole.origins(kind).enumerate() {
                let tool = if of == TargetKind::Tool { view.tool(name) } else { None };
                let target = access::target(server, of, name, tool.map(|tool| &**tool));
                marked[kind].push(self.may(&asking, access::action_on(of), &target));
                // Others wait meanwhile.
                if number % 32 == 31 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let seen = Arc::new(whole.only(&marked, self.shared.limits.page));
        self.snapshots.keep_seen(key, &whole, &seen);
        seen
    }

    /// Whether a portal is there for a caller. Asked for each of their calls, and remembered as long as
    /// nothing changes that it depends on.
    pub async fn sees_portal(&self, call: &Call) -> bool {
        let generation = self.snapshots.generation();
        let Some(mut key) = self.view_key(&call.asking()) else {
            return self.find_portal(call).await;
        };
        key.push(b' ');
        key.extend_from_slice(call.portal.name().as_bytes());
        let remembered = self.seen_portals.lock().get(&key).copied();
        if let Some((sees, _)) = remembered.filter(|(_, of)| *of == generation) {
            return sees;
        }
        let sees = self.find_portal(call).await;
        let mut seen = self.seen_portals.lock();
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        seen.insert(key, (sees, generation));
        sees
    }

    async fn find_portal(&self, call: &Call) -> bool {
        match &call.portal {
            Portal::Merged => true,
            Portal::Server(name) => match self.server(name) {
                Some(server) => self.sees(call, &server).await,
                None => false,
            },
            Portal::Named(name) => {
                if self.portal(name).is_none() {
                    return false;
                }
                let portal = Target::new(TargetKind::Portal, "", name);
                if self.may(&call.asking(), Action::List, &portal) {
                    return true;
                }
                let Ok(snapshot) = self.snapshot(call).await else { return false };
                (0..TARGETS.len()).any(|kind| snapshot.origins(kind).next().is_some())
            }
        }
    }

    /// Whether a server is there for a caller: it is permitted to be listed, or something of its is
    /// permitted to be used. Without what is fetched, for that would tell what is there from what is
    /// not.
    pub async fn sees(&self, call: &Call, server: &Arc<Server>) -> bool {
        let asking = call.asking();
        let whole = access::target(server, TargetKind::Server, "", None);
        if self.may(&asking, Action::List, &whole) {
            return true;
        }
        let Ok(snapshot) = self.snapshot(call).await else { return false };
        (0..TARGETS.len())
            .any(|kind| snapshot.origins(kind).any(|((source, _), _)| source.name == server.name))
    }

    /// The servers that a caller sees; `None` for all.
    pub(super) async fn seen_servers(&self, call: &Call) -> Option<HashSet<Arc<str>>> {
        if self.is_unrestricted(&call.caller.principal, &call.portal) {
            return None;
        }
        let mut seen = HashSet::new();
        for server in self.portal_servers(&call.portal) {
            if self.sees(call, &server).await {
                seen.insert(server.name.clone());
            }
        }
        Some(seen)
    }
}

fn viewer<'a>(call: &'a Call, selection: Option<&'a Selection>) -> Viewer<'a> {
    Viewer {
        portal: &call.portal,
        selection,
        capabilities: &call.client.capabilities,
        revision: call.revision,
    }
}
