//! A bulkhead: limits the concurrent calls to one server, the number of waiting calls, and how long they wait, so
//! that a slow server occupies a bounded part of the gateway. Callers take turns, and no caller gets the last
//! eighth of the places, so that its long calls do not block others.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::adaptive::{Adaptive, Done};
use doorward_config::BulkheadSettings;
use doorward_core::fair::FairQueue;
use doorward_core::share::{is_exempt, sharer};

/// One of this many parts of the places is reserved for other callers.
const RESERVE: usize = 8;

#[derive(Debug)]
pub struct Bulkhead {
    settings: BulkheadSettings,
    hasher: RandomState,
    inside: Mutex<Inside>,
}

/// The hash of the caller, or `None` for a caller that may take all places.
type CallerHash = Option<u64>;

#[derive(Debug)]
struct Inside {
    running: Running,
    queue: FairQueue<Waiting>,
    adaptive: Option<Adaptive>,
}

#[derive(Debug, Default)]
struct Running {
    all: usize,
    by: HashMap<u64, usize>,
}

#[derive(Debug)]
struct Waiting {
    caller: CallerHash,
    sender: oneshot::Sender<Place>,
}

impl Running {
    fn has_room(&self, limit: usize, caller: CallerHash) -> bool {
        let has_own = |caller| {
            let own = self.by.get(&caller).copied().unwrap_or_default();
            own < limit - limit / RESERVE
        };
        self.all < limit && caller.is_none_or(has_own)
    }

    fn add(&mut self, caller: CallerHash) {
        self.all += 1;
        if let Some(caller) = caller {
            *self.by.entry(caller).or_default() += 1;
        }
    }

    fn remove(&mut self, caller: CallerHash) {
        self.all -= 1;
        let Some(caller) = caller else { return };
        match self.by.get_mut(&caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = self.by.remove(&caller),
        }
    }
}

/// Permission for one running call. Dropping it admits the next waiting call.
#[derive(Debug)]
pub struct Place {
    bulkhead: Arc<Bulkhead>,
    caller: CallerHash,
    /// Few other calls were running when it was taken.
    is_alone: bool,
    /// It was never used and is not counted.
    is_void: bool,
}

/// Why a call was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The maximum waiting time has passed.
    Waited,
    /// The queue was full, and this caller had the most waiting calls.
    Shed,
}

impl Bulkhead {
    pub fn new(settings: BulkheadSettings) -> Arc<Self> {
        let adaptive = settings.adaptive.then(|| Adaptive::new(settings.concurrency));
        let (running, queue) = (Running::default(), FairQueue::default());
        let inside = Mutex::new(Inside { running, queue, adaptive });
        Arc::new(Self { settings, hasher: RandomState::new(), inside })
    }

    fn limit(&self, inside: &Inside) -> usize {
        inside.adaptive.as_ref().map_or(self.settings.concurrency, Adaptive::limit)
    }

    /// The current adaptive concurrency limit; `None` if the limit is fixed.
    pub fn found_limit(&self) -> Option<usize> {
        self.inside.lock().adaptive.as_ref().map(Adaptive::limit)
    }

    fn take(self: &Arc<Self>, inside: &mut Inside, caller: CallerHash) -> Place {
        inside.running.add(caller);
        let running = inside.running.all;
        let is_alone = inside.adaptive.as_ref().is_some_and(|found| found.is_alone(running));
        Place { bulkhead: self.clone(), caller, is_alone, is_void: false }
    }

    /// Returns a place for a call of this principal if one is free.
    pub fn enter_now(self: &Arc<Self>, principal: &str) -> Option<Place> {
        let caller = self.caller(sharer(principal));
        let mut inside = self.inside.lock();
        inside.running.has_room(self.limit(&inside), caller).then(|| self.take(&mut inside, caller))
    }

    fn caller(&self, sharer: &str) -> CallerHash {
        (!is_exempt(sharer)).then(|| self.hasher.hash_one(sharer))
    }

