//! Links at which owners consent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Delegations, Error};

/// How long a link is good.
pub const LINK: Duration = Duration::from_secs(15 * 60);
/// What a link is sealed for.
pub const PURPOSE: &str = "connect";

/// What a link is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    #[serde(rename = "s")]
    pub server: String,
    #[serde(rename = "o")]
    pub owner: String,
    /// Scopes that turned out to be needed.
    #[serde(rename = "m", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub more: BTreeSet<String>,
    /// A session that is told when it is done, and by which name (spec 2025-11-25 client/elicitation).
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub told: Option<(Arc<str>, String)>,
}

impl Delegations {
    /// A link under which an owner consents.
    pub fn link(&self, origin: &str, wanted: &Wanted) -> Result<String, Error> {
        let sealer = self.sealer.as_ref().ok_or("there is no 'store_key'")?;
        let sealed = sealer.seal(wanted, "", PURPOSE, Some(LINK));
        Ok(format!("{origin}/oauth/connect?request={sealed}"))
    }
}
