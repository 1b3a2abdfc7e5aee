//! Bounds of conversations: calls, cost, equal calls in a row, and agents that act for each other.
//!
//! A call is counted when it comes, whatever becomes of it; what it has cost is added when it is answered. The model is
//! warned in results before it is refused.

mod counts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use doorward_config::{ConversationSettings, CountBy, Settings};
use doorward_store::SharedMarks;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

pub use self::counts::{Bound, Counts, Exceeded};
use crate::flow::{Carrier, Key};
use crate::shared::{self, Away};

/// What the shared store holds, and what comes of its absence, for the log.
const WHAT: &str = "conversations";
const SO: &str = "; gateways count separately";

/// Millionths of a credit in the unit of counts, which are thousandths.
const THOUSANDTH: i64 = 1_000;

/// What a conversation has done, as it is stored.
#[derive(Debug, Default)]
struct Tally {
    calls: i64,
    repeated: i64,
    /// In millionths of a credit.
    cost: i64,
    last: Option<Key>,
}

/// The conversation that a call is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter(Key);

/// The counts of conversations, at this gateway or at all that share a store.
#[derive(Debug)]
pub struct Conversations {
    settings: ArcSwap<ConversationSettings>,
    /// Apart from the settings, which cost more to look at: every call asks.
    is_on: AtomicBool,
    tallies: Cache<Key, Arc<Mutex<Tally>>>,
    shared: Option<SharedMarks>,
    away: Away,
}

impl Conversations {
    /// Must be called within the runtime that connections shall live on.
    pub fn new(settings: &Settings) -> Self {
        let own = &settings.conversations;
        let most = settings.limits.conversations as u64;
        let tallies = Cache::builder()
            .max_capacity(most)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(own.lasts.0)
            .build();
        let shared = own.shared.as_ref().filter(|_| own.is_on());
        let shared = shared.and_then(|url| shared::open(url, own.namespace.as_deref(), WHAT));
        Self {
            settings: ArcSwap::from_pointee(own.clone()),
            is_on: AtomicBool::new(own.is_on()),
            tallies,
            shared,
            away: Away::new(WHAT, SO),
        }
    }

    /// Takes other bounds. The shared store and the time that counts are kept stay those of the start.
    pub fn take(&self, settings: &Settings) {
        let own = settings.conversations.clone();
        let is_on = own.is_on();
        self.settings.store(Arc::new(own));
        self.is_on.store(is_on, Ordering::Release);
    }

    /// Whether anything is bounded.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Whether it matters which call is repeated, so that its digest is needed.
    pub fn compares_calls(&self) -> bool {
        self.settings.load().repeated.is_some()
    }

    /// Whether calls are counted by trace.
    pub fn is_by_trace(&self) -> bool {
        self.settings.load().by == CountBy::Trace
    }

    /// What a call is counted in: its conversation, or its trace.
    pub fn counter(&self, carrier: &Carrier, trace: Option<&[u8; 16]>) -> Counter {
        match (self.settings.load().by, trace) {
            (CountBy::Trace, Some(trace)) => {
                let trace = doorward_store::hex(trace);
                Counter(Key::of(&["trace", &carrier.principal, &trace]))
            }
            _ => Counter(carrier.key),
        }
    }

    /// Counts a call where the shared store need not be asked. `call` is its digest; `None`: it goes on with an earlier one,
    /// and does not count.
    pub fn count_now(&self, counter: &Counter, call: Option<Key>, depth: usize) -> Option<Counts> {
        self.shared.is_none().then(|| self.count_here(counter, call, depth))
    }

    /// Counts a call.
    pub async fn count(&self, counter: &Counter, call: Option<Key>, depth: usize) -> Counts {
        let Some(shared) = &self.shared else { return self.count_here(counter, call, depth) };
        let (name, digest) = (counter.0.name(), call.map(|call| call.name()));
        let lasts = self.settings.load().lasts.0;
        let counted = shared.count(&name, lasts, digest.as_deref(), 0).await;
        self.away.note(counted.as_ref().err());
        match counted {
            Ok(stored) => Counts {
                calls: stored.calls,
                repeated: stored.repeated,
                cost: stored.cost / THOUSANDTH,
                depth: count(depth),
            },
            Err(_) => self.count_here(counter, call, depth),
        }
    }

    fn count_here(&self, counter: &Counter, call: Option<Key>, depth: usize) -> Counts {
        let tally = self.tallies.get_with(counter.0, Arc::default);
        let mut tally = tally.lock();
        if let Some(call) = call {
            tally.calls = tally.calls.saturating_add(1);
            tally.repeated = match tally.last == Some(call) {
                true => tally.repeated.saturating_add(1),
                false => 1,
            };
            tally.last = Some(call);
        }
        Counts {
            calls: tally.calls,
            repeated: tally.repeated,
            cost: tally.cost / THOUSANDTH,
            depth: count(depth),
        }
    }

    /// Adds what a call has cost, in millionths of a credit. Returns what is to be waited for, if anything.
    pub fn add_cost(
        self: &Arc<Self>,
        counter: &Counter,
        cost: i64,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.shared.is_none() {
            self.add_cost_here(counter, cost);
            return None;
        }
        let (this, counter) = (self.clone(), *counter);
        Some(async move {
            let Some(shared) = &this.shared else { return };
            let lasts = this.settings.load().lasts.0;
            let added = shared.count(&counter.0.name(), lasts, None, cost).await;
            this.away.note(added.as_ref().err());
            if added.is_err() {
                this.add_cost_here(&counter, cost);
            }
        })
    }

    fn add_cost_here(&self, counter: &Counter, cost: i64) {
        let tally = self.tallies.get_with(counter.0, Arc::default);
        let mut tally = tally.lock();
        tally.cost = tally.cost.saturating_add(cost);
    }

    /// Why a call with these counts is refused, if it is.
    pub fn refuses(&self, counts: &Counts) -> Option<Exceeded> {
        counts::refuses(&self.settings.load(), counts)
    }

    /// What a model is told with the result of a call that nears a bound.
    pub fn warning(&self, counts: &Counts) -> Option<String> {
        counts::warning(&self.settings.load(), counts)
    }
}

/// The digest of a call: what it is equal to.
pub fn digest_of(server: &str, method: &str, name: &str, arguments: &[u8]) -> Key {
    Key::of_bytes(&[server.as_bytes(), method.as_bytes(), name.as_bytes(), arguments])
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
