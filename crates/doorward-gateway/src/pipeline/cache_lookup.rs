//! What has been looked up in the cache for a call, until its result comes.

use std::sync::Arc;

use doorward_cache::{Entry, Keys, Lead};
use doorward_config::CacheRule;

/// What the stage knows of a call while it is being made.
#[derive(Debug)]
pub struct Looked {
    pub keys: Keys,
    pub rule: CacheRule,
    /// What marked the server's state before it was asked: another one after each change.
    pub epoch: u64,
    /// For whom else it is asked.
    pub lead: Option<Lead>,
    /// What can be told where the server fails.
    pub stale: Option<Arc<Entry>>,
}
