//! The actor of a change.

use serde::Serialize;

/// The actor of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// Through what: `admin` (the admin API), `machine` (a command on the store, which needs no permission but that of the
    /// operating system: break-glass), `page` (the page for approvals), or `gateway`.
    pub via: &'static str,
    /// The principal, or the user of the operating system.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Actor {
    /// The gateway itself, such as when it makes a signing key.
    pub fn gateway() -> Self {
        Self { via: "gateway", name: "doorward".into(), address: None }
    }
}
