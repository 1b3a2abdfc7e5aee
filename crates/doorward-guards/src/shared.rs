//! The store that several gateways share: what flow rules and bounds of conversations keep in it.

use std::sync::atomic::{AtomicBool, Ordering};

use doorward_config::Secret;
use doorward_store::SharedMarks;

/// Connects to a shared store, in which `what` is kept.
pub fn open(url: &Secret, namespace: Option<&str>, what: &str) -> Option<SharedMarks> {
    match SharedMarks::open(url.expose(), namespace.unwrap_or("doorward")) {
        Ok(shared) => Some(shared),
        // The URL was checked with the settings.
        Err(why) => {
            tracing::error!("the shared store of {what} cannot be used: {why}");
            None
        }
    }
}

/// Whether a shared store is unavailable, which is logged once.
#[derive(Debug)]
pub struct Away {
    what: &'static str,
    /// What comes of it, for the log.
    so: &'static str,
    is_away: AtomicBool,
}

impl Away {
    pub fn new(what: &'static str, so: &'static str) -> Self {
        Self { what, so, is_away: AtomicBool::new(false) }
    }

    /// Takes how a request to the store has ended: what went wrong, if something did.
    pub fn note(&self, trouble: Option<&String>) {
        let Self { what, so, .. } = self;
        match trouble {
            Some(why) if !self.is_away.swap(true, Ordering::AcqRel) => {
                tracing::error!("the shared store of {what} is unavailable{so}: {why}");
            }
            None if self.is_away.swap(false, Ordering::AcqRel) => {
                tracing::info!("the shared store of {what} is available again");
            }
            _ => {}
        }
    }
}
