//! Protection against requests of web pages: `Origin` and `Host` are checked on every request, on every listener,
//! before anything else (attack T10, DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use url::{Host, Url};

use crate::Body;
use doorward_config::Settings;

/// Refuses a foreign origin, and on a loopback listener a foreign host; the gateway's own, which are those
/// of `public_url`, are none. Returns the origin to
/// allow, where there is one.
pub fn check<B>(
    settings: &Settings,
    local: SocketAddr,
    request: &Request<B>,
) -> Result<Option<HeaderValue>, (StatusCode, &'static str)> {
    check_public(settings, local, request)?;
    check_origin(settings, request.headers()).map_err(|why| (StatusCode::FORBIDDEN, why))
}

/// The same for what pages of all origins may read.
pub fn check_public<B>(
    settings: &Settings,
    local: SocketAddr,
    request: &Request<B>,
) -> Result<(), (StatusCode, &'static str)> {
    if is_too_long(request, settings.limits.headers.0) {
        let why = "The headers are longer than 'limits.headers'";
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why));
    }
    // RFC 9112 section 3.2.
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return Err((StatusCode::BAD_REQUEST, "'Host' is missing"));
    }
    check_host(settings, local, request.headers()).map_err(|why| (StatusCode::FORBIDDEN, why))
}

/// Beside a bearer token, what no form and no `no-cors` fetch of a web page can send.
pub const OPERATOR: &str = "doorward-admin";

