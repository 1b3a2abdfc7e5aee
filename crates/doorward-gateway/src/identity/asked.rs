//! What an issuer is asked about tokens that only it can read. Anybody can make such tokens up: each is asked
//! about once, however many show it; so many are asked about at a time; and one that was refused is
//! refused for a while without another question.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::{OnceCell, Semaphore};

use super::{Refused, Unavailable};

/// Questions at a time, and how many may wait for their turn, and for how long.
const AT_ONCE: usize = 16;
const WAITING: usize = 512;
const TURN: Duration = Duration::from_secs(5);
/// How long a token that was refused is not asked about again, and how many such are remembered.
const REFUSED: Duration = Duration::from_secs(30);
const MOST_REFUSED: usize = 10_000;

type Hash = [u8; 32];
type Answer = Result<Arc<Map<String, Value>>, Unavailable>;

#[derive(Debug)]
pub struct Asked {
    places: Semaphore,
    flights: Mutex<HashMap<Hash, Arc<OnceCell<Answer>>>>,
    refused: Mutex<HashMap<Hash, Instant>>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            places: Semaphore::new(AT_ONCE),
            flights: Mutex::default(),
            refused: Mutex::default(),
        }
    }
}

impl Asked {
    /// What the issuer says of a token, by its hash; `asking` is the question.
    pub async fn once(
        &self,
        token: Hash,
        asking: impl Future<Output = Result<Map<String, Value>, Unavailable>>,
    ) -> Result<Arc<Map<String, Value>>, Refused> {
        let known = self.refused.lock().get(&token).copied();
        if known.is_some_and(|until| until > Instant::now()) {
            return Err(Refused::Token("its issuer said a moment ago that it is not active"));
        }
        let flight = {
            let mut flights = self.flights.lock();
            if flights.len() >= WAITING && !flights.contains_key(&token) {
                return Err(Unavailable.into());
            }
            flights.entry(token).or_default().clone()
        };
        let answer = flight
            .get_or_init(|| async {
                let place = tokio::time::timeout(TURN, self.places.acquire()).await;
                let _place = place.map_err(|_| Unavailable)?.map_err(|_| Unavailable)?;
                asking.await.map(Arc::new)
            })
            .await
            .clone();
        let mut flights = self.flights.lock();
        if flights.get(&token).is_some_and(|current| Arc::ptr_eq(current, &flight)) {
            flights.remove(&token);
        }
        drop(flights);
        let answer = answer?;
        if answer.get("active") != Some(&Value::Bool(true)) {
            self.remember(token);
        }
        Ok(answer)
    }

    fn remember(&self, token: Hash) {
        let mut refused = self.refused.lock();
        if refused.len() >= MOST_REFUSED {
            let now = Instant::now();
            refused.retain(|_, until| *until > now);
            if refused.len() >= MOST_REFUSED {
                refused.clear();
            }
        }
        refused.insert(token, Instant::now() + REFUSED);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn active(active: bool) -> Map<String, Value> {
        Map::from_iter([("active".to_owned(), active.into())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_about_once_and_few_at_a_time() {
        let (asked, now, most, all) =
            (Asked::default(), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let ask = async || {
            all.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(active(true))
        };
        let same = (0..200).map(|_| asked.once([1; 32], ask()));
        assert!(join_all(same).await.iter().all(Result::is_ok));
        assert_eq!(all.load(Ordering::SeqCst), 1);
        let others = (0..200).map(|number| asked.once([number; 32], ask()));
        assert!(join_all(others).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert!(asked.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn what_was_refused_is_not_asked_about_again() {
        let (asked, all) = (Asked::default(), AtomicUsize::new(0));
        let ask = async || {
            all.fetch_add(1, Ordering::SeqCst);
            Ok(active(false))
        };
        assert!(asked.once([1; 32], ask()).await.is_ok());
        for _ in 0..10 {
            assert!(matches!(asked.once([1; 32], ask()).await, Err(Refused::Token(_))));
        }
        assert_eq!(all.load(Ordering::SeqCst), 1);
    }
}
