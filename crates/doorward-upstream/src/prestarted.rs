//! Programs that are started before the sessions that need them, so that sessions do not wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use parking_lot::Mutex;

use doorward_core::Failure;
use doorward_transport::pipe::Pipe;

/// Delay before a program that ended unused is started again.
pub(super) const REST: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Prestarted {
    pub(super) idle: Mutex<Vec<Arc<Pipe>>>,
    pub(super) rests_until: Mutex<Option<Instant>>,
}

impl Prestarted {
    pub fn len(&self) -> usize {
        self.idle.lock().len()
    }

    /// Returns a running program, oldest first.
    pub(super) fn take(&self) -> Option<Arc<Pipe>> {
        self.drop_ended();
        let mut idle = self.idle.lock();
        (!idle.is_empty()).then(|| idle.remove(0))
    }

    pub(super) fn drop_ended(&self) {
        let mut idle = self.idle.lock();
        let before = idle.len();
        idle.retain(|pipe| pipe.is_open());
        if idle.len() < before {
            *self.rests_until.lock() = Some(Instant::now() + REST);
        }
    }

    pub(super) fn rest(&self) -> bool {
        self.rests_until.lock().is_some_and(|until| Instant::now() < until)
    }

    pub fn close(&self) {
        for pipe in self.idle.lock().drain(..) {
            pipe.end(Failure::new(Kind::Closing, "The server is being stopped"));
        }
    }
}
