//! Single flight: one call for many identical requests at the same time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Key;
use super::entry::Entry;

/// Calls in flight, each with its waiters.
#[derive(Debug, Default)]
pub struct Flights {
    open: Arc<Mutex<HashMap<Key, watch::Receiver<Landing>>>>,
}

/// The state of a call in flight.
#[derive(Debug, Clone, Default)]
enum Landing {
    #[default]
    InFlight,
    /// The result may be shared with all waiters.
    Shared(Arc<Entry>),
    /// The result is for its caller only: each waiter sends its own request.
    Alone,
}

/// What a request has to do.
pub enum Boarding {
    /// Call the server; identical requests wait for it meanwhile.
    Leads(Lead),
    /// Wait for the call in flight.
    Waits(Waiting),
}

/// Calls the server for all waiters. If it is dropped without a result, one of the waiters takes over.
#[derive(Debug)]
pub struct Lead {
    key: Key,
    tell: watch::Sender<Landing>,
    open: Arc<Mutex<HashMap<Key, watch::Receiver<Landing>>>>,
}

pub struct Waiting(watch::Receiver<Landing>);

/// The result of waiting.
pub enum Waited {
    Shared(Arc<Entry>),
    /// The request has to be sent separately.
    Alone,
    /// Start again: the leading request was cancelled.
    Again,
}

impl Flights {
    pub fn board(&self, key: Key) -> Boarding {
        let mut open = self.open.lock();
        if let Some(flight) = open.get(&key) {
            return Boarding::Waits(Waiting(flight.clone()));
        }
        let (tell, landing) = watch::channel(Landing::InFlight);
        open.insert(key, landing);
        Boarding::Leads(Lead { key, tell, open: self.open.clone() })
    }

    /// Leads, unless there already is a call in flight.
    pub fn lead(&self, key: Key) -> Option<Lead> {
        match self.board(key) {
            Boarding::Leads(lead) => Some(lead),
            Boarding::Waits(_) => None,
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.open.lock().is_empty()
    }
}

impl Lead {
    /// Ends the flight with a result for all, or with `None` if each waiter has to send its own request.
    pub fn land(self, entry: Option<Arc<Entry>>) {
        // Removed first, so that no request joins after the waiters were notified.
        self.open.lock().remove(&self.key);
        self.tell.send_replace(entry.map_or(Landing::Alone, Landing::Shared));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if matches!(*self.tell.borrow(), Landing::InFlight) {
            self.open.lock().remove(&self.key);
        }
    }
}

impl Waiting {
    pub async fn end(mut self) -> Waited {
        let landed = self.0.wait_for(|landing| !matches!(landing, Landing::InFlight)).await;
        match landed.map(|landing| landing.clone()) {
            Ok(Landing::Shared(entry)) => Waited::Shared(entry),
            Ok(Landing::Alone | Landing::InFlight) => Waited::Alone,
            Err(_) => Waited::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lives;
    use doorward_mcp::Object;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn entry() -> Arc<Entry> {
        let lives = Lives {
            fresh: Duration::from_secs(1),
            revalidating: Duration::ZERO,
            failing: Duration::ZERO,
        };
        Arc::new(Entry::new(Object::new(), lives, 0))
    }

    /// How the leading call ends.
    #[derive(Debug, Clone, Copy)]
    enum Ends {
        Answered,
        Alone,
        Left,
    }

    proptest! {
        /// In whatever order requests arrive, end and are cancelled: one at a time calls the server, no request waits
        /// forever, and nothing is left in the map.
        #[test]
        fn one_request_leads_and_none_waits_forever(
            ends in prop::collection::vec(
                prop::sample::select(vec![Ends::Answered, Ends::Alone, Ends::Left]), 1..8),
            callers in 1_usize..20,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async move {
                let flights = Arc::new(Flights::default());
                let (asking, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
                let ends = Arc::new(Mutex::new(ends));
                let tasks: Vec<_> = (0..callers).map(|_| {
                    let (flights, asking) = (flights.clone(), asking.clone());
                    let (most, ends) = (most.clone(), ends.clone());
                    tokio::spawn(async move {
                        loop {
                            match flights.board(Key([0; 32])) {
                                Boarding::Leads(lead) => {
                                    let now = asking.fetch_add(1, Ordering::SeqCst) + 1;
                                    most.fetch_max(now, Ordering::SeqCst);
                                    tokio::task::yield_now().await;
                                    asking.fetch_sub(1, Ordering::SeqCst);
                                    let end = ends.lock().pop();
                                    match end.unwrap_or(Ends::Answered) {
                                        Ends::Answered => lead.land(Some(entry())),
                                        Ends::Alone => lead.land(None),
                                        Ends::Left => drop(lead),
                                    }
                                    return;
                                }
                                Boarding::Waits(waiting) => match waiting.end().await {
                                    Waited::Again => {}
                                    Waited::Shared(_) | Waited::Alone => return,
                                },
                            }
                        }
                    })
                }).collect();
                for task in tasks {
                    let ended = tokio::time::timeout(Duration::from_secs(5), task).await;
                    assert!(ended.is_ok(), "a request waits forever");
                }
                assert_eq!(most.load(Ordering::SeqCst), 1);
                assert!(flights.is_empty());
            });
        }
    }
}
