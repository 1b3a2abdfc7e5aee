//! Calls that wait for their client: the exchange with the server stays open, a reference to it is encrypted in
//! `requestState`, and the request that returns that state with the responses continues it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::RpcError;
use doorward_mcp::error::Kind;
use doorward_mcp::interaction::InputRequired;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::exchange::Exchange;
use super::questions::Question;
use super::session::Session;
use super::task_store::{AsTask, CallOf, Errand};
use doorward_core::Failure;
use doorward_core::deadline::Deadline;
use doorward_core::share::{Bounds, Held, Shares};

/// A waiting call.
#[derive(Debug)]
pub struct Parked {
    pub exchange: Exchange,
    pub session: Arc<Session>,
    pub lease: Option<OwnedSemaphorePermit>,
    pub deadline: Deadline,
    pub questions: Vec<Question>,
    /// How a task is handled if the call turns into one.
    pub as_task: AsTask,
    /// The task whose result the exchange waits for.
    pub errand: Option<Errand>,
    /// The client session with which it ends.
    pub client_session: Option<Arc<str>>,
    /// The principal, server and tool of the call.
    pub call: CallOf,
    /// Its slot among all waiting calls.
    pub held: Option<Held>,
}

impl Parked {
    /// The requests for the client.
    pub fn input_required(&self, state: String) -> InputRequired {
        InputRequired {
            requests: self.questions.iter().map(|question| question.request.clone()).collect(),
            state: Some(state),
        }
    }

    /// The client did not return: the server is notified and the exchange cancelled.
    async fn abandon(mut self) {
        self.held = None;
        for question in &self.questions {
            let error = RpcError::new(-1, "The client did not answer");
            let answering = self.exchange.respond(&question.id, Err(error));
            let _ = tokio::time::timeout(Duration::from_secs(1), answering).await;
        }
    }
}

/// All waiting calls of a gateway, bounded in number and time.
#[derive(Debug)]
pub struct ParkingLot {
    places: Mutex<HashMap<u64, (Instant, Parked)>>,
    shares: Arc<Shares>,
    patience: Duration,
}

impl ParkingLot {
    pub fn new(bounds: Bounds, patience: Duration) -> Self {
        Self { places: Mutex::default(), shares: Shares::new(bounds), patience }
    }

    pub fn len(&self) -> usize {
        self.places.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Maximum time that a call waits.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Parks a principal's call. Returns the number of its slot. If the principal's share or the
    /// overall limit is reached, the longest-waiting call is removed: the principal's own, or of
    /// the principal with the most.
    pub async fn park(&self, mut parked: Parked, principal: &str) -> Result<u64, Failure> {
        let place = getrandom::u64()
            .map_err(|error| Failure::new(Kind::Overloaded, "No randomness").because(error))?;
        let held = match self.shares.take(principal, 1) {
            Ok(held) => held,
            Err(full) => {
                let whose = self.shares.gives_way(full, principal);
                if let Some(oldest) = whose.and_then(|whose| self.oldest(&whose)) {
                    oldest.abandon().await;
                }
                self.shares.take(principal, 1).map_err(|_| {
                    let why = "The limit of calls that wait for their clients is reached";
                    Failure::new(Kind::Overloaded, why)
                })?
            }
        };
        parked.held = Some(held);
        self.places.lock().insert(place, (Instant::now() + self.patience, parked));
        Ok(place)
    }

    /// Removes a principal's longest-waiting call.
    fn oldest(&self, whose: &str) -> Option<Parked> {
        let mut places = self.places.lock();
        let theirs = places.iter().filter(|(_, (_, parked))| {
            parked.held.as_ref().is_some_and(|held| held.sharer() == whose)
        });
        let oldest = theirs.min_by_key(|(_, (expires, _))| *expires).map(|(place, _)| *place)?;
        places.remove(&oldest).map(|(_, parked)| parked)
    }

    /// Removes a call; succeeds once.
    pub fn take(&self, place: u64) -> Option<Parked> {
        self.places.lock().remove(&place).map(|(_, parked)| parked)
    }

    /// Cancels calls that have timed out.
    pub async fn sweep(&self) {
        let now = Instant::now();
        self.abandon(|expires, _| expires <= now).await;
    }

    /// Cancels the calls of a client session that ended.
    pub async fn end_session(&self, session: &str) {
        self.abandon(|_, parked| parked.client_session.as_deref() == Some(session)).await;
    }

    /// Cancels the calls that an emergency stop covers.
    pub async fn end_calls(&self, are_stopped: impl Fn(&CallOf) -> bool) {
        self.abandon(|_, parked| are_stopped(&parked.call)).await;
    }

    /// Cancels all calls.
    pub async fn clear(&self) {
        self.abandon(|_, _| true).await;
    }

    async fn abandon(&self, which: impl Fn(Instant, &Parked) -> bool) {
        let given_up: Vec<Parked> = {
            let mut places = self.places.lock();
            let ids: Vec<u64> = places
                .iter()
                .filter(|(_, (expires, parked))| which(*expires, parked))
                .map(|(id, _)| *id)
                .collect();
            ids.iter().filter_map(|id| places.remove(id)).map(|(_, parked)| parked).collect()
        };
        for parked in given_up {
            parked.abandon().await;
        }
    }
}
