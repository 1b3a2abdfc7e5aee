//! The conditions under which a store handle makes changes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use sqlx::{Any, Transaction};

/// The conditions under which a store handle makes changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// Dry run: everything is executed and checked, and then rolled back.
    pub rehearsal: bool,
    /// Only while the store is at this revision.
    pub revision: Option<i64>,
    /// Only once under this idempotency key.
    pub claim: Option<Arc<Claim>>,
    /// All changes in one transaction.
    pub batch: Option<Arc<Mutex<Batch>>>,
}

/// A transaction that several changes share in sequence.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Absent before the first change, during each, and after one has failed.
    pub transaction: Option<Transaction<'static, Any>>,
    pub has_begun: bool,
    pub is_counted: bool,
}

/// An idempotency key and the request that carried it.
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
