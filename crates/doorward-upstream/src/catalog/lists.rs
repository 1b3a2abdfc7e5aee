//! The cached lists of one server, by the capabilities that callers declare.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cells::Cells;
use super::kinds::{KINDS, TOOLS};
use super::view::{List, View};
use doorward_identity::exposed::Digest;
use doorward_mcp::Object;
use doorward_schema::Checks;

/// A server's lists, by declared capabilities: a handshake-era server may return different lists to
/// different clients. A modern one returns the same to all (spec 2026-07-28 server/tools).
#[derive(Debug, Default)]
pub struct Catalog {
    /// Calls wait until an announced change was checked.
    pub(crate) is_pinned: std::sync::atomic::AtomicBool,
    /// Runs schema validation that takes long.
    pub checks: Checks,
    pub(super) cells: Cells,
}

impl Catalog {
    /// The cached list that equals this one, if callers with other capabilities have one, so that
    /// it is in memory once; and whether there is one.
    pub(super) fn shared(&self, kind: usize, list: List) -> (List, bool) {
        let views = self.cells.views();
        let equal = views.iter().map(|view| &view.lists[kind]).find(|other| other.is_equal(&list));
        match equal {
            Some(other) => {
                let items = other.items.clone();
                let (left_out, tools) = (other.left_out.clone(), other.tools.clone());
                (List { items, left_out, tools, ..list }, true)
            }
            None => (list, false),
        }
    }

    /// Marks lists as stale: those that a notification names, or all.
    pub fn invalidate(&self, notification: Option<&str>) {
        for cell in self.cells.all() {
            for (at, kind) in KINDS.iter().enumerate() {
                if notification.is_none_or(|changed| changed == kind.changed) {
                    if self.is_pinned.load(Ordering::Relaxed) {
                        cell.announced[at].fetch_add(1, Ordering::AcqRel);
                    }
                    cell.stale[at].store(true, Ordering::Release);
                }
            }
        }
    }

    /// Drops all lists, because what may be served has changed.
    pub fn forget(&self) {
        self.cells.clear();
    }

    /// The server's original names of tools and prompts that a rewritten name may stand for.
    pub fn named_by(&self, digest: Digest) -> BTreeSet<String> {
        let views = self.cells.views();
        let names = views.iter().flat_map(|view| view.digests.find(view, digest));
        names.map(str::to_owned).collect()
    }

    /// Whether the server has returned the same lists to all callers, of whom there was more than
    /// one.
    pub fn lists_agree(&self) -> bool {
        let views: Vec<_> = self.cells.views().into_iter().filter(|v| v.knows(TOOLS)).collect();
        let Some((first, others)) = views.split_first() else { return false };
        let same = |other: &Arc<View>| {
            (0..KINDS.len()).all(|kind| {
                let known = first.knows(kind) && other.knows(kind);
                !known || Arc::ptr_eq(&first.lists[kind].items, &other.lists[kind].items)
            })
        };
        !others.is_empty() && others.iter().all(same)
    }

    /// Whether the server lists a tool or prompt of this name.
    pub fn has(&self, server: &str, name: &str) -> bool {
        self.named_by(Digest::of(server, name)).contains(name)
    }

    /// The definitions of an item as returned to different callers.
    pub fn definitions(&self, kind: usize, name: &str) -> Vec<Object> {
        let views = self.cells.views();
        let items = views.iter().flat_map(|view| view.lists[kind].items.iter());
        items.filter(|item| *item.key == *name).map(|item| item.definition.clone()).collect()
    }

    /// The most recently fetched view, for any caller.
    pub fn latest(&self) -> Option<Arc<View>> {
        self.cells
            .views()
            .into_iter()
            .max_by_key(|view| (view.knows(TOOLS), view.lists[TOOLS].fetched))
    }

    /// The lists that could not be fetched for that view, and why.
    pub fn failed(&self) -> Vec<(&'static str, String)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let lists = KINDS.iter().zip(&latest.lists);
        lists.filter_map(|(kind, list)| Some((kind.method, list.failure()?))).collect()
    }

    /// The tools that are hidden from that view, and why.
    pub fn left_out(&self) -> Vec<(String, String)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let lists = KINDS.iter().zip(&latest.lists);
        let left_out = lists.flat_map(|(kind, list)| {
            let kind = (kind.method != KINDS[TOOLS].method).then_some(kind.member);
            list.left_out.iter().map(move |(name, why)| match kind {
                None => (name.to_string(), why.clone()),
                Some(kind) => (format!("{kind}: {name}"), why.clone()),
            })
        });
        left_out.collect()
    }

    /// The tools in that view whose schemas are not fully checked, and why.
    pub fn unchecked(&self) -> Vec<(String, String)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let tools = latest.lists[TOOLS].tools.values();
        let mut notes: Vec<_> =
            tools.filter_map(|tool| Some((tool.name.to_string(), tool.schemas.note()?))).collect();
        notes.sort_unstable();
        notes
    }

    /// Items per list in that view.
    pub fn counts(&self) -> Option<[usize; 4]> {
        let latest = self.latest()?;
        Some([0, 1, 2, 3].map(|at| latest.lists[at].items.len()))
    }
}
