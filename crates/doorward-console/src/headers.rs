//! Headers of responses: what a page may do, and who may embed or read it. Headers of requests: which page sent it.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The application has no inline code, and asks for nothing elsewhere.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                    font-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'self'; \
                    frame-ancestors 'none'";
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn protect(headers: &mut HeaderMap, policy: &'static str) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// For the files of the application.
pub fn protect_page(headers: &mut HeaderMap) {
    protect(headers, PAGE);
}

/// For responses that only the application reads.
pub fn protect_data(headers: &mut HeaderMap) {
    protect(headers, NOTHING);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Where the connection has TLS, browsers come back with TLS only.
pub fn require_tls(headers: &mut HeaderMap) {
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
}

/// Whether a request was sent by a page of the origin that it is sent to: browsers say so with each change.
pub fn is_from_own_page(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    let own = ["http://", "https://"].iter().any(|scheme| {
        origin.as_bytes().strip_prefix(scheme.as_bytes()).is_some_and(|it| it == host)
    });
    own && !host.is_empty() && site(headers).is_none_or(|site| site == "same-origin")
}

/// Whether a request that changes nothing may use the browser's session. `SameSite` alone does not tell ports apart: pages
/// of other programs on the same host are of the same site.
pub fn may_read(headers: &HeaderMap) -> bool {
    let read = site(headers).is_none_or(|site| site == "same-origin" || site == "none");
    read && (!headers.contains_key(ORIGIN) || is_from_own_page(headers))
}

/// Whether a page of another origin has sent it.
pub fn is_foreign(headers: &HeaderMap) -> bool {
    site(headers).is_some_and(|site| site != "same-origin")
        || (headers.contains_key(ORIGIN) && !is_from_own_page(headers))
}

fn site(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(SITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_origin_change_anything() {
        for (origin, site, own, reads) in [
            (Some("http://gw:7301"), Some("same-origin"), true, true),
            (Some("https://gw:7301"), None, true, true),
            (Some("http://gw:8000"), Some("same-site"), false, false),
            (Some("http://gw:7301"), Some("same-site"), false, false),
            (Some("http://evil"), Some("cross-site"), false, false),
            (Some("null"), None, false, false),
            (None, Some("same-origin"), false, true),
            (None, Some("none"), false, true),
            (None, Some("cross-site"), false, false),
            (None, Some("same-site"), false, false),
            (None, None, false, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("gw:7301"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            if let Some(site) = site {
                headers.insert(SITE, HeaderValue::from_static(site));
            }
            assert_eq!(is_from_own_page(&headers), own, "{origin:?} {site:?}");
            assert_eq!(may_read(&headers), reads, "{origin:?} {site:?}");
        }
    }
}
