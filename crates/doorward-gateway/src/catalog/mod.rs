//! What one server offers: its four lists, fetched page by page with bounds, kept in memory,
//! fetched again when the server announces a change or their time is over.

pub mod exposed;
mod fetch;
mod learn;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use doorward_mcp::param_headers::ParamHeader;
use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Era, Object, method, tasks};
use parking_lot::Mutex;

use crate::call::CallError;
use crate::schema::Checks;
use crate::settings::{ArgumentSettings, CacheRule, ResultSettings};
use crate::upstream::{Asked, Contact, Server, declared};

use exposed::{Digest, Digests};
pub use learn::Schemas;
pub use snapshot::{Snapshot, Snapshots, Source, Viewer};

/// Views of one server that are kept: one per set of declared capabilities.
const MAX_VIEWS: usize = 16;

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

#[derive(Debug, Clone)]
pub struct Item {
    pub key: Box<str>,
    pub definition: Object,
}

/// One list, as it was fetched.
#[derive(Debug, Clone)]
pub struct List {
    pub items: Arc<Vec<Item>>,
    pub hints: CacheHints,
    /// What is not shown, and why.
    left_out: Arc<BTreeMap<Box<str>, String>>,
    /// The tools, for those that are.
    tools: Arc<HashMap<Box<str>, Arc<ToolEntry>>>,
    fresh_until: Instant,
    fetched: Instant,
}

impl List {
    /// Whether both tell the same, to the byte.
    fn is_equal(&self, other: &Self) -> bool {
        let same = |(one, other): (&Item, &Item)| {
            one.key == other.key && one.definition.to_bytes() == other.definition.to_bytes()
        };
        self.items.len() == other.items.len()
            && self.left_out == other.left_out
            && self.items.iter().zip(&*other.items).all(same)
    }
}

/// The four lists that callers with the same capabilities see.
#[derive(Debug)]
pub struct View {
    pub lists: [List; 4],
    prompts: HashSet<Box<str>>,
    /// By which rewritten names are led back.
    digests: Digests,
}

impl View {
    fn new(server: &str, lists: [List; 4]) -> Self {
        let prompts = lists[PROMPTS].items.iter().map(|item| item.key.clone()).collect();
        let view = Self { lists, prompts, digests: Digests::default() };
        let digests = Digests::of(server, &view);
        Self { digests, ..view }
    }

    pub fn tool(&self, name: &str) -> Option<&Arc<ToolEntry>> {
        self.lists[TOOLS].tools.get(name)
    }

    /// Whether both tell the very same, in one place in memory.
    pub fn shares_lists_with(&self, other: &Self) -> bool {
        let same = |(one, other): (&List, &List)| Arc::ptr_eq(&one.items, &other.items);
        self.lists.iter().zip(&other.lists).all(same)
    }

    pub fn has_prompt(&self, name: &str) -> bool {
        self.prompts.contains(name)
    }

    /// When the first of the lists must be fetched again.
    pub fn fresh_until(&self) -> Instant {
        self.lists.iter().map(|list| list.fresh_until).min().unwrap_or_else(Instant::now)
    }
}

#[derive(Debug, Default)]
struct Cell {
    fetching: tokio::sync::Mutex<()>,
    view: ArcSwapOption<View>,
    stale: [AtomicBool; 4],
}

impl Cell {
    fn is_stale(&self, view: &View, kind: usize) -> bool {
        self.stale[kind].load(Ordering::Acquire) || Instant::now() >= view.lists[kind].fresh_until
    }

    fn current(&self) -> Option<Arc<View>> {
        let view = self.view.load_full()?;
        (0..KINDS.len()).all(|kind| !self.is_stale(&view, kind)).then_some(view)
    }
}

/// A server's lists, by what the caller declares: a handshake-era server may show other tools to
/// other clients. A modern one shows the same to all (spec 2026-07-28 server/tools).
#[derive(Debug, Default)]
pub struct Catalog {
    /// Where what its schemas are held against is checked, if that takes long.
    pub checks: Checks,
    cells: Mutex<HashMap<Bytes, Arc<Cell>>>,
}

