//! The names of the gateway's endpoints, for tokens and for clients that discover a login (RFC 8707, RFC 9728). They
//! come from the configuration, never from a request (attack T30).

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::{Value, json};
use url::Url;

/// Where metadata of protected resources is found (RFC 9728 section 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The names of the gateway's endpoints.
#[derive(Debug, Default)]
pub struct Resources {
    /// Scheme, host and port.
    origin: OnceLock<String>,
}

impl Resources {
    /// Says under which URL clients reach the gateway; once, before the doors open.
    pub fn set_origin(&self, url: &Url) {
        let _ = self.origin.set(url.origin().ascii_serialization());
    }

    pub fn origin(&self) -> &str {
        self.origin.get().map_or("", String::as_str)
    }

    /// What a token may be for: all of the gateway, or the endpoint at which it is shown. What is no
    /// endpoint has no name of its own.
    pub fn accepted(&self, endpoint: Option<&str>) -> Vec<String> {
        let origin = self.origin();
        let mut all = vec![origin.to_owned(), format!("{origin}/")];
        all.extend(endpoint.map(|path| format!("{origin}{path}")));
        all
    }

    /// Where the metadata of an endpoint is.
    pub fn metadata_url(&self, path: &str) -> String {
        format!("{}{WELL_KNOWN}{path}", self.origin())
    }

    /// The metadata of the endpoint at a path, or of the gateway as a whole where it is empty.
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
