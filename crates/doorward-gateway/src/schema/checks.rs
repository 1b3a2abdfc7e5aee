//! Checks that may take long run apart from the threads that calls are on, a few at a time: no schema of one
//! server, and no value, keeps other calls waiting.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long a caller waits for a check: for its turn, and for its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks of all servers that run at a time. One server has fewer, so that it leaves places for others.
static PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(cores().max(2))));

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The places of one server.
#[derive(Debug)]
pub struct Checks(Arc<Semaphore>);

impl Default for Checks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new((cores() / 2).max(1))))
    }
}

impl Checks {
    /// Runs a check elsewhere. `None` if it does not end in time; it keeps its place until it does.
    pub async fn run<T: Send + 'static>(
        &self,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let running = async {
            let own = self.0.clone().acquire_owned().await.ok()?;
            let place = PLACES.clone().acquire_owned().await.ok()?;
            let checking = tokio::task::spawn_blocking(move || {
                let _places = (own, place);
                check()
            });
            checking.await.ok()
        };
        tokio::time::timeout(PATIENCE, running).await.ok().flatten()
    }
}
