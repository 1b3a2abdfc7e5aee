//! What one server offers: its four lists, fetched page by page within limits, cached, and fetched again when the
//! server announces a change or they expire.

mod cells;
pub mod exposed;
mod fetch;
mod learn;
mod repair;
mod snapshot;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_mcp::error::Kind as FailureKind;
use doorward_mcp::param_headers::ParamHeader;
use doorward_mcp::{Era, Object, method, tasks};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::call_error::CallError;
use crate::{Asked, Contact, Server, declared};
use doorward_config::{ArgumentSettings, CacheRule, ResultSettings};
use doorward_core::Failure;
use doorward_schema::Checks;

pub use cells::ViewBytes;
use cells::{Cell, Cells, Fetching, Most};
use exposed::Digest;
pub use learn::Schemas;
pub use snapshot::{Snapshot, Snapshots, Source, ViewKey, Viewer};
pub use view::{Item, List, View};

/// What the views of one server may have together, and those of all, in times of what one list may have. One view of
/// each server is there in any case.
const LISTS_OF_SERVER: usize = 8;
const LISTS_OF_ALL: usize = 16;
/// How long a list is waited for before the next is asked for beside it.
const PATIENCE: Duration = Duration::from_secs(1);

/// One of the four lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub method: &'static str,
    /// The member of the result that holds the items.
    pub member: &'static str,
    /// The member that names an item.
    pub key: &'static str,
    /// The capability that announces the list.
    pub group: &'static str,
    /// The notification of a change.
    pub changed: &'static str,
}

pub const KINDS: [Kind; 4] = [
    Kind {
        method: method::TOOLS_LIST,
        member: "tools",
        key: "name",
        group: "tools",
        changed: method::TOOLS_CHANGED,
    },
    Kind {
        method: method::PROMPTS_LIST,
        member: "prompts",
        key: "name",
        group: "prompts",
        changed: method::PROMPTS_CHANGED,
    },
    Kind {
        method: method::RESOURCES_LIST,
        member: "resources",
        key: "uri",
        group: "resources",
        changed: method::RESOURCES_CHANGED,
    },
    Kind {
        method: method::TEMPLATES_LIST,
        member: "resourceTemplates",
        key: "uriTemplate",
        group: "resources",
        changed: method::RESOURCES_CHANGED,
    },
];

/// The places of two of them.
pub const TOOLS: usize = 0;
pub const PROMPTS: usize = 1;

/// The place of a list among the four, by the method that fetches it.
pub fn kind_of(list: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.method == list)
}

/// What the gateway must know of a tool, beyond its definition.
#[derive(Debug)]
pub struct ToolEntry {
    pub name: Box<str>,
    pub schemas: Arc<Schemas>,
    pub arguments: ArgumentSettings,
    pub results: ResultSettings,
    pub cache: CacheRule,
    pub param_headers: Vec<ParamHeader>,
    /// Whether a server of 2025-11-25 runs it as a task.
    pub task: tasks::Support,
    /// It says of itself that it changes nothing.
    pub reads_only: bool,
    /// It says of itself that to be called twice is as once.
    pub is_idempotent: bool,
}

/// A server's lists, by what the caller declares: a handshake-era server may show other tools to
/// other clients. A modern one shows the same to all (spec 2026-07-28 server/tools).
#[derive(Debug, Default)]
pub struct Catalog {
    /// Where what its schemas are held against is checked, if that takes long.
    pub checks: Checks,
    cells: Cells,
}

impl Catalog {
    fn find(&self, server: &Server, capabilities: &Object) -> Option<Arc<Cell>> {
        self.cells.find(&key(server.known().as_deref(), capabilities))
    }

    /// The lists, fetched if they are not at hand or not fresh. Callers who come together wait for
    /// one fetch. A list that cannot be fetched stays as it was, or is empty; it is an error if that becomes of all.
    pub async fn view(&self, server: &Server, asked: &Asked<'_>) -> Result<Arc<View>, CallError> {
        self.fetch(server, asked, &[0, 1, 2, 3]).await
    }

