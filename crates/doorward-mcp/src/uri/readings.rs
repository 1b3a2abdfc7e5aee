//! How servers may interpret a URI: other spellings of the same place.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{DECODINGS, as_read, decoded, divided, hexadecimal};

/// ASCII characters that must be encoded in a URI (RFC 3986 section 2).
const NOT_PLAIN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Other forms of a URI.
#[derive(Debug, PartialEq, Eq)]
pub struct Readings {
    pub others: Vec<String>,
    /// The URI is obfuscated: it encodes a character that need not be encoded, a separator, or an escape. Such a URI
    /// must be permitted in each of its forms; for others it is sufficient that no form is forbidden.
    pub is_hidden: bool,
}

/// The other forms of a URI: without unnecessary escapes (RFC 3986 section 6.2.2), completely decoded, and the
/// decoded form encoded again. `None` if there are none.
pub fn readings(uri: &str) -> Option<Readings> {
    let parts = Parts::of(uri);
    if parts.are_plain() {
        return None;
    }
    let plain = parts.decoded();
    let mut others =
        vec![utf8_percent_encode(&plain, NOT_PLAIN).to_string(), parts.normal(), plain];
    others.sort_unstable();
    others.dedup();
    others.retain(|other| other != uri);
    (!others.is_empty()).then(|| Readings { others, is_hidden: parts.are_obfuscated() })
}

/// The parts of a URI that are interpreted differently.
struct Parts<'a> {
    /// With its colon.
    scheme: &'a str,
    /// With the preceding slashes; empty if there is none.
    authority: &'a str,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Self {
        let (scheme, rest) = divided(uri);
        let is_divider = |c: char| matches!(c, '/' | '\\' | '?' | '#');
        let authority = rest
            .strip_prefix("//")
            .map_or(0, |after| 2 + after.find(is_divider).unwrap_or(after.len()));
        let (authority, rest) = rest.split_at(authority);
        Self { scheme, authority, rest }
    }

    /// Whether there is only one interpretation, as for most URIs.
    fn are_plain(&self) -> bool {
        let is_plain = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b'\\');
        let lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        lower(self.scheme)
            && lower(self.authority)
            && self.authority.bytes().chain(self.rest.bytes()).all(is_plain)
            && !self.path().contains("//")
            && !(self.is_file() && self.authority != "//")
    }

    fn is_file(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("file:")
    }

    fn path(&self) -> &str {
        self.rest.split(['?', '#']).next().unwrap_or_default()
    }

    /// Without escapes of unreserved characters; the others in upper case.
    fn normal(&self) -> String {
        let mut normal = self.lower().into_bytes();
        let mut rest = self.rest.as_bytes();
        while let Some((first, behind)) = rest.split_first() {
            match escaped(rest) {
                Some(byte) if is_unreserved(byte) => normal.push(byte),
                Some(_) => normal.extend(rest[..3].iter().map(u8::to_ascii_uppercase)),
                None => {
                    normal.push(*first);
                    rest = behind;
                    continue;
                }
            }
            rest = &rest[3..];
        }
        String::from_utf8_lossy(&normal).into_owned()
    }

    /// Scheme and authority in lower case, because they are case-insensitive (RFC 3986 section 6.2.2.1).
    fn lower(&self) -> String {
        let mut lower = self.scheme.to_ascii_lowercase();
        let host = self.authority.rfind('@').map_or(0, |at| at + 1);
        lower.push_str(&self.authority[..host]);
        lower.push_str(&self.authority[host..].to_ascii_lowercase());
        lower
    }

    /// Completely decoded, with backslashes as slashes and repeated slashes merged, as some servers read it.
    fn decoded(&self) -> String {
        let rest = decoded_all(self.rest);
        let rest: String = rest.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let (path, after) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let mut path = path.replace('\\', "/");
        if self.is_file() {
            // A file has several URIs: `file:/a`, `file:///a`, `file://localhost/a` (RFC 8089 appendix B).
            let host = decoded_all(self.authority).trim_start_matches('/').to_ascii_lowercase();
            let host = if host == "localhost" { "" } else { &*host };
            return format!("file://{host}/{}{after}", merged(path.trim_start_matches('/')));
        }
        if !self.authority.is_empty() {
            path = merged(&path);
        }
        format!("{}{path}{after}", decoded_all(&self.lower()).to_lowercase())
    }

    fn are_obfuscated(&self) -> bool {
        let text = self.rest.as_bytes();
        let hides = |byte: u8| {
            is_unreserved(byte)
                || matches!(byte, b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f | 0xc0 | 0xc1)
        };
        (0..text.len()).any(|at| escaped(&text[at..]).is_some_and(hides))
            || text.iter().any(|byte| *byte == b'\\' || byte.is_ascii_control())
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The byte at the start of a text, if it is percent-encoded.
fn escaped(text: &[u8]) -> Option<u8> {
    let (byte, _) = hexadecimal(text.strip_prefix(b"%")?, 2)?;
    u8::try_from(byte).ok()
}

fn decoded_all(text: &str) -> Cow<'_, str> {
    let mut plain = Cow::Borrowed(text.as_bytes());
    for _ in 0..DECODINGS {
        match decoded(&plain) {
            Some(further) => plain = Cow::Owned(further),
            None => break,
        }
    }
    match as_read(&plain) {
        Cow::Borrowed(read) if read.len() == text.len() => Cow::Borrowed(text),
        read => Cow::Owned(String::from_utf8_lossy(&read).into_owned()),
    }
}

