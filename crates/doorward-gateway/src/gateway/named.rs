//! Name resolution: from a path to a portal, and from a name to a server and its original name.

use std::sync::Arc;

use doorward_mcp::names::{split_name, split_uri};

use super::{Gateway, SERVER_PATIENCE};
use crate::call::{Call, Portal};
use doorward_config::is_legal_name;
use doorward_upstream::Server;
use doorward_upstream::catalog::exposed::{self, Digest};
use doorward_upstream::catalog::{PROMPTS, TOOLS};
use doorward_upstream::portals::{Selection, Selections};

impl Gateway {
    /// The server that a name or URI at a portal refers to, and the original name. At a server's
    /// portal, always that server.
    pub fn named(
        &self,
        portal: &Portal,
        is_uri: bool,
        name: &str,
    ) -> Option<(Arc<Server>, String)> {
        match portal {
            Portal::Server(server) => {
                let server = self.server(server)?;
                let own = if is_uri { None } else { self.rewritten(portal, name) };
                Some((server, own.map_or_else(|| name.to_owned(), |(_, own)| own)))
            }
            Portal::Merged | Portal::Named(_) if is_uri => {
                let (server, own) = split_uri(name)?;
                Some((self.server(server)?, own.to_owned()))
            }
            Portal::Named(of) => {
                let selection = self.portal(of)?;
                if let Some((server, own)) = selection.renamed(name) {
                    return Some((self.server(server)?, own.to_owned()));
                }
                let (server, own) = self.exposed(portal, name)?;
                (!selection.renames(&server.name, &own)).then_some((server, own))
            }
            Portal::Merged => self.exposed(portal, name),
        }
    }

    /// The same for the name of a tool or prompt at a portal with several servers. Names rewritten
    /// for models' APIs are resolved separately.
    fn exposed(&self, portal: &Portal, name: &str) -> Option<(Arc<Server>, String)> {
        if Digest::read(name).is_some() {
            return self.rewritten(portal, name);
        }
        let (server, own) = split_name(name)?;
        is_legal_name(name, self.settings().names.longest())
            .then(|| Some((self.server(server)?, own.to_owned())))?
    }

    /// The original of a rewritten name, if known. An ambiguous one resolves to nothing.
    fn rewritten(&self, portal: &Portal, name: &str) -> Option<(Arc<Server>, String)> {
        let digest = Digest::read(name)?;
        let settings = self.settings();
        let names = &settings.names;
        let mut found = None;
        for server in self.candidates(portal, name) {
            for own in server.named_by(digest) {
                let shown = match portal {
                    Portal::Server(_) => exposed::single_name(&server.name, &own, names),
                    Portal::Merged | Portal::Named(_) => {
                        exposed::merged_name(&server.name, &own, names).into()
                    }
                };
                if *shown != *name || *shown == *own {
                    continue;
                }
                if found.replace((server.clone(), own)).is_some() {
                    tracing::warn!(name, "two tools have the same name: neither is called");
                    return None;
                }
            }
        }
        found
    }

    /// The servers of a portal to which a rewritten name may belong.
    fn candidates(&self, portal: &Portal, name: &str) -> Vec<Arc<Server>> {
        let single = matches!(portal, Portal::Server(_));
        let mut servers = self.portal_servers(portal);
        servers.retain(|server| single || exposed::may_be_of(name, &server.name));
        servers
    }

    /// Fetches the lists needed to resolve a name: a client may have received it before the gateway
    /// restarted, or from another gateway.
    pub async fn look_for_name(&self, call: &Call, name: &str) {
        if Digest::read(name).is_none() {
            return;
        }
        let looking = self.candidates(&call.portal, name).into_iter();
        let looking = looking.filter(|server| self.sees(call, server)).map(|server| async move {
            let server = server.spoken_in(call.revision.era()).await;
            for kind in [TOOLS, PROMPTS] {
                server.catalog.doubt(&server, &call.client.capabilities, kind);
            }
            let asked = call.asked(&server);
            let _ = server.catalog.view(&server, &asked).await;
        });
        let looking = futures_util::future::join_all(looking);
        let _ = tokio::time::timeout(SERVER_PATIENCE, looking).await;
    }

    /// A portal with selected items, by name.
    pub fn portal(&self, name: &str) -> Option<Arc<Selection>> {
        self.portals.load().get(&name.to_ascii_lowercase()).map(|(_, portal)| portal.clone())
    }

    /// What a portal selects; `None` if it is one of all servers or of one.
    pub fn selection(&self, portal: &Portal) -> Option<Arc<Selection>> {
        match portal {
            Portal::Named(name) => self.portal(name),
            Portal::Merged | Portal::Server(_) => None,
        }
    }

    /// All such portals, by name.
    pub fn portals(&self) -> Arc<Selections> {
        self.portals.load_full()
    }

    /// Replaces the portals. Listeners at removed ones are disconnected; others read lists again.
    pub(crate) fn set_portals(&self, portals: Selections) {
        let old = self.portals.swap(Arc::new(portals));
        let now = self.portals.load();
        let same = |name: &String, before: &Arc<Selection>| {
            now.get(name).is_some_and(|(_, after)| after.settings == before.settings)
        };
        if old.len() == now.len() && old.iter().all(|(name, (_, before))| same(name, before)) {
            return;
        }
        for (name, (shown, before)) in old.iter() {
            if !same(name, before) {
                self.shared.switchboard.close_portal(shown);
            }
        }
        self.snapshots.changed();
    }

    /// The portal or server named in a path, in its own spelling.
    pub fn portal_named(&self, name: &str) -> Option<Portal> {
        if let Some((shown, _)) = self.portals.load().get(&name.to_ascii_lowercase()) {
            return Some(Portal::Named(shown.clone()));
        }
        self.server(name).map(|server| Portal::Server(server.name.clone()))
    }
}