    /// The same for who needs one list alone: the others may be old or empty.
    pub async fn view_of(
        &self,
        server: &Server,
        asked: &Asked<'_>,
        kind: usize,
    ) -> Result<Arc<View>, CallError> {
        let view = self.fetch(server, asked, &[kind]).await?;
        view.problem(kind).cloned().map_or(Ok(view), Err)
    }

    async fn fetch(
        &self,
        server: &Server,
        asked: &Asked<'_>,
        kinds: &[usize],
    ) -> Result<Arc<View>, CallError> {
        let contact = server.contact().await?;
        let key = key(Some(&contact), &asked.client.capabilities);
        let cell = self.cells.find_or_make(key, asked.principal);
        if let Some(view) = cell.current(kinds) {
            return Ok(view);
        }
        // All pages come from one of several replicas.
        let asker = server.asker(asked).await?;
        let fetch_one = |kind: usize| self.fetch_one(server, &asker, &contact, &cell, asked, kind);
        let mut waiting = kinds.iter().copied();
        let mut running: FuturesUnordered<_> = waiting.next().map(fetch_one).into_iter().collect();
        let mut failed = Vec::new();
        // One at a time, but none waits for one that is slow.
        while !running.is_empty() {
            let fetched = tokio::time::timeout(PATIENCE, running.next()).await;
            if let Ok(Some(Err(failure))) = fetched {
                failed.push(failure);
            }
            running.extend(waiting.next().map(fetch_one));
        }
        let view = cell.view.load_full().unwrap_or_else(View::unknown);
        let offered = |kind: usize| contact.about.has(KINDS[kind].group);
        if let Some((_, error, _)) = failed.first()
            && !(0..KINDS.len()).any(|kind| offered(kind) && view.knows(kind))
        {
            return Err(error.clone());
        }
        let lists = failed.into_iter().map(|(kind, error, took)| {
            let list = KINDS[kind].method;
            tracing::warn!(server = &*server.name, list, ?error, "a list could not be fetched");
            cell.stale[kind].store(false, Ordering::Release);
            (kind, view.lists[kind].failed(error, took))
        });
        let lists: Vec<_> = lists.collect();
        Ok(if lists.is_empty() { view } else { cell.publish(&server.name, lists).0 })
    }

    /// Fetches one list if it is not fresh. Who waits for no more than a while has it from then on.
    async fn fetch_one(
        &self,
        server: &Server,
        asker: &Server,
        contact: &Contact,
        cell: &Arc<Cell>,
        asked: &Asked<'_>,
        kind: usize,
    ) -> Result<(), (usize, CallError, Duration)> {
        let _fetching = cell.fetching[kind].lock().await;
        let old = cell.view.load_full().unwrap_or_else(View::unknown);
        if !cell.is_stale(&old, kind) {
            return Ok(());
        }
        let mut fetching = Fetching::begin(&cell.stale[kind]);
        let begun = Instant::now();
        let list = fetch::list(asker, contact, &KINDS[kind], asked)
            .await
            .map_err(|error| (kind, error, begun.elapsed()))?;
        fetching.is_done = true;
        let (list, is_known) = self.shared(kind, list);
        let (_, changed) = cell.publish(&server.name, vec![(kind, list)]);
        let list = server.shared.limits.list_bytes.0;
        let [of_server, of_all] = [LISTS_OF_SERVER, LISTS_OF_ALL].map(|n| list.saturating_mul(n));
        self.cells.make_room(cell, Most { of_server, of_all }, &server.shared.view_bytes);
        // Others were told the same before.
        if changed && (old.knows(kind) || !is_known) {
            server.bump();
        }
        Ok(())
    }

