//! Structured arguments: e-mail addresses and URLs, parsed as every program would parse them. What two programs could
//! parse differently is rejected, so that no policy checks one place while a server uses another.

use std::collections::BTreeSet;

use doorward_mcp::uri;
use serde_json::Value;
use url::{Host, Url};

/// E-mail addresses, as policies compare them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Emails {
    /// `alice@example.com`; the domain in lower case.
    pub addresses: BTreeSet<String>,
    pub domains: BTreeSet<String>,
}

/// The type declaration of addresses, and their attributes.
pub const EMAILS: &str = "Emails";
pub const EMAILS_PARTS: &[(&str, &str)] =
    &[("addresses", "Set<String>"), ("domains", "Set<String>")];

impl Emails {
    /// Reads one address, several with commas between them, or a list of either. An empty text is no address.
    pub fn read(given: &Value) -> Option<Self> {
        let mut emails = Self::default();
        match given {
            Value::String(text) => emails.add(text)?,
            Value::Array(items) => {
                items.iter().try_for_each(|item| emails.add(item.as_str()?))?;
            }
            _ => return None,
        }
        Some(emails)
    }

    fn add(&mut self, text: &str) -> Option<()> {
        if text.is_empty() {
            return Some(());
        }
        for one in text.split(',') {
            let (local, domain) = mailbox(one.trim_matches(' '))?;
            let domain = domain.to_ascii_lowercase();
            self.addresses.insert(format!("{local}@{domain}"));
            self.domains.insert(domain);
        }
        Some(())
    }
}

/// `alice@example.com`, or `Alice Smith <alice@example.com>` (a part of RFC 5322 section 3.4): no comments, no routes, no
/// quoted local parts, no literals, and in names nothing by which another program could find an address there.
fn mailbox(text: &str) -> Option<(&str, &str)> {
    let address = match text.strip_suffix('>') {
        None => text,
        Some(named) => {
            let (name, address) = named.split_once('<')?;
            let name = name.trim_matches(' ');
            let name = name.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(name);
            let plain = |c: char| c.is_alphanumeric() || " .-'_".contains(c);
            if !name.chars().all(plain) {
                return None;
            }
            address
        }
    };
    let (local, domain) = address.split_once('@')?;
    // No `%` and no `!`, which old mail servers used for relaying.
    let is_atom = |c: u8| c.is_ascii_alphanumeric() || b"&'+-=_~".contains(&c);
    let dotted = |text: &str, part: &dyn Fn(&str) -> bool| text.split('.').all(part);
    let fits = text.len() <= 320
        && dotted(local, &|part| !part.is_empty() && part.bytes().all(is_atom))
        && domain.contains('.')
        && dotted(domain, &is_label);
    fits.then_some((local, domain))
}

/// A label of a host name (RFC 1123 section 2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A URL, as policies compare it.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// In lower case.
    pub scheme: String,
    /// In lower case; of an IPv6 address without its brackets.
    pub host: String,
    /// The scheme's default if none is written.
    pub port: u16,
    /// As written; `/` if there is none.
    pub path: String,
    /// Without the question mark; empty if there is none.
    pub query: String,
}

pub const URL: &str = "Url";
pub const URL_PARTS: &[(&str, &str)] = &[
    ("scheme", "String"),
    ("host", "String"),
    ("port", "Long"),
    ("path", "String"),
    ("query", "String"),
];

