//! Views of one server for callers with different capabilities. At the limits in number and bytes, of the server and of
//! all servers together, a view of the caller with the most is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;

use super::view::{List, View};
use doorward_core::share::sharer;

/// Cached views per server: one per set of declared capabilities.
const MAX_VIEWS: usize = 16;

/// Bytes of the views of all servers.
#[derive(Debug, Default)]
pub struct ViewBytes(AtomicUsize);

/// Maximum bytes of views.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    pub of_server: usize,
    pub of_all: usize,
}

#[derive(Debug, Default)]
pub struct Cells(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    cells: HashMap<Bytes, Arc<Cell>>,
    /// The part of the total that these views account for.
    counted: usize,
    all: Option<Arc<ViewBytes>>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(all) = &self.all {
            all.0.fetch_sub(self.counted, Ordering::AcqRel);
        }
    }
}

impl Cells {
    pub fn find(&self, key: &Bytes) -> Option<Arc<Cell>> {
        let cell = self.0.lock().cells.get(key).cloned()?;
        *cell.used.lock() = Instant::now();
        Some(cell)
    }

    /// The cell of a key, created for a principal if there is none.
    pub fn find_or_make(&self, key: Bytes, principal: &str) -> Arc<Cell> {
        if let Some(cell) = self.find(&key) {
            return cell;
        }
        let cells = &mut self.0.lock().cells;
        if !cells.contains_key(&key) && cells.len() >= MAX_VIEWS {
            give_way(cells, None, |_| 1);
        }
        cells.entry(key).or_insert_with(|| Arc::new(Cell::of(principal))).clone()
    }

    /// Drops views until the rest is within both limits, of this server and of all servers, or only
    /// the newest is left.
    pub fn make_room(&self, newest: &Arc<Cell>, most: Most, all: &Arc<ViewBytes>) {
        let mut inside = self.0.lock();
        let Inside { cells, counted, all: known } = &mut *inside;
        let known = known.get_or_insert_with(|| all.clone());
        loop {
            let bytes = bytes_of(cells);
            let before = std::mem::replace(counted, bytes);
            let together = match bytes.checked_sub(before) {
                Some(more) => known.0.fetch_add(more, Ordering::AcqRel) + more,
                None => known.0.fetch_sub(before - bytes, Ordering::AcqRel) - (before - bytes),
            };
            let fits = bytes <= most.of_server && together <= most.of_all;
            if fits || !give_way(cells, Some(newest), Cell::bytes) {
                return;
            }
        }
    }

    pub fn clear(&self) {
        self.0.lock().cells.clear();
    }

    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.0.lock().cells.values().cloned().collect()
    }

    pub fn views(&self) -> Vec<Arc<View>> {
        self.0.lock().cells.values().filter_map(|cell| cell.view.load_full()).collect()
    }
}

/// Lists that several views share are in memory once.
fn bytes_of(cells: &HashMap<Bytes, Arc<Cell>>) -> usize {
    let views: Vec<_> = cells.values().filter_map(|cell| cell.view.load_full()).collect();
    let lists = views.iter().flat_map(|view| &view.lists);
    let unique: HashMap<_, _> = lists.map(|list| (Arc::as_ptr(&list.items), list.bytes)).collect();
    unique.values().sum()
}

/// Drops the least recently used view of the principal with the most bytes. Returns whether there
/// was one.
fn give_way(
    cells: &mut HashMap<Bytes, Arc<Cell>>,
    stays: Option<&Arc<Cell>>,
    weight: impl Fn(&Cell) -> usize,
) -> bool {
    let mut taken: HashMap<&str, usize> = HashMap::new();
    for cell in cells.values() {
        *taken.entry(&cell.sharer).or_default() += weight(cell);
    }
    let may_go = cells
        .iter()
        .filter(|(_, cell)| {
            weight(cell) > 0 && !stays.is_some_and(|stays| Arc::ptr_eq(stays, cell))
        })
        .max_by_key(|(_, cell)| (taken[&*cell.sharer], std::cmp::Reverse(*cell.used.lock())));
    let Some(key) = may_go.map(|(key, _)| key.clone()) else { return false };
    cells.remove(&key).is_some()
}

/// One view, and how it is fetched.
#[derive(Debug)]
pub struct Cell {
    /// The principal for whom it was created.
    sharer: Box<str>,
    used: Mutex<Instant>,
    pub fetching: [tokio::sync::Mutex<()>; 4],
    pub view: ArcSwapOption<View>,
    /// Held while the view is replaced by one with a different list.
    publishing: Mutex<()>,
    pub stale: [AtomicBool; 4],
    /// By list: the number of announced changes that calls wait for, and how many of them were
    /// checked.
    pub announced: [AtomicUsize; 4],
    pub compared: [AtomicUsize; 4],
}

