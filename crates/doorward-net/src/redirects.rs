//! Redirects of servers. Within the server's own origin, they are followed and remembered, since many frameworks
//! redirect `/mcp` to `/mcp/`. Redirects to another origin are not followed: they would send the gateway's
//! credential and the call to a host of the server's choice (attack T12).

use arc_swap::ArcSwapOption;
use doorward_mcp::error::Kind;
use http::header::{HeaderMap, LOCATION};
use http::{Method, StatusCode, Uri};
use std::sync::Arc;
use url::Url;

use doorward_core::Failure;

/// Maximum number of redirects for one request.
pub const MOST: usize = 5;
/// Maximum length of a URL in a message for the operator, in characters.
const NAMED: usize = 200;

/// The targets of earlier redirects, by method, since a server may have a separate URL for its stream.
#[derive(Debug, Default)]
pub struct Places {
    post: ArcSwapOption<Uri>,
    get: ArcSwapOption<Uri>,
    delete: ArcSwapOption<Uri>,
}

impl Places {
    fn slot(&self, method: &Method) -> Option<&ArcSwapOption<Uri>> {
        match *method {
            Method::POST => Some(&self.post),
            Method::GET => Some(&self.get),
            Method::DELETE => Some(&self.delete),
            _ => None,
        }
    }

    pub fn of(&self, method: &Method) -> Option<Uri> {
        self.slot(method)?.load().as_deref().cloned()
    }

    pub fn remember(&self, method: &Method, at: Uri) {
        if let Some(slot) = self.slot(method) {
            slot.store(Some(Arc::new(at)));
        }
    }

    pub fn forget(&self) {
        for slot in [&self.post, &self.get, &self.delete] {
            slot.store(None);
        }
    }
}

/// Whether a response redirects the same request: 307 and 308 do (RFC 9110 section 15.4), and 301 to 303 do for
/// GET.
pub fn is_one(method: &Method, status: StatusCode) -> bool {
    match status.as_u16() {
        307 | 308 => true,
        301..=303 => *method == Method::GET,
        _ => false,
    }
}

/// The target of a redirect, if it has the same scheme, host and port.
pub fn target(from: &Uri, status: StatusCode, headers: &HeaderMap) -> Result<Uri, Failure> {
    let status = status.as_u16();
    let failed = |message: String, cause: String| {
        let mut failure = Failure::new(Kind::HttpStatus, message).because(cause);
        failure.status = Some(status);
        failure
    };
    let location = headers.get(LOCATION);
    // Some servers do not percent-encode it.
    let location = location.and_then(|place| std::str::from_utf8(place.as_bytes()).ok());
    let found = location.and_then(|place| {
        let base = Url::parse(&from.to_string()).ok()?;
        Some((base.join(place).ok()?, base))
    });
    let Some((mut place, base)) = found else {
        let message = format!("The server's redirect has no valid location (HTTP {status})");
        return Err(failed(message, "there is no 'Location' that is a URL".into()));
    };
    place.set_fragment(None);
    let named_user = !place.username().is_empty() || place.password().is_some();
    if place.origin() != base.origin() || named_user {
        let message = format!(
            "The server redirects to another origin (HTTP {status}), which is not followed; if \
                the server has moved, change its 'url'"
        );
        // The query is omitted because it may contain secrets.
        place.set_query(None);
        let _ = place.set_username("");
        let _ = place.set_password(None);
        let named: String = place.as_str().chars().take(NAMED).collect();
        return Err(failed(message, format!("it redirects to {named}")));
    }
    let unusable = || {
        let message = format!("The server's redirect has no valid location (HTTP {status})");
        failed(message, "its 'Location' is not an HTTP URL".into())
    };
    place.as_str().parse().map_err(|_| unusable())
}

pub fn too_many() -> Failure {
    Failure::new(Kind::HttpStatus, "The server redirects too many times")
        .because(format!("more than {MOST} redirects for one request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_followed_within_its_origin_only() {
        let from: Uri = "https://a.example/mcp".parse().unwrap();
        for (location, expected) in [
            ("/mcp/", Some("https://a.example/mcp/")),
            ("mcp/", Some("https://a.example/mcp/")),
            ("?x=1", Some("https://a.example/mcp?x=1")),
            ("https://a.example:443/mcp/#there", Some("https://a.example/mcp/")),
            ("/mcp/café", Some("https://a.example/mcp/caf%C3%A9")),
            ("//a.example/v2", Some("https://a.example/v2")),
            ("HTTPS://A.EXAMPLE/v2", Some("https://a.example/v2")),
            ("http://a.example/mcp/", None),
            ("https://a.example:8443/mcp/", None),
            ("https://b.example/mcp/", None),
            ("//b.example/mcp/", None),
            ("\\\\b.example\\mcp", None),
            ("https://a.example@b.example/", None),
            ("https://me:secret@a.example/", None),
            ("https://a.example.b.example/", None),
            ("javascript:alert(1)", None),
            ("file:///etc/passwd", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, http::HeaderValue::from_bytes(location.as_bytes()).unwrap());
            let place = target(&from, StatusCode::TEMPORARY_REDIRECT, &headers);
            let place = place.map(|place| place.to_string());
            match expected {
                Some(expected) => assert_eq!(place.unwrap(), expected, "{location}"),
                None => assert!(place.is_err(), "{location}"),
            }
        }
        let nowhere = target(&from, StatusCode::TEMPORARY_REDIRECT, &HeaderMap::new());
        assert!(nowhere.unwrap_err().message.contains("no valid location"));
    }

    #[test]
    fn a_refused_redirect_is_reported_to_the_operator_without_secrets() {
        let from: Uri = "https://a.example/mcp".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://u:pw@b.example/x?token=s".parse().unwrap());
        let failure = target(&from, StatusCode::PERMANENT_REDIRECT, &headers).unwrap_err();
        assert_eq!(failure.cause.as_deref(), Some("it redirects to https://b.example/x"));
        assert!(!failure.message.contains("b.example"));
    }
}
