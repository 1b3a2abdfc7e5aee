//! Programs for sessions of callers, of all servers. If a caller's share or the limit is reached, an idle one is
//! stopped, whichever server it belongs to.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::session::Session;
use doorward_core::share::{Bounds, Full, Held, Shares, sharer};

#[derive(Debug)]
pub struct Programs {
    shares: Arc<Shares>,
    running: Mutex<Vec<Weak<Program>>>,
}

/// A program's slot. Released when dropped, or when the program was stopped to make room.
#[derive(Debug)]
pub struct Program {
    place: Mutex<Option<Held>>,
    sharer: Box<str>,
    session: Weak<Session>,
}

impl Program {
    fn has_place(&self) -> bool {
        self.place.lock().is_some()
    }
}

impl Programs {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { shares: Shares::new(bounds), running: Mutex::default() })
    }

    /// Reserves a slot for a program that is about to be started for a principal.
    pub fn take(&self, principal: &str) -> Result<Held, Full> {
        self.shares.take(principal, 1)
    }

    /// Marks the program as started, with its session.
    pub fn started(&self, place: Held, session: &Arc<Session>) -> Arc<Program> {
        let sharer = place.sharer().into();
        let place = Mutex::new(Some(place));
        let program = Arc::new(Program { place, sharer, session: Arc::downgrade(session) });
        let mut running = self.running.lock();
        running.retain(|program| program.strong_count() > 0);
        running.push(Arc::downgrade(&program));
        program
    }

    /// Stops an idle program to make room for a principal: the principal's own if their share is
    /// reached, else one of the principal with the most, but never of one with fewer. Of these, the
    /// one that has been idle longest. Returns whether there was one.
    pub fn give_way(&self, full: Full, principal: &str) -> bool {
        let running: Vec<_> = self.running.lock().iter().filter_map(Weak::upgrade).collect();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for program in running.iter().filter(|program| program.has_place()) {
            *counts.entry(&program.sharer).or_default() += 1;
        }
        let own = sharer(principal);
        let least = counts.get(own).copied().unwrap_or_default();
        let idle = running.iter().filter_map(|program| {
            let session = program.session.upgrade()?;
            let count = *counts.get(&*program.sharer)?;
            let may = &*program.sharer == own || (full == Full::Whole && count > least);
            let is_idle = program.has_place() && session.is_idle_since(Duration::ZERO);
            let used = *session.used.lock();
            (may && is_idle).then_some((Reverse(count), used, program, session))
        });
        let Some((_, _, program, session)) = idle.min_by_key(|(count, used, ..)| (*count, *used))
        else {
            return false;
        };
        tracing::info!("stopped an idle program to start another");
        session.close();
        program.place.lock().take();
        true
    }
}
