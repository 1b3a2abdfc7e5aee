//! Links for users to consent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_governance::stops::Stops;
use serde::{Deserialize, Serialize};

use super::{Delegations, Error};

/// Lifetime of a link.
pub const LINK: Duration = Duration::from_secs(15 * 60);
/// The purpose for which links are sealed.
pub const PURPOSE: &str = "connect";

/// The content of a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    #[serde(rename = "s")]
    pub server: String,
    #[serde(rename = "o")]
    pub owner: String,
    /// The owner's tenant.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Additionally required scopes.
    #[serde(rename = "m", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub more: BTreeSet<String>,
    /// The session to notify when it is complete, and the elicitation id (spec 2025-11-25 client/elicitation).
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub told: Option<(Arc<str>, String)>,
}

impl Wanted {
    /// Whether an administrator has stopped the server, its credential, or whose connection it would be.
    pub fn is_stopped(&self, stops: &Stops) -> bool {
        let Self { server, owner, tenant, .. } = self;
        let stopped = stops.current();
        stopped.is_some_and(|it| it.connection(server, owner, tenant.as_deref()).is_some())
    }
}

impl Delegations {
    /// Creates a link at which an owner consents.
    pub fn link(&self, origin: &str, wanted: &Wanted) -> Result<String, Error> {
        let sealer = self.sealer.as_ref().ok_or("there is no 'store_key'")?;
        let sealed = sealer.seal(wanted, "", PURPOSE, Some(LINK));
        Ok(format!("{origin}/oauth/connect?request={sealed}"))
    }
}
