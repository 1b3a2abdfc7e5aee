//! The lists as clients see them: of all servers in one deterministic order under qualified names,
//! or of one server as it is; written once and served from memory until something changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use doorward_mcp::names::Qualifier;
use doorward_mcp::translate::{self, CacheHints};
use doorward_mcp::{Era, Object, Revision, RpcError, Value, method, tasks};
use parking_lot::Mutex;

use super::{KINDS, View};
use crate::call::Portal;
use crate::upstream::{Server, declared};

/// Snapshots that are kept: by portal, declared capabilities and era of the client.
const MAX_SNAPSHOTS: usize = 128;

/// The four lists of a portal.
#[derive(Debug)]
pub struct Snapshot {
    generation: u64,
    fresh_until: Instant,
    lists: [Listing; 4],
}

#[derive(Debug, Default)]
struct Listing {
    /// Name and definition of each item, as it is told.
    items: Vec<(Box<str>, Bytes)>,
    hints: CacheHints,
    /// The first page, written.
    first: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    portal: Portal,
    capabilities: Bytes,
    modern: bool,
}

#[derive(Debug, Default)]
pub struct Snapshots {
    kept: Mutex<HashMap<Key, Arc<Snapshot>>>,
    /// Counts changes of any server's lists.
    pub generation: Arc<AtomicU64>,
}

/// Who looks at the lists.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    pub portal: &'a Portal,
    pub capabilities: &'a Object,
    pub revision: Revision,
}

impl Viewer<'_> {
    fn key(&self) -> Key {
        Key {
            portal: self.portal.clone(),
            capabilities: declared(self.capabilities),
            modern: self.revision.is_modern(),
        }
    }
}

impl Snapshots {
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Servers came or went.
    pub fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// A snapshot that still holds.
    pub fn fresh(&self, viewer: &Viewer<'_>) -> Option<Arc<Snapshot>> {
        let kept = self.kept.lock();
        let snapshot = kept.get(&viewer.key())?;
        (snapshot.generation == self.generation() && Instant::now() < snapshot.fresh_until)
            .then(|| snapshot.clone())
    }

    /// Builds a snapshot of views that were just fetched, and keeps it. `generation` is the count
    /// from before they were fetched: a change meanwhile makes it stale at once.
    pub fn build(
        &self,
        viewer: &Viewer<'_>,
        views: &[(Arc<Server>, Arc<View>)],
        generation: u64,
        page: usize,
    ) -> Arc<Snapshot> {
        let fresh_until = views.iter().map(|(_, view)| view.fresh_until()).min();
        let lists = [0, 1, 2, 3].map(|kind| listing(viewer, views, kind, page));
        let snapshot = Arc::new(Snapshot {
            generation,
            fresh_until: fresh_until
                .unwrap_or_else(|| Instant::now() + super::Duration::from_secs(1)),
            lists,
        });
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_SNAPSHOTS {
            let now = Instant::now();
            let current = self.generation();
            kept.retain(|_, old| old.generation == current && now < old.fresh_until);
            if kept.len() >= MAX_SNAPSHOTS {
                kept.clear();
            }
        }
        kept.insert(viewer.key(), snapshot.clone());
        snapshot
    }
}

fn listing(
    viewer: &Viewer<'_>,
    views: &[(Arc<Server>, Arc<View>)],
    kind: usize,
    page: usize,
) -> Listing {
    let list = KINDS[kind].method;
    let mut listing = Listing::default();
    let mut hints: Option<CacheHints> = None;
    for (server, view) in views {
        let source = &view.lists[kind];
        let of_handshake = server.known().is_some_and(|contact| contact.era == Era::Handshake);
        hints = Some(match hints {
            None => source.hints,
            Some(all) => CacheHints {
                ttl_ms: all.ttl_ms.min(source.hints.ttl_ms),
                public: all.public && source.hints.public,
            },
        });
        for item in source.items.iter() {
            let mut definition = item.definition.clone();
            if *viewer.portal == Portal::Merged {
                Qualifier { server: &server.name }.item(list, &mut definition);
            }
            if list == method::TOOLS_LIST {
                if of_handshake {
                    tasks::Support::hide(&mut definition);
                }
                if !viewer.revision.is_modern() {
                    translate::tool_to_handshake(&mut definition, viewer.revision);
                }
            }
            let key = definition.string(KINDS[kind].key).map(Box::from).unwrap_or_default();
            listing.items.push((key, definition.to_bytes()));
        }
    }
    // What several servers say together is nobody's to share.
    let single = matches!(viewer.portal, Portal::Server(_));
    let hints = hints.unwrap_or(CacheHints::NONE);
    listing.hints = CacheHints { public: hints.public && single, ..hints };
    listing.first = write(&listing.items[..listing.items.len().min(page)]);
    listing
}

fn write(items: &[(Box<str>, Bytes)]) -> Bytes {
    let size: usize = items.iter().map(|(_, item)| item.len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + 2);
    out.put_u8(b'[');
    for (at, (_, item)) in items.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        out.put_slice(item);
    }
    out.put_u8(b']');
    out.freeze()
}

impl Snapshot {
    /// One page of a list, as the result of the list's request. A cursor names the last item of the
    /// page before, so that a page follows even when the list has changed in between.
    pub fn page(
        &self,
        kind: usize,
        cursor: Option<&Value>,
        size: usize,
    ) -> Result<Object, RpcError> {
        let listing = &self.lists[kind];
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
                    .position(|(key, _)| key.as_bytes() == last)
                    .ok_or_else(invalid)?
                    + 1;
                let end = listing.items.len().min(start + size);
                (write(&listing.items[start..end]), end)
            }
        };
        let mut result = Object::new();
        result.set(KINDS[kind].member, Value::Raw(items));
        if end < listing.items.len() && end > 0 {
            let cursor = URL_SAFE_NO_PAD.encode(listing.items[end - 1].0.as_bytes());
            result.set("nextCursor", cursor.as_str());
        }
        result.set("resultType", "complete");
        listing.hints.put(&mut result);
        Ok(result)
    }

    /// The names of a list's items.
    pub fn names(&self, kind: usize) -> impl Iterator<Item = &str> {
        self.lists[kind].items.iter().map(|(name, _)| &**name)
    }
}
