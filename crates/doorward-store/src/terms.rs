//! The terms on which a handle of the store changes it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use sqlx::{Any, Transaction};

/// The terms on which a handle of the store changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// Everything is done and checked, and then rolled back.
    pub rehearsal: bool,
    /// Only while the store is at this revision.
    pub revision: Option<i64>,
    /// Once, under this idempotency key.
    pub claim: Option<Arc<Claim>>,
    /// All changes in one transaction.
    pub batch: Option<Arc<Mutex<Batch>>>,
}

/// A transaction that several changes share, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Absent before the first change, during each, and after one has failed.
    pub transaction: Option<Transaction<'static, Any>>,
    pub has_begun: bool,
    pub is_counted: bool,
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