/// Merges repeated slashes.
fn merged(path: &str) -> String {
    let mut last = ' ';
    path.chars().filter(|c| std::mem::replace(&mut last, *c) != '/' || *c != '/').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_in_a_policy_is_found_in_every_form() {
        let secret = "file:///srv/secret/a b";
        for uri in [
            "file:///srv/%73ecret/a%20b",
            "file:///srv/%2573ecret/a%2520b",
            "file:///srv/%252573ecret/a%20b",
            "file:///srv/secret/a%20b",
            "file:///srv%2Fsecret/a%20b",
            "file:///srv%5csecret/a%20b",
            "file:///srv\\secret/a b",
            "file:///srv//secret///a%20b",
            "file://///srv/secret/a%20b",
            "FILE:///srv/secret/a%20b",
            "file:/srv/secret/a%20b",
            "file:srv/secret/a%20b",
            "file://localhost/srv/secret/a%20b",
            "file://LocalHost/srv/secret/a%20b",
            "file:///srv/se%09cret/a%20b",
            "file:///srv/%c1%b3ecret/a%20b",
        ] {
            let Readings { others, .. } = readings(uri).unwrap();
            assert!(others.iter().any(|other| other == secret), "{uri}: {others:?}");
        }
        let of = |uri: &str| readings(uri).map(|it| it.others).unwrap_or_default();
        // Policies that contain escapes match as well.
        assert!(of("mem://a/é%2fb").contains(&"mem://a/é%2Fb".to_owned()));
        assert!(of("mem://a/a b").contains(&"mem://a/a%20b".to_owned()));
        assert!(of("mem://a/%C3%A9").contains(&"mem://a/é".to_owned()));
        assert!(of("mem://a/é").contains(&"mem://a/%C3%A9".to_owned()));
        assert!(of("https://u@A.example/B").contains(&"https://u@a.example/B".to_owned()));
        for uri in ["file:///srv/a.txt?b=c#d", "mem:a//b", "note://x/y_z~(1)", "a", ""] {
            assert_eq!(readings(uri), None, "{uri}");
        }
    }

    #[test]
    fn only_obfuscated_uris_are_checked_in_every_form() {
        for (uri, hidden) in [
            ("file:///a%20b", false),
            ("mem://a/%c3%a9", false),
            ("mem://A/b", false),
            ("https://a.example/x//y", false),
            ("file:///%61", true),
            ("file:///a%2fb", true),
            ("file:///a%255fb", true),
            ("file:///a\\b", true),
            ("file:///a%00b", true),
        ] {
            assert_eq!(readings(uri).unwrap().is_hidden, hidden, "{uri}");
        }
    }
}
