//! Validations that may take long run on separate threads, a few at a time: no server's schema, and no value, delays
//! other calls. Callers take turns.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use doorward_mcp::error::Kind;

use doorward_config::{BulkheadSettings, Period};
use doorward_core::Failure;
use doorward_limits::bulkhead::Bulkhead;

/// How long a caller waits for a check: for its turn, and then for its end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Checks that may wait for their turn.
const WAITING: usize = 256;

/// Checks of all servers that run at a time. One server has fewer, so that it leaves places for others.
static PLACES: LazyLock<Arc<Bulkhead>> = LazyLock::new(|| places(cores().max(2)));

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn places(concurrency: usize) -> Arc<Bulkhead> {
    let (queue, wait) = (WAITING, Period(PATIENCE));
    Bulkhead::new(BulkheadSettings { concurrency, queue, wait, adaptive: false })
}

/// The places of one server.
#[derive(Debug)]
pub struct Checks(Arc<Bulkhead>);

/// The turn of a check has not come: nothing is known of the value.
#[derive(Debug, Clone, Copy)]
pub struct NoTurn;

impl NoTurn {
    /// The failure of a call that was not sent for it.
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
    /// Runs a check for a principal elsewhere. `None` if it does not end in time; it keeps its place until it does.
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
    async fn who_floods_a_server_with_checks_waits_behind_others() {
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
        // Only some tasks are polled each time, and all shall wait before the first check ends.
        for _ in 0..WAITING {
            tokio::task::yield_now().await;
        }
        end.send(()).unwrap();
        assert!(alice.await.unwrap() && first.await.unwrap());
        let mut refused = 0;
        for one in flood {
            refused += usize::from(!one.await.unwrap());
        }
        assert_eq!(refused, 51, "those that nobody has room for are refused, of whoever has most");
        let order: Vec<_> = order.try_iter().collect();
        assert!(order.iter().position(|who| *who == "alice").unwrap() <= 2);
    }
}