impl Address {
    /// Reads an absolute URL of http or https. Refused is what parsers disagree about: a user before the host,
    /// backslashes, blanks and control characters, numbers that are IPv4 addresses in disguise, encoded or
    /// international hosts, dots behind them, and in the path steps up, empty segments and what is encoded that need not be,
    /// or divides it.
    pub fn read(given: &Value) -> Option<Self> {
        let text = given.as_str()?;
        let plain =
            text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte));
        let url = Url::parse(text).ok().filter(|_| plain)?;
        // A `//` after the scheme, followed by the host exactly as it was parsed.
        let (scheme, rest) = text.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let host = url.host_str()?;
        let said = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let same = authority.eq_ignore_ascii_case(&said)
            || url
                .port_or_known_default()
                .is_some_and(|port| authority.eq_ignore_ascii_case(&format!("{host}:{port}")));
        let is_name = match url.host()? {
            Host::Domain(name) => name.split('.').all(is_label),
            Host::Ipv4(_) | Host::Ipv6(_) => true,
        };
        let fits = matches!(url.scheme(), "http" | "https")
            && scheme.eq_ignore_ascii_case(url.scheme())
            && same
            && is_name
            && !uri::has_dot_segment(text)
            && !url.path().contains("//")
            && !uri::readings(url.path()).is_some_and(|readings| readings.is_hidden);
        fits.then(|| Self {
            scheme: url.scheme().to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_those_that_every_program_finds() {
        for (given, domains) in [
            (json!("a@example.com"), vec!["example.com"]),
            (json!("a@EXAMPLE.com, b@x.example"), vec!["example.com", "x.example"]),
            (json!("Ann Émile O'Hara <a@example.com>"), vec!["example.com"]),
            (json!("\"Ann B.\" <a@example.com>,b+c@example.com"), vec!["example.com"]),
            (json!(["a@example.com", "b@x.example"]), vec!["example.com", "x.example"]),
            (json!(""), vec![]),
            (json!([]), vec![]),
        ] {
            let read = Emails::read(&given).unwrap_or_else(|| panic!("{given}"));
            assert_eq!(read.domains.iter().collect::<Vec<_>>(), domains, "{given}");
        }
        for given in [
            json!("thief@evil.example a@example.com"),
            json!("thief@evil.example;a@example.com"),
            json!("thief@evil.example\na@example.com"),
            json!("thief@evil.example\r\nBcc: a@example.com"),
            json!("thief@evil.example>a@example.com"),
            json!("<thief@evil.example> a@example.com"),
            json!("thief@evil.example <a@example.com>"),
            json!("\"thief@evil.example, \" <a@example.com>"),
            json!("\"x\\\" <thief@evil.example>\" <a@example.com>"),
            json!("(thief@evil.example) a@example.com"),
            json!("a@evil.example(@example.com)"),
            json!("@evil.example:a@example.com"),
            json!("a@evil.example@example.com"),
            json!("a%evil.example@example.com"),
            json!("evil.example!a@example.com"),
            json!("\"thief@evil.example\"@example.com"),
            json!("group: thief@evil.example;@example.com"),
            json!("=?utf-8?q?thief=40evil.example?= <a@example.com>"),
            json!("a@evil.example\t@example.com"),
            json!("a@evil.example\u{0}@example.com"),
            json!("a@evil.example\u{2028}a@example.com"),
            json!("a@[127.0.0.1]"),
            json!("a@exаmple.com"),
            json!("a@example.com."),
            json!("a@.example.com"),
            json!("a@example"),
            json!("a@example.com,,b@example.com"),
            json!("a@example.com,"),
            json!(" "),
            json!("@example.com"),
            json!({ "email": "a@example.com" }),
            json!([["a@example.com"]]),
            json!([1]),
            json!(1),
        ] {
            assert_eq!(Emails::read(&given), None, "{given}");
        }
    }

    #[test]
    fn urls_are_those_that_every_program_reads_alike() {
        let read = |text: &str| Address::read(&json!(text));
        let url =
            read("HTTPS://Shop.example.com:8443/a%20b/c?x=../y#z").unwrap_or_else(|| panic!());
        assert_eq!((url.scheme.as_str(), url.host.as_str()), ("https", "shop.example.com"));
        assert_eq!((url.port, url.path.as_str(), url.query.as_str()), (8443, "/a%20b/c", "x=../y"));
        for (text, host, port) in [
            ("https://example.com", "example.com", 443),
            ("http://example.com:80/", "example.com", 80),
            ("https://[::1]:1/", "::1", 1),
            ("http://127.0.0.1/", "127.0.0.1", 80),
            ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", 443),
        ] {
            let url = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
        }
        for text in [
            "https://example.com@evil.example/",
            "https://example.com:x@evil.example/",
            "https://evil.example\\@example.com/",
            "https://evil.example\\.example.com/",
            "https:\\\\evil.example/",
            "https:/evil.example/",
            "https:evil.example/",
            "https:///evil.example/",
            "//evil.example/",
            "/relative",
            "https://evil.example\t.example.com/",
            " https://evil.example/",
            "https://evil.example/ ",
            "https://evil.example\n/",
            "https://ex%61mple.com/",
            "https://example.com%2f@evil.example/",
            "https://exаmple.com/",
            "https://example。com/",
            "https://example.com./",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://[::ffff:7f00:1]x/",
            "https://example.com:99999/",
            "https://example.com:/x",
            "https://example.com:0443/",
            "https://example.com/a/../b",
            "https://example.com/a/%2e%2e/b",
            "https://example.com/..;/b",
            "https://example.com//admin",
            "https://example.com/%61dmin",
            "https://example.com/%2fadmin",
            "https://example.com/%2561dmin",
            "https://example.com/a%00",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "ftp://example.com/",
            "",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(Address::read(&json!(["https://example.com"])), None);
    }
}
