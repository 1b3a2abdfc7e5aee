//! The actor of a change.

use serde::Serialize;

/// Who made a change, and through which interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The interface: `admin` (the admin API), `machine` (a command on the store, which needs no
    /// permission but that of the operating system: break-glass), `page` (the page for approvals),
    /// or `gateway`.
    pub via: &'static str,
    /// The principal, or the operating system's user.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Actor {
    /// The gateway itself, for example when it creates a signing key.
    pub fn gateway() -> Self {
        Self { via: "gateway", name: "doorward".into(), address: None }
    }
}
