//! The gateway's self-description.

/// The gateway as it introduces itself to clients and servers.
pub fn about_doorward() -> serde_json::Value {
    serde_json::json!({ "name": "doorward", "title": "Doorward", "version": env!("CARGO_PKG_VERSION") })
}
