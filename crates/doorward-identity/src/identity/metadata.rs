//! The names of the gateway's endpoints, for tokens and for clients that discover a login (RFC 8707, RFC 9728). They
//! come from the configuration, never from a request (attack T30).

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::{Value, json};
use url::Url;

/// Path prefix of protected resource metadata (RFC 9728 section 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The resource names of the gateway's endpoints.
#[derive(Debug, Default)]
pub struct Resources {
    /// Scheme, host and port.
    origin: OnceLock<String>,
}

impl Resources {
    /// Sets the URL under which clients reach the gateway; once, before listening starts.
    pub fn set_origin(&self, url: &Url) {
        let _ = self.origin.set(url.origin().ascii_serialization());
    }

    pub fn origin(&self) -> &str {
        self.origin.get().map_or("", String::as_str)
    }

    /// The audiences accepted at an endpoint: the whole gateway, or that endpoint.
    pub fn accepted(&self, endpoint: Option<&str>) -> Vec<String> {
        let origin = self.origin();
        let mut all = vec![origin.to_owned(), format!("{origin}/")];
        all.extend(endpoint.map(|path| format!("{origin}{path}")));
        all
    }

    /// The metadata URL of an endpoint.
    pub fn metadata_url(&self, path: &str) -> String {
        format!("{}{WELL_KNOWN}{path}", self.origin())
    }

    /// The metadata of the endpoint at a path, or of the whole gateway if the path is empty.
    pub fn metadata(&self, path: &str, issuers: &[&str], scopes: &BTreeSet<String>) -> Value {
        let mut metadata = json!({
            "resource": format!("{}{path}", self.origin()),
            "resource_name": "Doorward",
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        if !scopes.is_empty() {
            metadata["scopes_supported"] = json!(scopes);
        }
        metadata
    }
}
