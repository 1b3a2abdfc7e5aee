//! Redirect URIs: which are allowed, and which of a client's is meant (OAuth 2.1 section 4.1.1; RFC 8252).

use std::collections::BTreeSet;

use url::{Host, Url};

/// Maximum length of a redirect URI.
const MOST: usize = 1024;

/// Schemes that a browser handles in other ways than redirecting the user.
const DANGEROUS: [&str; 19] = [
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "http",
    "https",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Whether a scheme cannot belong to a client.
pub fn is_dangerous_scheme(scheme: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    DANGEROUS.contains(&scheme)
        || !scheme.starts_with(|first: char| first.is_ascii_lowercase())
        || !scheme.bytes().all(plain)
}

/// Whether a client may use a redirect URI. `schemes` are allowed in addition to https and http on loopback;
/// `None` for preregistered clients, which may use any scheme that is not dangerous.
pub fn check_redirect_uri(
    uri: &str,
    schemes: Option<&BTreeSet<String>>,
) -> Result<(), &'static str> {
    if uri.len() > MOST {
        return Err("it is too long");
    }
    let visible =
        uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte));
    let url = Url::parse(uri).map_err(|_| "it is not a URL")?;
    // In normal form, so that no browser reads it in another way.
    if !visible || (url.as_str() != uri && url.as_str() != format!("{uri}/")) {
        return Err("it is not in the normal form of a URL");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it names a user");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("http is allowed only for localhost, 127.0.0.1 or [::1]"),
        scheme if is_dangerous_scheme(scheme) => Err("its scheme is not allowed for clients"),
        scheme if schemes.is_none_or(|known| known.contains(scheme)) => Ok(()),
        _ => Err("its scheme is neither https nor one that the operator allows"),
    }
}

/// Whether a URL leads to the machine it is opened on.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether the requested URI is the registered one: compared exactly, except for the port on loopback, which a
/// program takes as it is available (RFC 8252 section 7.3).
pub fn is_registered(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return true;
    }
    let (Some(known), Some(said)) = (loopback_parts(registered), loopback_parts(asked)) else {
        return false;
    };
    known == said
}

/// Host and everything behind the port of a redirect URI on loopback.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    if !is_loopback(&Url::parse(uri).ok()?) {
        return None;
    }
    let rest = uri.strip_prefix("http://")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some((_, port)) if !port.ends_with(']') => return None,
        _ => authority,
    };
    Some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_sent_to_https_to_loopback_and_to_known_schemes() {
        let schemes: BTreeSet<String> = ["cursor".to_owned()].into();
        for (uri, allowed) in [
            ("https://app.example/callback", true),
            ("https://app.example", true),
            ("https://app.example/callback?a=b", true),
            ("http://localhost:3000/callback", true),
            ("http://127.0.0.1/", true),
            ("http://[::1]:9/x", true),
            ("cursor://anysphere/oauth", true),
            ("http://app.example/callback", false),
            ("http://localhost.evil.example/", false),
            ("https://app.example/callback#x", false),
            ("https://user@app.example/", false),
            ("https://app.example/a/../b", false),
            ("https://APP.example/", false),
            ("https://app.example:443/", false),
            ("https://app.example\\@evil.example/", false),
            ("https://app.example/ä", false),
            ("other://x/y", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("file:///etc/passwd", false),
            ("vbscript:x", false),
            ("/callback", false),
            ("", false),
        ] {
            assert_eq!(check_redirect_uri(uri, Some(&schemes)).is_ok(), allowed, "{uri}");
        }
        assert!(check_redirect_uri("other://x/y", None).is_ok());
        assert!(check_redirect_uri("javascript:alert(1)", None).is_err());
        assert!(
            check_redirect_uri(&format!("https://a.example/{}", "x".repeat(1024)), None).is_err()
        );
    }

    #[test]
    fn what_is_asked_for_is_what_was_registered() {
        let web = "https://app.example/callback";
        for asked in [
            "https://app.example/callback/",
            "https://app.example/Callback",
            "https://APP.example/callback",
            "https://app.example:443/callback",
            "https://app.example/callbackx",
            "https://app.example/callback/../callback",
            "https://app.example/callback%2f",
            "https://user@app.example/callback",
            "https://app.example/callback#x",
            "https://app.example/callback?x=y",
            "http://app.example/callback",
        ] {
            assert!(!is_registered(web, asked), "{asked}");
        }
        assert!(is_registered(web, web));
        let native = "http://127.0.0.1/callback";
        for (asked, same) in [
            ("http://127.0.0.1:4711/callback", true),
            ("http://127.0.0.1/callback", true),
            ("http://localhost:4711/callback", false),
            ("http://127.0.0.2:4711/callback", false),
            ("http://127.0.0.1:4711/callback/", false),
            ("http://127.0.0.1:4711/callback?x", false),
            ("http://127.0.0.1:4711@evil.example/callback", false),
            ("https://127.0.0.1:4711/callback", false),
        ] {
            assert_eq!(is_registered(native, asked), same, "{asked}");
        }
        assert!(is_registered("http://[::1]:1/x", "http://[::1]:2/x"));
        assert!(is_registered("http://[::1]/x", "http://[::1]:2/x"));
    }
}
