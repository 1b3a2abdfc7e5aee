//! A bulkhead: so many calls of one server at a time, so many that wait, and none that waits for ever. However
//! slow a server is, it holds no more than that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::settings::BulkheadSettings;

#[derive(Debug)]
pub struct Bulkhead {
    settings: BulkheadSettings,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    running: usize,
    queue: VecDeque<oneshot::Sender<Place>>,
    adapted: Adapted,
}

/// How many at a time a server seems to bear: one more when all goes well, a tenth less when it gets slower.
#[derive(Debug)]
struct Adapted {
    limit: f64,
    /// How long calls take when nothing is wrong.
    usual: Option<Duration>,
    lessened: Instant,
}

impl Adapted {
    fn learn(&mut self, most: usize, took: Duration, is_full: bool, failed: bool) {
        let usual = match self.usual {
            // Slowly upwards, for servers change; at once downwards.
            Some(usual) => usual.min(took).max(usual.mul_f64(0.9)).max(Duration::from_micros(100)),
            None => took,
        };
        let usual = if took > usual { usual.mul_f64(1.001) } else { usual };
        self.usual = Some(usual);
        if failed || took > usual * 3 {
            // Once for all that were under way together.
            if self.lessened.elapsed() > usual {
                self.limit = (self.limit * 0.9).max(1.0);
                self.lessened = Instant::now();
            }
        } else if is_full {
            self.limit = (self.limit + 1.0 / self.limit).min(most as f64);
        }
    }
}

/// A place among those that run; given on when dropped.
#[derive(Debug)]
pub struct Place {
    bulkhead: Arc<Bulkhead>,
    since: Instant,
    failed: bool,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// It waited as long as one may.
    Waited,
    /// Others came after it, and there was no more room.
    Shed,
}

impl Bulkhead {
    pub fn new(settings: BulkheadSettings) -> Arc<Self> {
        let adapted = Adapted {
            limit: settings.concurrency.min(16) as f64,
            usual: None,
            lessened: Instant::now(),
        };
        let inside = Inside { running: 0, queue: VecDeque::new(), adapted };
        Arc::new(Self { settings, inside: Mutex::new(inside) })
    }

    fn limit(&self, inside: &Inside) -> usize {
        let most = self.settings.concurrency;
        if self.settings.adaptive { (inside.adapted.limit as usize).clamp(1, most) } else { most }
    }

    fn place(self: &Arc<Self>) -> Place {
        Place { bulkhead: self.clone(), since: Instant::now(), failed: false }
    }

    /// A place, if there is one now.
    pub fn enter_now(self: &Arc<Self>) -> Option<Place> {
        let mut inside = self.inside.lock();
        (inside.running < self.limit(&inside)).then(|| {
            inside.running += 1;
            self.place()
        })
    }

    /// Waits for a place, for so long at most.
    pub async fn enter(self: &Arc<Self>, longest: Duration) -> Result<Place, Full> {
        let waiting = {
            let mut inside = self.inside.lock();
            if inside.running < self.limit(&inside) {
                inside.running += 1;
                return Ok(self.place());
            }
            // Those who have left do not stand in the way.
            if inside.queue.len() >= self.settings.queue {
                inside.queue.retain(|waiting| !waiting.is_closed());
            }
            if inside.queue.len() >= self.settings.queue && inside.queue.pop_front().is_none() {
                return Err(Full::Shed);
            }
            let (sender, waiting) = oneshot::channel();
            inside.queue.push_back(sender);
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
    /// The server has failed or not answered in time.
    pub fn failed(&mut self) {
        self.failed = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let bulkhead = self.bulkhead.clone();
        let mut inside = bulkhead.inside.lock();
        if bulkhead.settings.adaptive {
            let is_full = inside.running >= bulkhead.limit(&inside);
            let (took, failed) = (self.since.elapsed(), self.failed);
            inside.adapted.learn(bulkhead.settings.concurrency, took, is_full, failed);
        }
        inside.running -= 1;
        while inside.running < bulkhead.limit(&inside) {
            let Some(next) = inside.queue.pop_front() else { return };
            inside.running += 1;
            // Whoever has left has no use for it.
            if let Err(unused) = next.send(bulkhead.place()) {
                std::mem::forget(unused);
                inside.running -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Period;

    fn bulkhead(concurrency: usize, queue: usize) -> Arc<Bulkhead> {
        let wait = Period(Duration::from_secs(1));
        Bulkhead::new(BulkheadSettings { concurrency, queue, wait, adaptive: false })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_is_first_and_who_waits_longest_is_shed() {
        let bulkhead = bulkhead(1, 2);
        let first = bulkhead.enter(LONG).await.unwrap();
        let wait = |name: &'static str| {
            let bulkhead = bulkhead.clone();
            tokio::spawn(async move { (name, bulkhead.enter(LONG).await) })
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
    async fn places_are_never_lost_however_callers_leave() {
        let bulkhead = bulkhead(3, 50);
        let mut tasks = Vec::new();
        for number in 0..200_u64 {
            let bulkhead = bulkhead.clone();
            let task = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 7 % 50)).await;
                if let Ok(place) = bulkhead.enter(Duration::from_millis(number % 90)).await {
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

    #[test]
    fn a_server_that_gets_slower_has_fewer_at_a_time() {
        let mut adapted = Adapted { limit: 16.0, usual: None, lessened: Instant::now() };
        let usual = Duration::from_millis(1);
        for _ in 0..500 {
            adapted.learn(1_000, usual, true, false);
        }
        let many = adapted.limit;
        assert!(many > 30.0, "{many}");
        for _ in 0..20 {
            adapted.lessened = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
            adapted.learn(1_000, usual * 10, true, false);
        }
        assert!(adapted.limit < many / 4.0, "{}", adapted.limit);
        assert!(adapted.limit >= 1.0);
    }
}
