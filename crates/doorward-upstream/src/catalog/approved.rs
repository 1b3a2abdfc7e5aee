//! Which items of a server's lists are served. Changes of pinned definitions are detected even if
//! no client requests the lists.

use doorward_governance::names;
use doorward_governance::pins::Kind as Pinned;
use doorward_mcp::Era;
use doorward_mcp::server_info::About;

use super::kinds::{KINDS, Kind};
use super::view::Item;
use crate::Server;
use crate::approval::{Approved, Source, Withheld};

impl Server {
    /// Whether only pinned definitions are served.
    pub fn is_pinned(&self) -> bool {
        self.settings.pins.active().is_some()
    }

    /// Identifies the server for the checks of its definitions; `None` if it has no pins.
    fn source(&self, era: Era) -> Option<Source<'_>> {
        let on_new = self.settings.pins.active()?;
        Some(Source { server: &self.name, replica: self.tag(), era, on_new })
    }

    /// Checks the server's description of itself.
    pub async fn judge_about(&self, era: Era, about: &About) {
        self.shared.approval.about(&self.name, self.source(era), about).await;
    }

    /// The items of a list that may be served: approved ones, and of names that look alike the
    /// first.
    pub(crate) async fn approved(&self, era: Era, kind: &Kind, items: Vec<Item>) -> Approved {
        let pinned = match KINDS.iter().position(|known| known == kind) {
            Some(0) => Some(Pinned::Tool),
            Some(1) => Some(Pinned::Prompt),
            Some(3) => Some(Pinned::Template),
            // The list of resources is data.
            _ => None,
        };
        let approval = &self.shared.approval;
        let pins = pinned.zip(self.source(era));
        let inspected = approval.inspect(&self.name, kind.member, pins.is_some(), items).await;
        let (items, mut findings) = inspected;
        let mut approved = match pins {
            Some((kind, source)) => {
                let mut approved = approval.list(source, kind, items, &findings).await;
                for (name, withheld) in &mut approved.withheld {
                    let finding = findings.get_mut(name);
                    if let Some(why) = finding.and_then(|finding| finding.hold.take()) {
                        withheld.why = why;
                    }
                }
                // Definitions that are pinned despite findings were accepted by somebody.
                findings.values_mut().for_each(|finding| finding.hold = None);
                approved
            }
            None => Approved { items, ..Approved::default() },
        };
        approved.apply(findings);
        let Approved { items, withheld } = &mut approved;
        if matches!(pinned, Some(Pinned::Tool | Pinned::Prompt)) {
            let twins = names::twins(items.iter().map(|item| &*item.key));
            for (at, pair) in twins.into_iter().rev() {
                let twin = Withheld { why: format!("its name {pair}"), is_changed: false };
                withheld.insert(items.remove(at).key, twin);
            }
        }
        for (name, Withheld { why, .. }) in withheld {
            let (server, replica) = (&*self.name, self.place());
            tracing::warn!(server, replica, list = kind.method, name, "not listed: {why}");
        }
        approved
    }

    /// Fetches the lists of a server with pins as soon as they may have changed, so that changes
    /// are detected without a request.
    pub(crate) fn compare_soon(&self) {
        let Some(this) = self.this.upgrade().filter(|_| self.is_pinned()) else { return };
        self.shared.tasks.spawn(async move {
            match this.replica {
                Some(_) => this.compare_again().await,
                None => this.prefetch().await,
            }
        });
    }
}
