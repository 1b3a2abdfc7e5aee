//! The lists as clients see them: of all servers in one deterministic order with qualified names,
//! or of one server unchanged. Built once and cached until something changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use doorward_identity::exposed;
use doorward_mcp::names::Qualifier;
use doorward_mcp::translate::{self, CacheHints};
use doorward_mcp::{Era, Object, Revision, RpcError, Value, method, tasks};
use parking_lot::Mutex;

use super::fetch;
use super::kinds::{KINDS, TOOLS};
use super::searching::{Place, Searching};
use super::view::View;
use crate::call_error::CallError;
use crate::portals::Selection;
use crate::{Server, declared};
use doorward_config::NameSettings;
use doorward_core::Portal;
use doorward_governance::lifecycle::notice::Notices;
use doorward_identity::seal;

/// A short digest of everything that a view depends on, however long a caller's declarations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ViewKey([u8; 32]);

impl ViewKey {
    pub fn of(all: &[u8]) -> Self {
        Self(seal::sha256(all))
    }

    /// Adds another dependency.
    pub fn and(&self, more: &[u8]) -> Self {
        Self::of(&[&self.0, more].concat())
    }
}

/// Maximum number of cached snapshots: by portal, declared capabilities and era of the client.
const MAX_SNAPSHOTS: usize = 128;
/// Maximum number of snapshots filtered for single callers, and their lifetime.
const MAX_FILTERED: usize = 1024;
const MAX_FILTERED_BYTES: usize = 128 << 20;
const FILTERED: Duration = Duration::from_secs(60);

/// The four lists of a portal.
#[derive(Debug)]
pub struct Snapshot {
    generation: u64,
    made: Instant,
    fresh_until: Instant,
    lists: [Listing; 4],
    sources: Vec<Source>,
    /// What it was filtered from.
    pub(super) whole: Option<Arc<Self>>,
    pub(super) searching: Searching,
}

#[derive(Debug, Default)]
struct Listing {
    items: Vec<Serialized>,
    hints: CacheHints,
    /// The first page, serialized.
    first: Bytes,
}

/// A serialized item.
#[derive(Debug, Clone)]
struct Serialized {
    name: Box<str>,
    definition: Bytes,
    /// Its origin: the indexes of its server among the sources, and of the item in the server's
    /// list.
    place: Place,
}

/// A server and its lists.
pub type Source = (Arc<Server>, Arc<View>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    portal: Portal,
    capabilities: Bytes,
    revision: Revision,
}

#[derive(Debug, Default)]
pub struct Snapshots {
    kept: Mutex<HashMap<Key, Arc<Snapshot>>>,
    /// Snapshots filtered for single callers, by the complete identity of the caller; with the
    /// unfiltered snapshot, and the time of creation.
    filtered: Mutex<HashMap<ViewKey, Filtered>>,
    /// Counts changes of any server's lists.
    pub generation: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Filtered {
    whole: Arc<Snapshot>,
    seen: Arc<Snapshot>,
    made: Instant,
}

/// Who requests the lists.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    pub portal: &'a Portal,
    /// For a portal with selected items.
    pub selection: Option<&'a Selection>,
    pub names: &'a NameSettings,
    /// Notices about deprecated servers.
    pub notices: &'a Notices,
    pub capabilities: &'a Object,
    pub revision: Revision,
}

impl Viewer<'_> {
    fn key(&self) -> Key {
        Key {
            portal: self.portal.clone(),
            capabilities: declared(self.capabilities),
            revision: self.revision,
        }
    }
}

impl Snapshots {
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Servers were added or removed.
    pub fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// A cached snapshot that is still valid.
    pub fn fresh(&self, viewer: &Viewer<'_>) -> Option<Arc<Snapshot>> {
        let kept = self.kept.lock();
        let snapshot = kept.get(&viewer.key())?;
        (snapshot.generation == self.generation() && Instant::now() < snapshot.fresh_until)
            .then(|| snapshot.clone())
    }

    /// Builds and caches a snapshot of views that were just fetched. `generation` is the count from
    /// before the fetch: a change in the meantime makes the snapshot stale at once.
    pub fn build(
        &self,
        viewer: &Viewer<'_>,
        sources: Vec<Source>,
        generation: u64,
        page: usize,
    ) -> Arc<Snapshot> {
        if let Some(same) = self.same(viewer, &sources, generation) {
            self.keep(viewer, same.clone());
            return same;
        }
        let fresh_until = sources.iter().map(|(_, view)| view.fresh_until()).min();
        let lists = [0, 1, 2, 3].map(|kind| listing(viewer, &sources, kind, page));
        let snapshot = Arc::new(Snapshot {
            generation,
            made: Instant::now(),
            fresh_until: fresh_until.unwrap_or_else(|| Instant::now() + Duration::from_secs(1)),
            lists,
            sources,
            whole: None,
            searching: Searching::default(),
        });
        self.keep(viewer, snapshot.clone());
        snapshot
    }

