//! Introspection of opaque tokens. Anyone can invent such tokens, so each is introspected once, however many
//! callers present it; concurrency is limited, and networks take turns; and a rejected token stays rejected for a
//! while without another request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{Refused, Unavailable};
use doorward_config::{BulkheadSettings, Period};
use doorward_core::address::network;
use doorward_limits::bulkhead::Bulkhead;

/// Maximum number of concurrent requests, number of waiting tokens, and waiting time. When the queue is full, a
/// token of the network with the most waiting tokens is refused.
const AT_ONCE: usize = 16;
const WAITING: usize = 512;
const TURN: Duration = Duration::from_secs(5);
/// How long a rejected token is remembered, and the maximum number of them.
const REFUSED: Duration = Duration::from_secs(30);
const MOST_REFUSED: usize = 10_000;

type Hash = [u8; 32];
type Answer = Result<Arc<Map<String, Value>>, Unavailable>;

#[derive(Debug)]
pub struct Asked {
    places: Arc<Bulkhead>,
    flights: Mutex<HashMap<Hash, Flight>>,
    refused: Mutex<HashMap<Hash, Instant>>,
}

/// A request, and the number of its waiters.
#[derive(Debug, Default)]
struct Flight {
    answer: Arc<OnceCell<Answer>>,
    waiting: usize,
}

/// A waiter. The entry is removed when the response arrives, or when the last waiter leaves for any reason.
struct Waiting<'a> {
    asked: &'a Asked,
    token: Hash,
    answer: Arc<OnceCell<Answer>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut flights = self.asked.flights.lock();
        if let Some(flight) = flights.get_mut(&self.token)
            && Arc::ptr_eq(&flight.answer, &self.answer)
        {
            flight.waiting -= 1;
            if flight.waiting == 0 || flight.answer.initialized() {
                flights.remove(&self.token);
            }
        }
    }
}

impl Default for Asked {
    fn default() -> Self {
        let (concurrency, queue, wait) = (AT_ONCE, WAITING, Period(TURN));
        let settings = BulkheadSettings { concurrency, queue, wait, adaptive: false };
        Self {
            places: Bulkhead::new(settings),
            flights: Mutex::default(),
            refused: Mutex::default(),
        }
    }
}

impl Asked {
    /// The issuer's response for a token, identified by its hash. `asking` sends the request; `address` is that of
    /// the caller.
    pub async fn once(
        &self,
        token: Hash,
        address: IpAddr,
        asking: impl Future<Output = Result<Map<String, Value>, Unavailable>>,
    ) -> Result<Arc<Map<String, Value>>, Refused> {
        let known = self.refused.lock().get(&token).copied();
        if known.is_some_and(|until| until > Instant::now()) {
            return Err(Refused::Token("its issuer recently reported that it is not active"));
        }
        let waiting = self.board(token);
        let answer = waiting.answer.get_or_init(|| async {
            let network = network(address).to_string();
            let _place = self.places.enter(&network, TURN).await.map_err(|_| Unavailable)?;
            asking.await.map(Arc::new)
        });
        let answer = answer.await.clone()?;
        drop(waiting);
        if answer.get("active") != Some(&Value::Bool(true)) {
            self.remember(token);
        }
        Ok(answer)
    }

    fn board(&self, token: Hash) -> Waiting<'_> {
        let mut flights = self.flights.lock();
        let flight = flights.entry(token).or_default();
        flight.waiting += 1;
        Waiting { asked: self, token, answer: flight.answer.clone() }
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
    use crate::seal;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn active(active: bool) -> Map<String, Value> {
        Map::from_iter([("active".to_owned(), active.into())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_introspected_once_and_concurrency_is_limited() {
        let (asked, now, most, all) =
            (Asked::default(), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let ask = async || {
            all.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(active(true))
        };
        let same = (0..200).map(|_| asked.once([1; 32], address(1), ask()));
        assert!(join_all(same).await.iter().all(Result::is_ok));
        assert_eq!(all.load(Ordering::SeqCst), 1);
        let others = (0..200).map(|number| asked.once([number; 32], address(number / 50), ask()));
        assert!(join_all(others).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert!(asked.flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_callers_leave_nothing_behind() {
        let asked = Asked::default();
        for number in 0..1000_u64 {
            let token = seal::sha256(&number.to_le_bytes());
            let left = asked.once(token, address(1), std::future::pending());
            assert!(tokio::time::timeout(Duration::from_millis(1), left).await.is_err());
        }
        assert!(asked.flights.lock().is_empty());
        let good = asked.once([1; 32], address(1), async { Ok(active(true)) });
        assert!(good.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_does_not_delay_others() {
        const SECOND: Duration = Duration::from_secs(1);
        let asked = Asked::default();
        let ask = async |number: u16, from: u8| {
            let token = seal::sha256(&number.to_le_bytes());
            let slow = async {
                tokio::time::sleep(SECOND).await;
                Ok(active(true))
            };
            asked.once(token, address(from), slow).await.is_ok()
        };
        let flood = join_all((0..600).map(|number| ask(number, 1)));
        let good = async {
            tokio::time::sleep(SECOND / 2).await;
            let both = join_all([ask(1000, 2), ask(1001, 2)]);
            tokio::time::timeout(2 * SECOND, both).await.unwrap_or_default()
        };
        let (flood, good) = tokio::join!(flood, good);
        assert_eq!(good, [true, true], "another network has the next turn");
        assert!(flood.iter().any(|is_good| !is_good), "no caller waits forever");
        assert!(asked.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_rejected_token_is_not_introspected_again() {
        let (asked, all) = (Asked::default(), AtomicUsize::new(0));
        let ask = async || {
            all.fetch_add(1, Ordering::SeqCst);
            Ok(active(false))
        };
        assert!(asked.once([1; 32], address(1), ask()).await.is_ok());
        for _ in 0..10 {
            assert!(matches!(asked.once([1; 32], address(1), ask()).await, Err(Refused::Token(_))));
        }
        assert_eq!(all.load(Ordering::SeqCst), 1);
    }
}
