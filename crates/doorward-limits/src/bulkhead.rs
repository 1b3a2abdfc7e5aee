//! A bulkhead: so many calls of one server at a time, so many that wait, and none that waits for ever. However
//! slow a server is, it holds no more than that. Callers take turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::adaptive::{Adaptive, Done};
use doorward_config::BulkheadSettings;
use doorward_core::fair::FairQueue;
use doorward_core::share::sharer;

#[derive(Debug)]
pub struct Bulkhead {
    settings: BulkheadSettings,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    running: usize,
    queue: FairQueue<oneshot::Sender<Place>>,
    adaptive: Option<Adaptive>,
}

/// A place among those that run; given on when dropped.
#[derive(Debug)]
pub struct Place {
    bulkhead: Arc<Bulkhead>,
    /// There was little beside it when it was taken.
    is_alone: bool,
    /// Nobody has it.
    is_void: bool,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// It waited as long as one may.
    Waited,
    /// Others came after it, and there was no more room for so many of one caller's.
    Shed,
}

impl Bulkhead {
    pub fn new(settings: BulkheadSettings) -> Arc<Self> {
        let adaptive = settings.adaptive.then(|| Adaptive::new(settings.concurrency));
        let inside = Inside { running: 0, queue: FairQueue::default(), adaptive };
        Arc::new(Self { settings, inside: Mutex::new(inside) })
    }

    fn limit(&self, inside: &Inside) -> usize {
        inside.adaptive.as_ref().map_or(self.settings.concurrency, Adaptive::limit)
    }

    /// How many calls at a time there may be now, where that is found out.
    pub fn found_limit(&self) -> Option<usize> {
        self.inside.lock().adaptive.as_ref().map(Adaptive::limit)
    }

    fn take(self: &Arc<Self>, inside: &mut Inside) -> Place {
        inside.running += 1;
        let running = inside.running;
        let is_alone = inside.adaptive.as_ref().is_some_and(|found| found.is_alone(running));
        Place { bulkhead: self.clone(), is_alone, is_void: false }
    }

    /// A place, if there is one now.
    pub fn enter_now(self: &Arc<Self>) -> Option<Place> {
        let mut inside = self.inside.lock();
        (inside.running < self.limit(&inside)).then(|| self.take(&mut inside))
    }

    /// Waits for a place for a principal's call, for so long at most.
    pub async fn enter(
        self: &Arc<Self>,
        principal: &str,
        longest: Duration,
    ) -> Result<Place, Full> {
        let waiting = {
            let mut inside = self.inside.lock();
            if inside.running < self.limit(&inside) {
                return Ok(self.take(&mut inside));
            }
            let (sender, waiting) = oneshot::channel();
            let sharer = sharer(principal);
            inside.queue.push(sharer, sender);
            if inside.queue.len() > self.settings.queue {
                // Those who have left do not stand in the way.
                inside.queue.retain(|waiting| !waiting.is_closed());
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

    /// How many run, and how many wait.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let inside = self.inside.lock();
        (inside.running, inside.queue.iter().filter(|waiting| !waiting.is_closed()).count())
    }
}

impl Place {
    /// A call of a kind that has this place was answered, or the server has failed to.
    pub fn tell(&self, kind: &str, began: Instant, took: Duration, failed: bool) {
        if !self.bulkhead.settings.adaptive {
            return;
        }
        let mut inside = self.bulkhead.inside.lock();
        let is_full = inside.running >= self.bulkhead.limit(&inside);
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
        inside.running -= 1;
        while inside.running < self.bulkhead.limit(&inside) {
            let Some(next) = inside.queue.pop() else { return };
            // Whoever has left has no use for it.
            if let Err(mut unused) = next.send(self.bulkhead.take(&mut inside)) {
                unused.is_void = true;
                inside.running -= 1;
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
    async fn who_comes_first_is_first_and_who_waits_longest_is_shed() {
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
        // Nobody waits longer than one may.
        let fifth = wait("fifth");
        assert_eq!(fifth.await.unwrap().1.unwrap_err(), Full::Waited);
        drop(place);
        assert_eq!(bulkhead.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_floods_a_server_is_shed_and_takes_turns() {
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
        // One of Mallory's, which waits before, and then it is Alice's turn.
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
    async fn places_are_never_lost_however_callers_leave() {
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
    async fn nothing_is_kept_of_callers_who_have_left() {
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
    async fn the_number_that_is_found_out_is_kept_to() {
        let settings = BulkheadSettings { concurrency: 100, adaptive: true, ..Default::default() };
        let bulkhead = Bulkhead::new(settings);
        let first = bulkhead.found_limit().unwrap();
        let mut places: Vec<_> = std::iter::from_fn(|| bulkhead.enter_now()).collect();
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
        // Whoever waits has to wait for two to end.
        places.pop();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        places.pop();
        assert!(waiting.await.unwrap());
    }
}