    /// A snapshot of the same views that was built for other capabilities.
    fn same(
        &self,
        viewer: &Viewer<'_>,
        sources: &[Source],
        generation: u64,
    ) -> Option<Arc<Snapshot>> {
        let kept = self.kept.lock();
        let fits = |(key, old): &(&Key, &Arc<Snapshot>)| {
            key.portal == *viewer.portal
                && key.revision == viewer.revision
                && old.generation == generation
                && Instant::now() < old.fresh_until
                && old.sources.len() == sources.len()
                && old.sources.iter().zip(sources).all(|(one, other)| {
                    Arc::ptr_eq(&one.0, &other.0) && one.1.shares_lists_with(&other.1)
                })
        };
        kept.iter().find(fits).map(|(_, old)| old.clone())
    }

    fn keep(&self, viewer: &Viewer<'_>, snapshot: Arc<Snapshot>) {
        let (now, current) = (Instant::now(), self.generation());
        let mut kept = self.kept.lock();
        kept.retain(|_, old| old.generation == current && now < old.fresh_until);
        if kept.len() >= MAX_SNAPSHOTS {
            let oldest = kept.iter().min_by_key(|(_, old)| old.made).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                kept.remove(&oldest);
            }
        }
        kept.insert(viewer.key(), snapshot);
    }

    /// The cached items of a snapshot that a caller may see.
    pub fn seen(&self, caller: &ViewKey, whole: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let filtered = self.filtered.lock();
        let kept = filtered.get(caller)?;
        (Arc::ptr_eq(&kept.whole, whole) && kept.made.elapsed() < FILTERED)
            .then(|| kept.seen.clone())
    }

    pub fn keep_seen(&self, caller: ViewKey, whole: &Arc<Snapshot>, seen: &Arc<Snapshot>) {
        let mut filtered = self.filtered.lock();
        let bytes_of = |kept: &Filtered| kept.seen.own_bytes();
        let mut bytes: usize = filtered.values().map(bytes_of).sum();
        // Evict the oldest entries.
        while filtered.len() >= MAX_FILTERED || bytes + seen.own_bytes() > MAX_FILTERED_BYTES {
            let oldest = filtered.iter().min_by_key(|(_, kept)| kept.made);
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            bytes -= filtered.remove(&oldest).as_ref().map_or(0, bytes_of);
        }
        let (whole, seen) = (whole.clone(), seen.clone());
        filtered.insert(caller, Filtered { whole, seen, made: Instant::now() });
    }
}

fn listing(viewer: &Viewer<'_>, sources: &[Source], kind: usize, page: usize) -> Listing {
    let list = KINDS[kind].method;
    let mut listing = Listing::default();
    let mut hints: Option<CacheHints> = None;
    for (at, (server, view)) in sources.iter().enumerate() {
        let source = &view.lists[kind];
        let of_handshake = server.known().is_some_and(|contact| contact.era == Era::Handshake);
        hints = Some(match hints {
            None => source.hints,
            Some(all) => CacheHints {
                ttl_ms: all.ttl_ms.min(source.hints.ttl_ms),
                public: all.public && source.hints.public,
            },
        });
        let notice = viewer.notices.get(&server.name.to_ascii_lowercase());
        for (number, item) in source.items.iter().enumerate() {
            let mut definition = item.definition.clone();
            let merged = viewer.portal.is_merged();
            if merged {
                Qualifier { server: &server.name }.item(list, &mut definition);
            }
            if matches!(list, method::TOOLS_LIST | method::PROMPTS_LIST) {
                let name = match merged {
                    true => exposed::merged_name(&server.name, &item.key, viewer.names).into(),
                    false => exposed::single_name(&server.name, &item.key, viewer.names),
                };
                if *name != *item.key {
                    definition.set("name", &*name);
                }
                if let Some(selection) = viewer.selection {
                    match list {
                        method::TOOLS_LIST => {
                            if !selection.dress_tool(&server.name, &item.key, &mut definition) {
                                continue;
                            }
                        }
                        _ => selection.dress(&server.name, &item.key, &mut definition),
                    }
                }
            }
            if let Some(notice) = notice {
                notice.mark(&mut definition);
            }
            if list == method::TOOLS_LIST {
                if of_handshake {
                    tasks::Support::hide(&mut definition);
                }
                if !viewer.revision.is_modern() {
                    translate::tool_to_handshake(&mut definition, viewer.revision);
                }
            }
            let name = definition.string(KINDS[kind].key).map(Box::from).unwrap_or_default();
            let definition = definition.to_bytes();
            listing.items.push(Serialized { name, definition, place: (at, number) });
        }
    }
    // The combined lists of several servers are not shared.
    let single = matches!(viewer.portal, Portal::Server(_));
    let hints = hints.unwrap_or(CacheHints::NONE);
    listing.hints = CacheHints { public: hints.public && single, ..hints };
    listing.first = write(&listing.items[..listing.items.len().min(page)]);
    listing
}

fn write(items: &[Serialized]) -> Bytes {
    let size: usize = items.iter().map(|item| item.definition.len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + 2);
    out.put_u8(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&item.definition);
    }
    out.put_u8(b']');
    out.freeze()
}

