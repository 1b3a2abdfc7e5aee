//! What of a server's lists is served, and that changes of pinned definitions are looked at though nobody asks.

use std::collections::BTreeMap;

use doorward_governance::names;
use doorward_governance::pins::Kind as Pinned;
use doorward_mcp::Era;
use doorward_mcp::server_info::About;

use super::kinds::{KINDS, Kind};
use super::view::Item;
use crate::Server;
use crate::approval::Approved;

impl Server {
    /// Whether only pinned definitions are served.
    pub fn is_pinned(&self) -> bool {
        self.settings.pins.active().is_some()
    }

    /// Judges what the server says of itself, where it has pins.
    pub async fn judge_about(&self, era: Era, about: &About) {
        if let Some(on_new) = self.settings.pins.active() {
            self.shared.approval.about(&self.name, on_new, era, about).await;
        }
    }

    /// What may be served of a list: what is approved, and of names that look alike the first.
    pub(crate) async fn approved(&self, era: Era, kind: &Kind, items: Vec<Item>) -> Approved {
        let pinned = match KINDS.iter().position(|known| known == kind) {
            Some(0) => Some(Pinned::Tool),
            Some(1) => Some(Pinned::Prompt),
            Some(3) => Some(Pinned::Template),
            // A list of resources is data.
            _ => None,
        };
        let (mut items, mut withheld) = match pinned.zip(self.settings.pins.active()) {
            Some((kind, on_new)) => {
                self.shared.approval.list(&self.name, on_new, era, kind, items).await
            }
            None => (items, BTreeMap::new()),
        };
        if matches!(pinned, Some(Pinned::Tool | Pinned::Prompt)) {
            let twins = names::twins(items.iter().map(|item| &*item.key));
            for (at, pair) in twins.into_iter().rev() {
                withheld.insert(items.remove(at).key, format!("its name {pair}"));
            }
        }
        for (name, why) in &withheld {
            tracing::warn!(server = &*self.name, list = kind.method, name, "not listed: {why}");
        }
        (items, withheld)
    }

    /// Fetches the lists of a server with pins as soon as they may have changed: a change is seen though nobody asks.
    pub(crate) fn compare_soon(&self) {
        if let Some(this) = self.this.upgrade().filter(|_| self.is_pinned()) {
            self.shared.tasks.spawn(async move { this.prefetch().await });
        }
    }
}
