//! Programs that are started before the sessions that need them, so that sessions do not wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use parking_lot::Mutex;

use super::pipe::Pipe;
use super::{Contact, Link, Server, Way};
use doorward_core::Failure;

/// A program that ends while nobody uses it is not started again for so long.
const REST: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Prestarted {
    idle: Mutex<Vec<Arc<Pipe>>>,
    rests_until: Mutex<Option<Instant>>,
}

impl Prestarted {
    pub fn len(&self) -> usize {
        self.idle.lock().len()
    }

    /// One that runs, the oldest first.
    fn take(&self) -> Option<Arc<Pipe>> {
        self.drop_ended();
        let mut idle = self.idle.lock();
        (!idle.is_empty()).then(|| idle.remove(0))
    }

    fn drop_ended(&self) {
        let mut idle = self.idle.lock();
        let before = idle.len();
        idle.retain(|pipe| pipe.is_open());
        if idle.len() < before {
            *self.rests_until.lock() = Some(Instant::now() + REST);
        }
    }

    fn rest(&self) -> bool {
        self.rests_until.lock().is_some_and(|until| Instant::now() < until)
    }

    pub fn close(&self) {
        for pipe in self.idle.lock().drain(..) {
            pipe.end(Failure::new(Kind::Closing, "The server is being stopped"));
        }
    }
}

impl Server {
    /// A program for a session: one that runs already, or a new one.
    pub(super) fn program(&self) -> Result<Arc<Pipe>, Failure> {
        let taken = self.prestarted.take();
        let program = taken.map_or_else(|| self.start_process(), Ok);
        self.prestart();
        program
    }

    /// Starts what is missing, once it is known that the program works.
    pub(super) fn prestart(&self) {
        let wanted = self.settings.prestart;
        if wanted == 0 || self.stop.is_cancelled() {
            return;
        }
        let works = matches!(
            self.known().as_deref(),
            Some(Contact { link: Link::Process | Link::Modern(Way::Pipe(_)), .. })
        );
        self.prestarted.drop_ended();
        if !works || self.prestarted.rest() {
            return;
        }
        let mut idle = self.prestarted.idle.lock();
        while idle.len() < wanted {
            match self.start_process() {
                Ok(pipe) => idle.push(pipe),
                Err(failure) => {
                    tracing::debug!(server = &*self.name, "cannot prestart the program: {failure}");
                    *self.prestarted.rests_until.lock() = Some(Instant::now() + REST);
                    return;
                }
            }
        }
    }
}
