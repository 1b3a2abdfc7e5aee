//! The threads on which connections live.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::commands::Failed;

/// A thread per core, each with a runtime of its own. A connection stays with one of them, and so do
/// its calls and the connections to servers that they use: no call is handed from thread to thread.
/// What belongs to no call runs on the main runtime.
pub struct Workers {
    pub handles: Arc<[Handle]>,
    stop: CancellationToken,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Workers {
    pub fn start() -> Result<Self, Failed> {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let stop = CancellationToken::new();
        let mut handles = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || {
                runtime.block_on(stop.cancelled());
                runtime.shutdown_background();
            })?);
        }
        Ok(Self { handles: handles.into(), stop, threads })
    }

    pub fn end(self) {
        self.stop.cancel();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
