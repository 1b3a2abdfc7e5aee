//! The lists of a portal, filtered for a caller.

use std::collections::HashSet;
use std::sync::Arc;

use doorward_mcp::RpcError;
use doorward_mcp::error::Kind;
use doorward_policy::{Action, Target, TargetKind};
use futures_util::future::join_all;

use super::{Gateway, SERVER_PATIENCE};
use crate::access::decide::Asking;
use crate::access::targets::{action_on, target};
use crate::call::{Call, CallError, Failure, Portal};
use doorward_config::NameSettings;
use doorward_governance::lifecycle::notice::Notices;
use doorward_upstream::catalog::ViewKey;
use doorward_upstream::catalog::{Snapshot, View, Viewer};
use doorward_upstream::portals::Selection;
use doorward_upstream::{Server, declared};

/// Maximum number of cached visibility results.
const MOST_SEEN: usize = 4096;

/// The target kinds of the four lists.
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

    /// The servers of a portal that are not stopped.
    pub fn serving(&self, portal: &Portal) -> Vec<Arc<Server>> {
        let mut servers = self.portal_servers(portal);
        if self.emergency.stops.current().is_some() {
            servers.retain(|server| !self.is_out_of_service(server));
        }
        servers
    }

    /// A cached snapshot of the caller's lists that is still valid.
    pub fn fresh_snapshot(&self, call: &Call) -> Option<Arc<Snapshot>> {
        let (names, notices) = (&self.settings().names, self.life.notices());
        let whole = self.snapshots.fresh(&viewer(call, None, names, &notices))?;
        match self.lists_key(call) {
            Some(key) => self.snapshots.seen(&key, &whole),
            None => Some(whole),
        }
    }

    /// The caller's lists, fetched if necessary. At the merged portal, servers that are down or
    /// slow are omitted until they are back.
    pub async fn snapshot(&self, call: &Call) -> Result<Arc<Snapshot>, CallError> {
        let merged = call.portal.is_merged();
        if merged {
            self.settle().await;
        }
        let names = self.settings().names.clone();
        if let Some(whole) = self.snapshots.fresh(&viewer(call, None, &names, &self.life.notices()))
        {
            return Ok(self.seen(call, whole).await);
        }
        let (generation, notices) = (self.snapshots.generation(), self.life.notices());
        let era = call.revision.era();
        let views = join_all(self.serving(&call.portal).into_iter().map(|server| async move {
            let server = server.spoken_in(era).await;
            let asked = call.asked(&server);
            let mut fetching = Box::pin(server.catalog.view(&server, &asked));
            let view = match tokio::time::timeout(SERVER_PATIENCE, &mut fetching).await {
                Ok(view) => view,
                // One slow list does not prevent the others.
                Err(_) => {
                    let capabilities = &asked.client.capabilities;
                    match server.catalog.overdue(&server, capabilities, SERVER_PATIENCE) {
                        Some(view) => Ok(view),
                        None if merged => Err(Failure::new(
                            Kind::Timeout,
                            "The server's lists take too long to fetch",
                        )
                        .into()),
                        None => (&mut fetching).await,
                    }
                }
            };
            drop(fetching);
            (server, view)
        }))
        .await;
        let mut found = Vec::with_capacity(views.len());
        for (server, view) in views {
            match view {
                Ok(view) => found.push((server, view)),
                Err(error) if !merged => return Err(error),
                Err(error) => {
                    tracing::debug!(
                        server = &*server.name,
                        error = error.logged(),
                        "a server is missing from the list"
                    );
                }
            }
        }
        let page = self.shared.limits.page_size;
        let selection = self.selection(&call.portal);
        let viewer = viewer(call, selection.as_deref(), &names, &notices);
        let whole = self.snapshots.build(&viewer, found, generation, page);
        Ok(self.seen(call, whole).await)
    }

    /// The items of a portal's lists for which some call of the caller would be permitted.
    async fn seen(&self, call: &Call, whole: Arc<Snapshot>) -> Arc<Snapshot> {
        let Some(key) = self.lists_key(call) else { return whole };
        let asking = call.asking();
        if let Some(seen) = self.snapshots.seen(&key, &whole) {
            return seen;
        }
        let mut marked: [Vec<bool>; 4] = Default::default();
        for (kind, of) in TARGETS.into_iter().enumerate() {
            for (number, ((server, view), name)) in whole.origins(kind).enumerate() {
                let is_there = !self.is_tool_stopped(server, of, name)
                    && self.may_use(&asking, server, view, of, name);
                marked[kind].push(is_there);
                // Lets other tasks run.
                if number % 32 == 31 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let seen = Arc::new(whole.only(&marked, self.shared.limits.page_size));
        self.snapshots.keep_seen(key, &whole, &seen);
        seen
    }

    /// Whether a portal is visible to a caller.
    pub fn sees_portal(&self, call: &Call) -> bool {
        match &call.portal {
            Portal::Merged => true,
            Portal::Server(name) => {
                self.server(name).is_some_and(|server| self.sees(call, &server))
            }
            Portal::Named(name) => self.sees_named(&call.asking(), name),
        }
    }

    fn sees_named(&self, asking: &Asking<'_>, name: &str) -> bool {
        let portal = Target::new(TargetKind::Portal, "", name);
        self.portal(name).is_some()
            && (self.may(asking, Action::List, &portal)
                || self.portal_servers(asking.portal).iter().any(|it| self.is_seen_by(asking, it)))
    }

    /// Whether a server is visible to a caller: listing it is permitted, or using some known item
    /// of it. Nothing is fetched for this, because the delay would reveal whether the server
    /// exists.
    pub fn sees(&self, call: &Call, server: &Arc<Server>) -> bool {
        self.is_seen_by(&call.asking(), server)
    }

    /// Whether a portal is listed for a caller: a server in it is visible and not stopped.
    pub fn is_listed(&self, asking: &Asking<'_>) -> bool {
        let is_there = match asking.portal {
            Portal::Merged | Portal::Server(_) => true,
            Portal::Named(name) => self.sees_named(asking, name),
        };
        is_there && self.serving(asking.portal).iter().any(|server| self.is_seen_by(asking, server))
    }

    /// Refuses a caller to whom nothing at a portal is visible, before anything is opened for them.
    pub fn check_sees_any(&self, asking: &Asking<'_>) -> Result<(), RpcError> {
        if self.sees_nothing(asking) {
            let why = "This key or token does not give access to anything here";
            return Err(RpcError::invalid_request(why));
        }
        Ok(())
    }

    /// Whether nothing at a portal is visible to a caller, as far as its lists are known.
    fn sees_nothing(&self, asking: &Asking<'_>) -> bool {
        if self.is_unrestricted(&asking.caller.principal, asking.portal) {
            return false;
        }
        let servers = self.portal_servers(asking.portal);
        let hidden = |server: &Arc<Server>| {
            server.catalog.latest().is_some() && !self.is_seen_by(asking, server)
        };
        !servers.is_empty() && servers.iter().all(hidden)
    }

    pub fn is_seen_by(&self, asking: &Asking<'_>, server: &Arc<Server>) -> bool {
        let Some(key) = self.view_key(asking) else { return true };
        let key = (key, server.name.clone());
        let generation = self.snapshots.generation();
        let remembered = self.seen_servers.lock().get(&key).copied();
        if let Some((sees, _)) = remembered.filter(|(_, of)| *of == generation) {
            return sees;
        }
        let whole = target(server, TargetKind::Server, "", None);
        let known = server.catalog.latest();
        if known.is_none() {
            server.wake();
        }
        let sees = self.may(asking, Action::List, &whole)
            || known.as_ref().is_some_and(|view| self.may_use_any(asking, server, view));
        if sees || known.is_some() {
            let mut seen = self.seen_servers.lock();
            if seen.len() >= MOST_SEEN {
                seen.clear();
            }
            seen.insert(key, (sees, generation));
        }
        sees
    }

    fn is_tool_stopped(&self, server: &Server, kind: TargetKind, name: &str) -> bool {
        let stopped = self.emergency.stops.current().filter(|_| kind == TargetKind::Tool);
        stopped.is_some_and(|stopped| stopped.tool(&server.name, name).is_some())
    }

    fn may_use_any(&self, asking: &Asking<'_>, server: &Server, view: &View) -> bool {
        TARGETS.into_iter().zip(&view.lists).any(|(kind, list)| {
            list.items.iter().any(|item| self.may_use(asking, server, view, kind, &item.key))
        })
    }

    fn may_use(
        &self,
        asking: &Asking<'_>,
        server: &Server,
        view: &View,
        kind: TargetKind,
        name: &str,
    ) -> bool {
        let tool = if kind == TargetKind::Tool { view.tool(name) } else { None };
        let target = target(server, kind, name, tool.map(|tool| &**tool));
        self.may(asking, action_on(kind), &target)
    }

    /// What a caller's lists depend on; `None` for a caller who sees everything.
    fn lists_key(&self, call: &Call) -> Option<ViewKey> {
        let key = self.view_key(&call.asking());
        let stopped = self.emergency.stops.current().filter(|stopped| stopped.has_tools());
        let key = match (key, stopped) {
            (key, None) => key?,
            // They see everything but the tools that are currently stopped.
            (key, Some(_)) => {
                let generation = self.emergency.stops.generation().to_le_bytes();
                key.unwrap_or_else(|| ViewKey::of(call.portal.name().as_bytes())).and(&generation)
            }
        };
        Some(key.and(&declared(&call.client.capabilities)))
    }

    /// The servers that a caller sees; `None` for all.
    pub(super) fn servers_seen_by(&self, call: &Call) -> Option<HashSet<Arc<str>>> {
        let nothing_stopped = self.emergency.stops.current().is_none();
        if nothing_stopped && self.is_unrestricted(&call.caller.principal, &call.portal) {
            return None;
        }
        let servers = self.serving(&call.portal).into_iter();
        Some(servers.filter(|it| self.sees(call, it)).map(|it| it.name.clone()).collect())
    }
}

fn viewer<'a>(
    call: &'a Call,
    selection: Option<&'a Selection>,
    names: &'a NameSettings,
    notices: &'a Notices,
) -> Viewer<'a> {
    Viewer {
        names,
        notices,
        portal: &call.portal,
        selection,
        capabilities: &call.client.capabilities,
        revision: call.revision,
    }
}