impl Cell {
    fn of(principal: &str) -> Self {
        Self {
            sharer: sharer(principal).into(),
            used: Mutex::new(Instant::now()),
            fetching: Default::default(),
            view: ArcSwapOption::empty(),
            publishing: Mutex::default(),
            stale: Default::default(),
            announced: Default::default(),
            compared: Default::default(),
        }
    }

    fn bytes(&self) -> usize {
        self.view.load().as_ref().map_or(0, |view| view.lists.iter().map(|list| list.bytes).sum())
    }

    pub fn is_stale(&self, view: &View, kind: usize) -> bool {
        self.stale[kind].load(Ordering::Acquire)
            || !self.is_compared(kind)
            || Instant::now() >= view.lists[kind].fresh_until
    }

    /// Whether all announced changes were checked.
    pub fn is_compared(&self, kind: usize) -> bool {
        self.announced[kind].load(Ordering::Acquire) == self.compared[kind].load(Ordering::Acquire)
    }

    /// A fetch that began at this number of announcements has ended.
    pub fn has_compared(&self, kind: usize, announced: usize) {
        self.compared[kind].fetch_max(announced, Ordering::AcqRel);
    }

    pub fn current(&self, kinds: &[usize]) -> Option<Arc<View>> {
        let view = self.view.load_full()?;
        kinds.iter().all(|kind| !self.is_stale(&view, *kind)).then_some(view)
    }

    /// Publishes fetched lists. Returns the view, and whether its content has changed.
    pub fn publish(&self, server: &str, lists: Vec<(usize, List)>) -> (Arc<View>, bool) {
        let _publishing = self.publishing.lock();
        let old = self.view.load_full().unwrap_or_else(View::unknown);
        let mut all = old.lists.clone();
        let mut changed = false;
        for (kind, list) in lists {
            changed |= !Arc::ptr_eq(&all[kind].items, &list.items);
            all[kind] = list;
        }
        let view = Arc::new(old.with(server, all));
        self.view.store(Some(view.clone()));
        (view, changed)
    }
}

/// A list being fetched. If the fetch fails or is cancelled, the list is marked stale again.
pub struct Fetching<'a> {
    stale: &'a AtomicBool,
    pub is_done: bool,
}

impl<'a> Fetching<'a> {
    /// Changes from now on make the fetched list stale.
    pub fn begin(stale: &'a AtomicBool) -> Self {
        stale.store(false, Ordering::Release);
        Self { stale, is_done: false }
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.stale.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Bytes {
        number.to_string().into()
    }

    #[test]
    fn who_makes_up_capabilities_turns_out_their_own_views() {
        let cells = Cells::default();
        let alice = cells.find_or_make(key(0), "User::\"alice\"");
        for number in 1..100 {
            cells.find_or_make(key(number), "User::\"mallory\"");
        }
        assert!(Arc::ptr_eq(&alice, &cells.find(&key(0)).unwrap()));
        assert_eq!(cells.all().len(), MAX_VIEWS);
        assert!(cells.find(&key(1)).is_none() && cells.find(&key(99)).is_some());
    }

    fn fill(cells: &Cells, number: usize, principal: &str, all: &Arc<ViewBytes>) {
        let cell = cells.find_or_make(key(number), principal);
        let unknown = View::unknown().lists[0].clone();
        cell.publish("s", vec![(0, List { items: Arc::default(), bytes: 40, ..unknown })]);
        cells.make_room(&cell, Most { of_server: 100, of_all: 200 }, all);
    }

    #[test]
    fn views_have_so_many_bytes_together() {
        let (cells, all) = (Cells::default(), Arc::default());
        fill(&cells, 0, "User::\"alice\"", &all);
        for number in 1..9 {
            fill(&cells, number, "User::\"mallory\"", &all);
        }
        assert!(cells.find(&key(0)).is_some() && cells.find(&key(8)).is_some());
        assert_eq!(cells.all().len(), 2);
        assert_eq!(all.0.load(Ordering::Relaxed), 80);
    }

    #[test]
    fn views_of_all_servers_have_so_many_bytes_together() {
        let all = Arc::default();
        let servers: Vec<Cells> = std::iter::repeat_with(Cells::default).take(10).collect();
        for number in 0..2 {
            for cells in &servers {
                fill(cells, number, "User::\"mallory\"", &all);
            }
        }
        // Each server retains the views of the latest caller.
        assert!(servers.iter().all(|cells| cells.find(&key(1)).is_some()));
        assert!(servers.iter().all(|cells| cells.all().len() == 1));
        drop(servers);
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
