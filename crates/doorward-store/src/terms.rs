//! The terms on which a handle of the store changes it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The terms on which a handle of the store changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// Everything is done and checked, and then rolled back.
    pub rehearsal: bool,
    /// Only while the store is at this revision.
    pub revision: Option<i64>,
    /// Once, under this idempotency key.
    pub claim: Option<Arc<Claim>>,
}

/// A key, and the request that it was sent with.
#[derive(Debug)]
pub struct Claim {
    pub actor: String,
    pub key: String,
    /// SHA-256 of method, path and input, in hexadecimal.
    pub digest: String,
    pub(crate) is_made: AtomicBool,
}

impl Claim {
    pub fn new(actor: String, key: String, digest: String) -> Self {
        Self { actor, key, digest, is_made: AtomicBool::new(false) }
    }
}
