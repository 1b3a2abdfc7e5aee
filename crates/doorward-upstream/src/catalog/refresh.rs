//! Fetches the lists of a server that are not cached or not fresh any more.

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

/// What the views of one server may have together, and those of all, in times of what one list may have. One view of
/// each server is there in any case.
const LISTS_OF_SERVER: usize = 8;
const LISTS_OF_ALL: usize = 16;
/// How long a list is waited for before the next is asked for beside it.
const PATIENCE: Duration = Duration::from_secs(1);

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
        let fetch_one = |kind: usize| self.fetch_one(server, &contact, &cell, asked, kind);
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
            let (method, list) = (KINDS[kind].method, view.lists[kind].failed(error, took));
            // In its words: the server's own may hold anything.
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

    /// Fetches one list if it is not fresh. Who waits for no more than a while has it from then on.
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
        // All pages come from one of several replicas, one that may be asked now: others may have been compared with
        // their pins while this waited.
        let fetched = async {
            let asker = server.asker(asked).await?;
            fetch::list(&asker, contact, &KINDS[kind], asked).await
        };
        let list = fetched.await.map_err(|error| {
            // What was approved before is served.
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

    /// What is known of a list now, without fetching anything; nothing while a change is known of that was not compared
    /// with its pins.
    pub fn known(&self, server: &Server, capabilities: &Object, kind: usize) -> Option<Arc<View>> {
        let cell = self.find(server, capabilities)?;
        cell.is_compared(kind).then(|| cell.view.load_full())?
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
}

fn key(contact: Option<&Contact>, capabilities: &Object) -> Bytes {
    match contact {
        Some(contact) if contact.era == Era::Handshake => declared(capabilities),
        _ => Bytes::new(),
    }
}
