//! The threads that serve connections.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::commands::Failed;

/// One thread per core, each with its own runtime. A connection stays on one thread, with its calls
/// and their connections to servers, so no call moves between threads. Work that belongs to no call
/// runs on the main runtime.
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