impl Snapshot {
    /// The bytes held by this snapshot alone; items are shared with the lists they come from.
    fn own_bytes(&self) -> usize {
        self.lists
            .iter()
            .map(|list| list.first.len() + list.items.len() * size_of::<Serialized>())
            .sum()
    }

    /// One page of a list, as the result of the list request. A cursor names the last item of the
    /// previous page, so that paging continues even if the list has changed.
    pub fn page(
        &self,
        kind: usize,
        cursor: Option<&Value>,
        size: usize,
    ) -> Result<Object, RpcError> {
        let listing = &self.lists[kind];
        // Clients that serialize empty members send null, or an empty cursor, for the first page.
        let cursor = cursor.filter(|cursor| fetch::goes_on(cursor));
        let (items, end) = match cursor {
            None => (listing.first.clone(), listing.items.len().min(size)),
            Some(cursor) => {
                let invalid = || RpcError::invalid_params("'cursor' is not one of this list's");
                let last = cursor
                    .as_str()
                    .and_then(|text| URL_SAFE_NO_PAD.decode(text.as_bytes()).ok())
                    .ok_or_else(invalid)?;
                let start = listing
                    .items
                    .iter()
                    .position(|item| item.name.as_bytes() == last)
                    .ok_or_else(invalid)?
                    + 1;
                let end = listing.items.len().min(start + size);
                (write(&listing.items[start..end]), end)
            }
        };
        let mut result = Object::new();
        result.set(KINDS[kind].member, Value::Raw(items));
        if end < listing.items.len() && end > 0 {
            let cursor = URL_SAFE_NO_PAD.encode(listing.items[end - 1].name.as_bytes());
            result.set("nextCursor", cursor.as_str());
        }
        result.set("resultType", "complete");
        listing.hints.put(&mut result);
        Ok(result)
    }

    /// The same, with items that are of no server at the end of the last page.
    pub fn page_and(
        &self,
        kind: usize,
        cursor: Option<&Value>,
        size: usize,
        others: &[Bytes],
    ) -> Result<Object, RpcError> {
        let mut result = self.page(kind, cursor, size)?;
        if !result.contains("nextCursor") {
            let member = KINDS[kind].member;
            let mut all = result.get(member).and_then(Value::as_array).unwrap_or_default();
            all.extend(others.iter().map(|item| Value::Raw(item.clone())));
            result.set(member, Value::array(&all));
        }
        Ok(result)
    }

    /// Some of the tools and others that are of no server, as the result of the list request.
    pub fn short_list(&self, wanted: impl Fn(&str, &str) -> bool, others: &[Bytes]) -> Object {
        let listing = &self.lists[TOOLS];
        let items = self.items(TOOLS).filter(|(_, _, (server, _), own)| wanted(&server.name, own));
        let chosen: Vec<Value> = items
            .map(|(_, definition, ..)| definition)
            .chain(others)
            .map(|definition| Value::Raw(definition.clone()))
            .collect();
        let mut result = Object::new();
        result.set(KINDS[TOOLS].member, Value::array(&chosen));
        result.set("resultType", "complete");
        CacheHints { public: false, ..listing.hints }.put(&mut result);
        result
    }

    /// The origin of each item of a list: the server, its view, and the original name.
    pub fn origins(&self, kind: usize) -> impl Iterator<Item = (&Source, &str)> {
        self.lists[kind].items.iter().map(move |item| {
            let (source, number) = item.place;
            let source = &self.sources[source];
            (source, &*source.1.lists[kind].items[number].key)
        })
    }

    /// Each item of a list as clients see it: its name, its definition, and its origin.
    pub fn items(&self, kind: usize) -> impl Iterator<Item = (&str, &Bytes, &Source, &str)> {
        let told = self.lists[kind].items.iter();
        told.zip(self.origins(kind))
            .map(|(told, (source, own))| (&*told.name, &told.definition, source, own))
    }

    /// Why a list is missing, if it belongs to a single server and was never fetched. With several
    /// servers, the available lists are returned.
    pub fn problem(&self, kind: usize) -> Option<&CallError> {
        match &self.sources[..] {
            [(_, view)] => view.problem(kind),
            _ => None,
        }
    }

    /// The snapshot reduced to the marked items, for one caller.
    pub fn only(self: &Arc<Self>, marked: &[Vec<bool>; 4], page: usize) -> Self {
        let lists = [0, 1, 2, 3].map(|kind| {
            let whole = &self.lists[kind];
            let kept = whole.items.iter().zip(&marked[kind]).filter(|(_, marked)| **marked);
            let items: Vec<Serialized> = kept.map(|(item, _)| item.clone()).collect();
            let first = write(&items[..items.len().min(page)]);
            Listing { items, hints: CacheHints { public: false, ..whole.hints }, first }
        });
        Self {
            generation: self.generation,
            made: self.made,
            fresh_until: self.fresh_until,
            lists,
            sources: self.sources.clone(),
            whole: Some(self.clone()),
            searching: Searching::default(),
        }
    }

    /// Where the items of a list come from.
    pub(super) fn places(&self, kind: usize) -> impl Iterator<Item = Place> {
        self.lists[kind].items.iter().map(|item| item.place)
    }
}
