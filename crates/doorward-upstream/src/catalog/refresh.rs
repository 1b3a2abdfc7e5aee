//! Fetches a server's lists that are not cached or have expired.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_mcp::error::Kind as FailureKind;
use doorward_mcp::{Era, Object};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::cells::{Cell, Fetching, Most};
use super::fetch;
use super::kinds::KINDS;
use super::lists::Catalog;
use super::view::View;
use crate::call_error::CallError;
use crate::{Asked, Contact, Server, declared};
use doorward_core::Failure;

/// Size limits for the views of one server and of all servers, as multiples of the limit for one
/// list. The latest view of each server is always retained.
const LISTS_OF_SERVER: usize = 8;
const LISTS_OF_ALL: usize = 16;
/// How long to wait for a list before the next one is requested in parallel.
const PATIENCE: Duration = Duration::from_secs(1);

impl Catalog {
    fn find(&self, server: &Server, capabilities: &Object) -> Option<Arc<Cell>> {
        self.cells.find(&key(server.known().as_deref(), capabilities))
    }

    /// The lists, fetched if missing or stale. Concurrent callers wait for one fetch. A list that
    /// cannot be fetched stays unchanged, or is empty; fails if all lists fail.
    pub async fn view(&self, server: &Server, asked: &Asked<'_>) -> Result<Arc<View>, CallError> {
        self.fetch(server, asked, &[0, 1, 2, 3]).await
    }

    /// The same for a caller that needs one list only: the others may be stale or empty.
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
        let fetch_one = |kind: usize| self.fetch_one(server, &contact, &cell, asked, kind);
        let mut waiting = kinds.iter().copied();
        let mut running: FuturesUnordered<_> = waiting.next().map(fetch_one).into_iter().collect();
        let mut failed = Vec::new();
        // One at a time, but a slow one does not delay the others.
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
            let (method, list) = (KINDS[kind].method, view.lists[kind].failed(error, took));
            // The gateway's description of the failure: the server's own message may contain
            // anything.
            let error = list.failure();
            tracing::warn!(
                server = &*server.name,
                list = method,
                error,
                "a list could not be fetched"
            );
            cell.stale[kind].store(false, Ordering::Release);
            (kind, list)
        });
        let lists: Vec<_> = lists.collect();
        Ok(if lists.is_empty() { view } else { cell.publish(&server.name, lists).0 })
    }

    /// Fetches one list if it is stale. A caller that stops waiting gets it with a later request.
    async fn fetch_one(
        &self,
        server: &Server,
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
        let announced = cell.announced[kind].load(Ordering::Acquire);
        // All pages come from one replica, and from one that may be called now: another may have
        // been compared with the pins in the meantime.
        let fetched = async {
            let asker = server.asker(asked).await?;
            fetch::list(&asker, contact, &KINDS[kind], asked).await
        };
        let list = fetched.await.map_err(|error| {
            // The list approved before is served.
            cell.has_compared(kind, announced);
            (kind, error, begun.elapsed())
        })?;
        fetching.is_done = true;
        let (list, is_known) = self.shared(kind, list);
        let (_, changed) = cell.publish(&server.name, vec![(kind, list)]);
        cell.has_compared(kind, announced);
        let list = server.shared.limits.list_bytes.0;
        let [of_server, of_all] = [LISTS_OF_SERVER, LISTS_OF_ALL].map(|n| list.saturating_mul(n));
        self.cells.make_room(cell, Most { of_server, of_all }, &server.shared.view_bytes);
        // Clients have received the earlier list.
        if changed && (old.knows(kind) || !is_known) {
            server.bump();
        }
        Ok(())
    }

    /// The available lists, for a caller that cannot wait for the others. Those count as failed for
    /// a while.
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

    /// A cached list, without fetching; `None` while an announced change was not compared with the
    /// pins yet.
    pub fn known(&self, server: &Server, capabilities: &Object, kind: usize) -> Option<Arc<View>> {
        let cell = self.find(server, capabilities)?;
        cell.is_compared(kind).then(|| cell.view.load_full())?
    }

    /// Marks a view as stale if it is older than a given time: for a caller that requests an item
    /// it does not contain.
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
}

fn key(contact: Option<&Contact>, capabilities: &Object) -> Bytes {
    match contact {
        Some(contact) if contact.era == Era::Handshake => declared(capabilities),
        _ => Bytes::new(),
    }
}