impl Catalog {
    fn cell(&self, contact: Option<&Contact>, capabilities: &Object) -> Arc<Cell> {
        let key = match contact {
            Some(contact) if contact.era == Era::Handshake => declared(capabilities),
            _ => Bytes::new(),
        };
        let mut cells = self.cells.lock();
        if let Some(cell) = cells.get(&key) {
            return cell.clone();
        }
        if cells.len() >= MAX_VIEWS {
            let oldest = cells
                .iter()
                .min_by_key(|(_, cell)| {
                    cell.view.load().as_ref().map(|view| view.lists[TOOLS].fetched)
                })
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                cells.remove(&oldest);
            }
        }
        cells.entry(key).or_default().clone()
    }

    /// The lists, fetched if they are not at hand or not fresh. Callers who come together wait for
    /// one fetch. When it fails, lists that were there stay.
    pub async fn view(&self, server: &Server, asked: &Asked<'_>) -> Result<Arc<View>, CallError> {
        let contact = server.contact().await?;
        let cell = self.cell(Some(&contact), &asked.client.capabilities);
        if let Some(view) = cell.current() {
            return Ok(view);
        }
        let _fetching = cell.fetching.lock().await;
        if let Some(view) = cell.current() {
            return Ok(view);
        }
        let old = cell.view.load_full();
        // All pages come from one of several replicas.
        let asker = server.asker(asked).await?;
        let mut lists = Vec::with_capacity(KINDS.len());
        let mut all_known = true;
        for (at, kind) in KINDS.iter().enumerate() {
            let kept = old.as_ref().filter(|view| !cell.is_stale(view, at));
            if let Some(view) = kept {
                lists.push(view.lists[at].clone());
                continue;
            }
            cell.stale[at].store(false, Ordering::Release);
            match fetch::list(&asker, &contact, kind, asked).await {
                Ok(list) => {
                    let (list, known) = self.shared(at, list);
                    all_known &= known;
                    lists.push(list);
                }
                Err(error) => {
                    cell.stale[at].store(true, Ordering::Release);
                    let Some(old) = &old else { return Err(error) };
                    tracing::warn!(
                        server = &*server.name,
                        list = kind.method,
                        ?error,
                        "kept the old list"
                    );
                    let mut list = old.lists[at].clone();
                    list.fresh_until = Instant::now() + Duration::from_secs(5);
                    cell.stale[at].store(false, Ordering::Release);
                    lists.push(list);
                }
            }
        }
        let Ok(lists) = <[List; 4]>::try_from(lists) else { unreachable!("there are four kinds") };
        let changed = match &old {
            // Others were told the same before.
            None => !all_known,
            Some(old) => {
                old.lists.iter().zip(&lists).any(|(old, new)| !Arc::ptr_eq(&old.items, &new.items))
            }
        };
        let view = Arc::new(View::new(&server.name, lists));
        cell.view.store(Some(view.clone()));
        if changed {
            server.bump();
        }
        Ok(view)
    }

    /// The same list in the place of an equal one that is kept for callers with other capabilities, so that it is in memory
    /// once; and whether there is one.
    fn shared(&self, kind: usize, list: List) -> (List, bool) {
        let views: Vec<_> =
            self.cells.lock().values().filter_map(|cell| cell.view.load_full()).collect();
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
        self.cell(server.known().as_deref(), capabilities).view.load_full()
    }

    /// Marks lists for fetching: those that a notification names, or all.
    pub fn invalidate(&self, notification: Option<&str>) {
        for cell in self.cells.lock().values() {
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
        let cell = self.cell(server.known().as_deref(), capabilities);
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
        let views: Vec<_> =
            self.cells.lock().values().filter_map(|cell| cell.view.load_full()).collect();
        let names = views.iter().flat_map(|view| view.digests.find(view, digest));
        names.map(str::to_owned).collect()
    }

    /// Whether the server lists a tool or prompt of this name.
    pub fn has(&self, server: &str, name: &str) -> bool {
        self.named_by(Digest::of(server, name)).contains(name)
    }

    /// The view that was fetched last, for whomever.
    pub fn latest(&self) -> Option<Arc<View>> {
        let cells = self.cells.lock();
        let views = cells.values().filter_map(|cell| cell.view.load_full());
        views.max_by_key(|view| view.lists[TOOLS].fetched)
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
