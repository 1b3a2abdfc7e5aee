//! What a name leads to: a path to a portal, and at a portal a name to a server and its own name.

use std::sync::Arc;

use doorward_mcp::names::{split_name, split_uri};

use super::Gateway;
use crate::call::Portal;
use crate::portals::{Selection, Selections};
use crate::upstream::Server;

impl Gateway {
    /// The server that a name or URI at a portal is about, and its own name for it. For a server's
    /// portal, the server whatever the name.
    pub fn named(
        &self,
        portal: &Portal,
        is_uri: bool,
        name: &str,
    ) -> Option<(Arc<Server>, String)> {
        match portal {
            Portal::Server(server) => Some((self.server(server)?, name.to_owned())),
            Portal::Named(portal) if !is_uri => {
                let portal = self.portal(portal)?;
                let (server, own) = portal.split(name)?;
                Some((self.server(server)?, own.to_owned()))
            }
            Portal::Merged | Portal::Named(_) => {
                let split = if is_uri { split_uri(name) } else { split_name(name) };
                let (server, own) = split?;
                Some((self.server(server)?, own.to_owned()))
            }
        }
    }

    /// A portal that was made of a selection.
    pub fn portal(&self, name: &str) -> Option<Arc<Selection>> {
        self.portals.load().get(&name.to_ascii_lowercase()).map(|(_, portal)| portal.clone())
    }

    /// All of them, with their names.
    pub fn portals(&self) -> Arc<Selections> {
        self.portals.load_full()
    }

    /// Takes portals anew; listeners at those that are gone are sent away, and all others look again.
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

    /// What a path names: a portal or server, by its own spelling.
    pub fn portal_named(&self, name: &str) -> Option<Portal> {
        if let Some((shown, _)) = self.portals.load().get(&name.to_ascii_lowercase()) {
            return Some(Portal::Named(shown.clone()));
        }
        self.server(name).map(|server| Portal::Server(server.name.clone()))
    }
}
