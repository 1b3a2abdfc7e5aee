//! Validations that may take long run on separate threads, a few at a time: no server's schema, and no value, delays
//! other calls. Callers take turns.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use doorward_mcp::error::Kind;

use doorward_config::{BulkheadSettings, Period};
use doorward_core::Failure;
use doorward_limits::bulkhead::Bulkhead;

/// Maximum time that a caller waits, separately for its turn and for the result.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of waiting validations.
const WAITING: usize = 256;

/// Concurrent validations over all servers. A single server may use fewer, so that there is always room for
/// others.
static PLACES: LazyLock<Arc<Bulkhead>> = LazyLock::new(|| places(cores().max(2)));

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn places(concurrency: usize) -> Arc<Bulkhead> {
    let (queue, wait) = (WAITING, Period(PATIENCE));
    Bulkhead::new(BulkheadSettings { concurrency, queue, wait, adaptive: false })
}

/// The concurrent validations of one server.
#[derive(Debug)]
pub struct Checks(Arc<Bulkhead>);

/// The validation was not started in time, so nothing is known about the value.
#[derive(Debug, Clone, Copy)]
pub struct NoTurn;

impl NoTurn {
    /// The failure of a call that was not sent for this reason.
    pub fn failure(self) -> Failure {
        let why = "Too many schema validations at once; this one was not started in time";
        Failure::new(Kind::Overloaded, why)
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self(places((cores() / 2).max(1)))
    }
}

impl Checks {
    /// Runs a validation on another thread. Returns `None` if it does not end in time; it occupies its place until it
    /// does.
    pub async fn run<T: Send + 'static>(
        &self,
        principal: &str,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, NoTurn> {
        let turn = async {
            let own = self.0.enter(principal, PATIENCE).await.ok()?;
            let place = PLACES.enter(principal, PATIENCE).await.ok()?;
            Some((own, place))
        };
        let places = tokio::time::timeout(PATIENCE, turn).await.ok().flatten().ok_or(NoTurn)?;
        let checking = tokio::task::spawn_blocking(move || {
            let _places = places;
            check()
        });
        Ok(tokio::time::timeout(PATIENCE, checking).await.ok().and_then(Result::ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_caller_that_floods_a_server_does_not_delay_others() {
        let checks = Arc::new(Checks(places(1)));
        let (end, ends) = mpsc::channel::<()>();
        let (tell, order) = mpsc::channel();
        let run = |who: &'static str, check: Box<dyn FnOnce() + Send>| {
            let (checks, tell) = (checks.clone(), tell.clone());
            tokio::spawn(async move {
                let check = move || {
                    check();
                    let _ = tell.send(who);
                };
                checks.run(who, check).await.is_ok()
            })
        };
        let first = run("mallory", Box::new(move || _ = ends.recv()));
        tokio::task::yield_now().await;
        let flood: Vec<_> = (0..WAITING + 50).map(|_| run("mallory", Box::new(|| ()))).collect();
        let alice = run("alice", Box::new(|| ()));
        // Only some tasks are polled at a time, and all should be waiting before the first validation ends.
        for _ in 0..WAITING {
            tokio::task::yield_now().await;
        }
        end.send(()).unwrap();
        assert!(alice.await.unwrap() && first.await.unwrap());
        let mut refused = 0;
        for one in flood {
            refused += usize::from(!one.await.unwrap());
        }
        assert_eq!(
            refused, 51,
            "when the queue is full, those of the caller with the most are refused"
        );
        let order: Vec<_> = order.try_iter().collect();
        assert!(order.iter().position(|who| *who == "alice").unwrap() <= 2);
    }
}