    /// Waits for a place for a call of this principal, at most for `longest` and the configured time.
    pub async fn enter(
        self: &Arc<Self>,
        principal: &str,
        longest: Duration,
    ) -> Result<Place, Full> {
        let sharer = sharer(principal);
        let caller = self.caller(sharer);
        let waiting = {
            let mut inside = self.inside.lock();
            if inside.running.has_room(self.limit(&inside), caller) {
                return Ok(self.take(&mut inside, caller));
            }
            let (sender, waiting) = oneshot::channel();
            inside.queue.push(sharer, Waiting { caller, sender });
            if inside.queue.len() > self.settings.queue {
                // Cancelled calls do not count towards the queue limit.
                inside.queue.retain(|waiting| !waiting.sender.is_closed());
            }
            if inside.queue.len() > self.settings.queue {
                inside.queue.shed(sharer);
            }
            waiting
        };
        match tokio::time::timeout(self.settings.wait.0.min(longest), waiting).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Full::Shed),
            Err(_) => Err(Full::Waited),
        }
    }

    /// The number of running and of waiting calls.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let inside = self.inside.lock();
        (
            inside.running.all,
            inside.queue.iter().filter(|waiting| !waiting.sender.is_closed()).count(),
        )
    }
}

impl Place {
    /// Reports the latency and outcome of a call to the adaptive limit.
    pub fn tell(&self, kind: &str, began: Instant, took: Duration, failed: bool) {
        if !self.bulkhead.settings.adaptive {
            return;
        }
        let mut inside = self.bulkhead.inside.lock();
        let is_full = inside.running.all >= self.bulkhead.limit(&inside);
        if let Some(adaptive) = &mut inside.adaptive {
            let is_alone = self.is_alone;
            adaptive.learn(Done { kind, began, took, failed, is_alone, is_full });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_void {
            return;
        }
        let mut inside = self.bulkhead.inside.lock();
        inside.running.remove(self.caller);
        let limit = self.bulkhead.limit(&inside);
        loop {
            let Inside { running, queue, .. } = &mut *inside;
            let next = queue.pop_if(|waiting| running.has_room(limit, waiting.caller));
            let Some(Waiting { caller, sender }) = next else { return };
            // The waiting call was cancelled.
            if let Err(mut unused) = sender.send(self.bulkhead.take(&mut inside, caller)) {
                unused.is_void = true;
                inside.running.remove(caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_config::Period;

    fn bulkhead(concurrency: usize, queue: usize) -> Arc<Bulkhead> {
        let wait = Period(Duration::from_secs(1));
        Bulkhead::new(BulkheadSettings { concurrency, queue, wait, adaptive: false })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn calls_run_in_order_and_a_full_queue_sheds_the_oldest() {
        let bulkhead = bulkhead(1, 2);
        let first = bulkhead.enter("a", LONG).await.unwrap();
        let wait = |name: &'static str| {
            let bulkhead = bulkhead.clone();
            tokio::spawn(async move { (name, bulkhead.enter("a", LONG).await) })
        };
        let (second, third) = (wait("second"), wait("third"));
        tokio::task::yield_now().await;
        let fourth = wait("fourth");
        tokio::task::yield_now().await;
        assert_eq!(second.await.unwrap().1.unwrap_err(), Full::Shed);
        drop(first);
        let (_, place) = third.await.unwrap();
        assert_eq!(bulkhead.counts(), (1, 1));
        drop(place);
        let (_, place) = fourth.await.unwrap();
        // A call waits no longer than the configured time.
        let fifth = wait("fifth");
        assert_eq!(fifth.await.unwrap().1.unwrap_err(), Full::Waited);
        drop(place);
        assert_eq!(bulkhead.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_floods_a_server_does_not_delay_others() {
        let bulkhead = bulkhead(1, 4);
        let first = bulkhead.enter("mallory", LONG).await.unwrap();
        let wait = |who: &'static str| {
            let bulkhead = bulkhead.clone();
            tokio::spawn(async move { bulkhead.enter(who, LONG).await })
        };
        let before: Vec<_> = (0..4).map(|_| wait("mallory")).collect();
        tokio::task::yield_now().await;
        let alice = wait("user \"alice\" by \"one\"");
        tokio::task::yield_now().await;
        let after: Vec<_> = (0..8).map(|_| wait("mallory")).collect();
        tokio::task::yield_now().await;
        let also = wait("user \"alice\" by \"two\"");
        tokio::task::yield_now().await;
        assert_eq!(bulkhead.counts(), (1, 4));
        assert!(!alice.is_finished() && !also.is_finished());
        // One call of Mallory's that waited earlier runs first, then Alice's.
        drop(first);
        tokio::task::yield_now().await;
        let shed = before.into_iter().chain(after);
        for one in shed {
            if one.is_finished() {
                drop(one.await);
            }
        }
        drop(alice.await.unwrap().unwrap());
        assert!(also.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_caller_gets_the_last_eighth_of_the_places() {
        let bulkhead = bulkhead(16, 50);
        let take = |who: &'static str| std::iter::from_fn(|| bulkhead.enter_now(who)).collect();
        let mut hers: Vec<Place> = take("user \"mallory\" by \"one\"");
        assert_eq!(hers.len(), 14);
        assert!(bulkhead.enter_now("user \"mallory\" by \"two\"").is_none());
        let waiting = tokio::spawn({
            let bulkhead = bulkhead.clone();
            async move { bulkhead.enter("user \"mallory\"", LONG).await }
        });
        tokio::task::yield_now().await;
        let alices: Vec<Place> = take("user \"alice\"");
        assert_eq!(alices.len(), 2);
        // A place released by another caller is not available to her; one that she releases is.
        drop(alices);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        hers.pop();
        assert!(waiting.await.unwrap().is_ok());
        // On a gateway without authentication, the only caller may take all places.
        drop(hers);
        let all: Vec<Place> = take("local");
        assert_eq!(all.len(), 16);
        drop(all);
        assert_eq!(bulkhead.counts(), (0, 0));
        assert!(bulkhead.inside.lock().running.by.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_is_lost_when_calls_are_cancelled() {
        let bulkhead = bulkhead(3, 50);
        let mut tasks = Vec::new();
        for number in 0..200_u64 {
            let bulkhead = bulkhead.clone();
            let task = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 7 % 50)).await;
                if let Ok(place) = bulkhead.enter("a", Duration::from_millis(number % 90)).await {
                    assert!(bulkhead.counts().0 <= 3);
                    tokio::time::sleep(Duration::from_millis(number % 13)).await;
                    drop(place);
                }
            });
            if number % 5 == 0 {
                let handle = task.abort_handle();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(number % 60)).await;
                    handle.abort();
                });
            }
            tasks.push(task);
        }
        for task in tasks {
            let _ = task.await;
        }
        assert_eq!(bulkhead.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_calls_leave_nothing_behind() {
        let bulkhead = bulkhead(1, 50);
        for _ in 0..100 {
            let place = bulkhead.enter("a", LONG).await.unwrap();
            let left = bulkhead.enter("a", Duration::from_millis(1));
            assert_eq!(left.await.unwrap_err(), Full::Waited);
            drop(place);
        }
        assert_eq!(Arc::strong_count(&bulkhead), 1);
    }

    #[tokio::test]
    async fn the_adaptive_limit_is_enforced() {
        let settings = BulkheadSettings { concurrency: 100, adaptive: true, ..Default::default() };
        let bulkhead = Bulkhead::new(settings);
        let first = bulkhead.found_limit().unwrap();
        let mut places: Vec<_> = std::iter::from_fn(|| bulkhead.enter_now("local")).collect();
        assert_eq!(places.len(), first);
        let waiting = tokio::spawn({
            let bulkhead = bulkhead.clone();
            async move { bulkhead.enter("a", LONG).await.is_ok() }
        });
        tokio::task::yield_now().await;
        let began = Instant::now();
        places[0].tell("a", began, Duration::from_millis(1), true);
        let fewer = bulkhead.found_limit().unwrap();
        assert_eq!(fewer, first - 1);
        // The limit is one lower, so two calls have to end first.
        places.pop();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        places.pop();
        assert!(waiting.await.unwrap());
    }
}