/// Refuses what a web page could make a browser send to the operator's listener, whose own origin alone may speak to it.
/// What is sent is JSON, which no form is. Beside it a change must come [with a header](has_operators_header).
pub fn check_operator<B>(
    settings: &Settings,
    local: SocketAddr,
    request: &Request<B>,
) -> Result<(), (StatusCode, &'static str)> {
    check(settings, local, request)?;
    let headers = request.headers();
    if !headers.contains_key(HOST) {
        return Err((StatusCode::BAD_REQUEST, "'Host' is missing"));
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let own = ["http://", "https://"].iter().any(|scheme| {
            origin.as_bytes().strip_prefix(scheme.as_bytes()).is_some_and(|it| it == host)
        });
        if !own || host.is_empty() {
            return Err((
                StatusCode::FORBIDDEN,
                "Requests from other origins are not allowed at this listener",
            ));
        }
    }
    let bare = request.method().is_safe() || request.method() == Method::DELETE;
    if !bare && !crate::is_json(headers) {
        let why = "'Content-Type' must be application/json";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(())
}

/// Whether there is a header that a browser sends for no page of another origin without having asked: a bearer token,
/// or [`OPERATOR`] where nothing or a certificate is shown.
pub fn has_operators_header(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(OPERATOR)
}

/// Whether the head of a request is longer than it may be: its target, and all its headers as they are
/// sent.
fn is_too_long<B>(request: &Request<B>, most: usize) -> bool {
    let headers = request.headers().iter();
    let lengths = headers.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    lengths.sum::<usize>() + target > most
}

fn check_host(
    settings: &Settings,
    local: SocketAddr,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    if let Some(host) = hosts.next() {
        if hosts.next().is_some() {
            return Err("'Host' appears twice");
        }
        let host = host.to_str().ok().and_then(host_name);
        let own = settings.public_url.as_ref().and_then(Url::host_str);
        let known = host.is_some_and(|host| {
            is_loopback(&host)
                || settings.allowed_hosts.contains(&host)
                || own.is_some_and(|own| own == host)
        });
        if local.ip().is_loopback() && !known {
            return Err("This host name is not allowed; see 'allowed_hosts'");
        }
    } else if local.ip().is_loopback() {
        // Of HTTP/1.0 too: without a name nothing can be said of it.
        return Err("'Host' is missing");
    }
    Ok(())
}

/// The origin to allow, if the request has one.
fn check_origin(
    settings: &Settings,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, &'static str> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(None) };
    if origins.next().is_some() {
        return Err("'Origin' appears twice");
    }
    let own = settings.public_url.as_ref().map(|url| url.origin().ascii_serialization());
    let allowed = origin.to_str().is_ok_and(|text| {
        settings.allowed_origins.iter().any(|allowed| allowed == text)
            || own.as_deref() == Some(text)
            || Url::parse(text).is_ok_and(|url| match url.host() {
                Some(Host::Domain(name)) => is_loopback(name),
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            })
    });
    if allowed {
        Ok(Some(origin.clone()))
    } else {
        Err("This origin is not allowed; see 'allowed_origins'")
    }
}

/// The name in a `Host` header, without its port; `None` where it is not a name and a port alone (RFC 9110 section 7.2).
fn host_name(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    // What stands before the name would be a user.
    let rest = host.strip_prefix(authority.host())?;
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || (port == rest && !rest.is_empty()) {
        return None;
    }
    let name = authority.host();
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The answer to a browser that asks what it may send.
pub fn preflight(origin: Option<&HeaderValue>) -> Response<Body> {
    let mut response = crate::response::empty(StatusCode::NO_CONTENT);
    if origin.is_some() {
        let headers = response.headers_mut();
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, DELETE, OPTIONS"),
        );
        // Argument headers have names of their own, so that no list could hold them.
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, authorization"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

pub fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "mcp-session-id, mcp-protocol-version, www-authenticate, location, retry-after, etag, ratelimit, \
             ratelimit-policy, doorward-request-id, idempotency-replayed",
        ),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_names(
        settings: &Settings,
        local: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, &'static str> {
        check_host(settings, local, headers)?;
        check_origin(settings, headers)
    }

    #[test]
    fn only_known_hosts_and_origins_pass() {
        let settings = Settings {
            allowed_hosts: vec!["gw.example".into()],
            allowed_origins: vec!["https://app.example".into()],
            public_url: Some("https://public.example".parse().unwrap()),
            ..Settings::default()
        };
        let loopback: SocketAddr = "127.0.0.1:7300".parse().unwrap();
        for (host, origin, passes) in [
            ("127.0.0.1:7300", None, true),
            ("localhost:7300", None, true),
            ("LOCALHOST", None, true),
            ("[::1]:7300", None, true),
            ("127.1.2.3", None, true),
            ("gw.example", None, true),
            ("public.example", Some("https://public.example"), true),
            ("public.example", Some("http://public.example"), false),
            ("evil.example:7300", None, false),
            ("127.0.0.1.evil.example", None, false),
            ("localhost.evil.example", None, false),
            ("localhost:x@evil.example", None, false),
            ("localhost@evil.example", None, false),
            ("evil@localhost", None, false),
            ("localhost:evil.example", None, false),
            ("localhost:80:80", None, false),
            ("localhost:+80", None, false),
            ("localhost/", None, false),
            ("[::1]evil.example", None, false),
            ("[::1]:80x", None, false),
            ("::1", None, false),
            ("", None, false),
            ("localhost.", None, true),
            ("[::1]", None, true),
            ("localhost", Some("http://localhost:3000"), true),
            ("localhost", Some("http://[::1]:3000"), true),
            ("localhost", Some("https://app.example"), true),
            ("localhost", Some("https://evil.example"), false),
            ("localhost", Some("http://localhost.evil.example"), false),
            ("localhost", Some("null"), false),
            ("localhost", Some("file://"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(
                check_names(&settings, loopback, &headers).is_ok(),
                passes,
                "{host} {origin:?}"
            );
        }
        assert!(check_names(&settings, loopback, &HeaderMap::new()).is_err(), "no name");
        let mut twice = HeaderMap::new();
        twice.append(HOST, HeaderValue::from_static("localhost"));
        twice.append(ORIGIN, HeaderValue::from_static("http://localhost"));
        twice.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(check_names(&settings, loopback, &twice).is_err());
    }
}