    /// What there is of the lists for who cannot wait longer for the rest, which counts as failed for a while.
    pub fn overdue(
        &self,
        server: &Server,
        capabilities: &Object,
        waited: Duration,
    ) -> Option<Arc<View>> {
        let cell = self.find(server, capabilities)?;
        let view = cell.view.load_full()?;
        let slow = (0..KINDS.len()).filter(|kind| cell.is_stale(&view, *kind)).map(|kind| {
            let failure = Failure::new(FailureKind::Timeout, "The server's list takes too long");
            cell.stale[kind].store(false, Ordering::Release);
            (kind, view.lists[kind].failed(failure.because(KINDS[kind].method).into(), waited))
        });
        let slow: Vec<_> = slow.collect();
        Some(if slow.is_empty() { view } else { cell.publish(&server.name, slow).0 })
    }

    /// The same list in the place of an equal one that is kept for callers with other capabilities, so that it is in memory
    /// once; and whether there is one.
    fn shared(&self, kind: usize, list: List) -> (List, bool) {
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

    /// What is known of a tool now, without fetching anything.
    pub fn known(&self, server: &Server, capabilities: &Object) -> Option<Arc<View>> {
        self.find(server, capabilities)?.view.load_full()
    }

    /// Marks lists for fetching: those that a notification names, or all.
    pub fn invalidate(&self, notification: Option<&str>) {
        for cell in self.cells.all() {
            for (at, kind) in KINDS.iter().enumerate() {
                if notification.is_none_or(|changed| changed == kind.changed) {
                    cell.stale[at].store(true, Ordering::Release);
                }
            }
        }
    }

    /// Marks a view for fetching when it is older than a moment: for a caller who asks for what it
    /// does not show.
    pub fn doubt(&self, server: &Server, capabilities: &Object, kind: usize) {
        let Some(cell) = self.find(server, capabilities) else { return };
        let old = cell
            .view
            .load_full()
            .is_some_and(|view| view.lists[kind].fetched.elapsed() > Duration::from_secs(1));
        if old {
            cell.stale[kind].store(true, Ordering::Release);
        }
    }

    /// The server's own names of tools and prompts that a rewritten name may stand for.
    pub fn named_by(&self, digest: Digest) -> BTreeSet<String> {
        let views = self.cells.views();
        let names = views.iter().flat_map(|view| view.digests.find(view, digest));
        names.map(str::to_owned).collect()
    }

    /// Whether the server lists a tool or prompt of this name.
    pub fn has(&self, server: &str, name: &str) -> bool {
        self.named_by(Digest::of(server, name)).contains(name)
    }

    /// The view that was fetched last, for whomever.
    pub fn latest(&self) -> Option<Arc<View>> {
        self.cells
            .views()
            .into_iter()
            .max_by_key(|view| (view.knows(TOOLS), view.lists[TOOLS].fetched))
    }

    /// The lists of the view that was fetched last that could not be fetched, and why.
    pub fn failed(&self) -> Vec<(&'static str, String)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let lists = KINDS.iter().zip(&latest.lists);
        lists.filter_map(|(kind, list)| Some((kind.method, list.failure()?))).collect()
    }

    /// The tools of the view that was fetched last that are not shown, and why.
    pub fn left_out(&self) -> Vec<(String, String)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let left_out = latest.lists[TOOLS].left_out.iter();
        left_out.map(|(name, why)| (name.to_string(), why.clone())).collect()
    }

    /// The tools of that view of whose schemas something is not checked, and what.
    pub fn unchecked(&self) -> Vec<(String, String)> {
        let Some(latest) = self.latest() else { return Vec::new() };
        let tools = latest.lists[TOOLS].tools.values();
        let mut notes: Vec<_> =
            tools.filter_map(|tool| Some((tool.name.to_string(), tool.schemas.note()?))).collect();
        notes.sort_unstable();
        notes
    }

    /// Items per list of the view that was fetched last.
    pub fn counts(&self) -> Option<[usize; 4]> {
        let latest = self.latest()?;
        Some([0, 1, 2, 3].map(|at| latest.lists[at].items.len()))
    }
}

fn key(contact: Option<&Contact>, capabilities: &Object) -> Bytes {
    match contact {
        Some(contact) if contact.era == Era::Handshake => declared(capabilities),
        _ => Bytes::new(),
    }
}
