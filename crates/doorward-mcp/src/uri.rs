//! Deceptive URIs: those that leave the place that they name (`file:///srv/pub/../../etc/passwd`), and those that are
//! spelt differently from what they mean (`file:///%73ecret`).
//!
//! Policies and portals compare URIs as texts, servers resolve them (RFC 3986 section 6.2.2), and each server decodes
//! in its own way. Everything that a server could interpret as a `.` or `..` segment is found here: plain, encoded,
//! encoded twice, before a path parameter (`..;x`), and separated by backslashes. The interpretations of a URI
//! ([`Readings`]) are compared as well.

mod readings;

use std::borrow::Cow;

pub use self::readings::{Readings, readings};

use crate::display;

/// Maximum length of a URI from a client, in bytes.
pub const LONGEST: usize = 8 << 10;

/// Maximum number of times a server is assumed to decode a URI.
const DECODINGS: usize = 3;

/// The reason in the error for such a URI.
pub const WHY: &str = "must not have '.' or '..' as a segment of its path, plain or encoded";

/// Whether a URI has a segment that a server could interpret as `.` or `..`.
pub fn has_dot_segment(uri: &str) -> bool {
    contains_dot_segment(divided(uri).1.as_bytes())
}

/// Whether a value to be inserted into a URI, such as a variable of a URI template, contains such a segment.
pub fn has_dot_segment_in_value(value: &str) -> bool {
    contains_dot_segment(value.as_bytes())
}

/// Splits a URI into its scheme with the colon, which may be empty, and the rest.
fn divided(uri: &str) -> (&str, &str) {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match uri.find(':') {
        Some(colon) if is_scheme(&uri[..colon]) => uri.split_at(colon + 1),
        _ => ("", uri),
    }
}

fn contains_dot_segment(text: &[u8]) -> bool {
    let mut text = Cow::Borrowed(text);
    for _ in 0..=DECODINGS {
        if has_plain_dot_segment(&text) {
            return true;
        }
        match decoded(&text) {
            Some(plain) => text = Cow::Owned(plain),
            None => return false,
        }
    }
    // Encoded more often than any legitimate URI.
    true
}

fn has_plain_dot_segment(text: &[u8]) -> bool {
    as_read(text).split(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).any(|segment| {
        let name = segment.split(|byte| matches!(byte, b';' | 0)).next().unwrap_or_default();
        // Characters that browsers ignore (WHATWG URL section 4.4), and that some servers strip.
        let mut seen = name.iter().filter(|byte| **byte > b' ' && **byte != 0x7f);
        let first = seen.next();
        first == Some(&b'.')
            && seen.next().is_none_or(|second| *second == b'.' && seen.next().is_none())
    })
}

/// Decodes percent-encoding once, including JavaScript's `escape` (`%uXXXX`); `None` if there is none.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(at) = memchr::memchr(b'%', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some((byte, behind)) = hexadecimal(rest, 2) {
            plain.push(byte as u8);
            rest = behind;
        } else if let Some((code, behind)) =
            rest.strip_prefix(b"u").and_then(|it| hexadecimal(it, 4))
        {
            let read = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            plain.extend_from_slice(read.encode_utf8(&mut [0; 4]).as_bytes());
            rest = behind;
        } else {
            plain.push(b'%');
            continue;
        }
        found = true;
    }
    plain.extend_from_slice(rest);
    found.then_some(plain)
}

fn hexadecimal(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (digits, behind) = text.split_at_checked(digits)?;
    let value = digits
        .iter()
        .try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))?;
    Some((value, behind))
}

/// The text as some server may interpret it: overlong UTF-8 is decoded, characters whose compatibility form (UAX
/// 15) is a dot or slash are replaced, and invisible characters are removed.
fn as_read(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut read = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        let (byte, length) = match rest {
            [0..=0x7f, ..] => (*first, 1),
            [0xc0 | 0xc1, last, ..] => ((first & 1) << 6 | (last & 0x3f), 2),
            [0xe0, 0x80 | 0x81, last @ 0x80..=0xbf, ..] => ((rest[1] & 1) << 6 | (last & 0x3f), 3),
            [0xf0, 0x80, 0x80 | 0x81, last @ 0x80..=0xbf, ..] => {
                ((rest[2] & 1) << 6 | (last & 0x3f), 4)
            }
            _ => {
                let length = rest
                    .utf8_chunks()
                    .next()
                    .map_or(0, |chunk| chunk.valid().chars().next().map_or(0, char::len_utf8));
                let (one, behind) = rest.split_at(length.max(1));
                match std::str::from_utf8(one).ok().and_then(|one| one.chars().next()) {
                    Some('\u{ff0e}' | '\u{fe52}' | '\u{2024}') => read.push(b'.'),
                    Some('\u{2025}') => read.extend(b".."),
                    Some('\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{29f8}') => read.push(b'/'),
                    Some('\u{ff3c}' | '\u{fe68}' | '\u{2216}' | '\u{29f5}') => read.push(b'\\'),
                    Some('\u{ff1b}') => read.push(b';'),
                    Some(c) if c.is_whitespace() => read.push(b' '),
                    Some(c) if display::is_harmful(c) || c == '\u{fe0f}' => {}
                    _ => read.extend_from_slice(one),
                }
                rest = behind;
                continue;
            }
        };
        read.push(byte);
        rest = &rest[length..];
    }
    Cow::Owned(read)
}

/// Whether a URI may be an expansion of a template (RFC 6570), whatever its expressions stand for; a template is an
/// expansion of itself. Takes time in proportion to both lengths at worst.
pub fn may_expand(template: &str, uri: &str) -> bool {
    let mut literals = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        literals.push(literal);
        match after.split_once('}') {
            Some((_, after)) => rest = after,
            // What is not closed is no template.
            None => return template == uri,
        }
    }
    let Some((first, between)) = literals.split_first() else { return template == uri };
    let Some(mut left) = uri.strip_prefix(first).and_then(|left| left.strip_suffix(rest)) else {
        return false;
    };
    between.iter().all(|literal| match left.split_once(literal) {
        Some((_, after)) => {
            left = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_in_every_form() {
        for path in [
            "file:///srv/pub/../../etc/passwd",
            "file:///srv/pub/./a",
            "file:///srv/pub/..",
            "file:///srv/pub/.",
            "a+file:///srv/pub/../x",
            "file:///srv/pub/%2e%2e/x",
            "file:///srv/pub/%2E./x",
            "file:///srv/pub/.%2e%2fx",
            "file:///srv/pub/..%2fx",
            "file:///srv/pub/..%5cx",
            "file:///srv/pub/..\\x",
            "file:///srv/pub/%252e%252e/x",
            "file:///srv/pub/%252e%252e%252fx",
            "file:///srv/pub/..%252fx",
            "file:///srv/pub/%2%65%2%65/x",
            "file:///srv/pub/..;/x",
            "file:///srv/pub/..;a=b/x",
            "file:///srv/pub/%2e%2e%3b/x",
            "file:///srv/pub/%c0%ae%c0%ae/x",
            "file:///srv/pub/..%c0%afx",
            "file:///srv/pub/.%09./x",
            "file:///srv/pub/..%00/x",
            "file:///srv/pub/.. /x",
            "file:///srv/pub/..?x",
            "file:///srv/pub/..#x",
            "file:///srv/pub/%e0%80%ae%e0%80%ae/x",
            "file:///srv/pub/%f0%80%80%ae%f0%80%80%ae/x",
            "file:///srv/pub/..%e0%80%afx",
            "file:///srv/pub/%c0%2e%c0%2e/x",
            "file:///srv/pub/..%c1%1cx",
            "file:///srv/pub/%u002e%u002e/x",
            "file:///srv/pub/..%u2215x",
            "file:///srv/pub/\u{ff0e}\u{ff0e}/x",
            "file:///srv/pub/%EF%BC%8E%EF%BC%8E/x",
            "file:///srv/pub/..%ef%bc%8fx",
            "file:///srv/pub/..\u{2215}x",
            "file:///srv/pub/\u{2025}/x",
            "file:///srv/pub/..%1fx/../y",
            "file:///srv/pub/..%1f/x",
            "file:///srv/pub/..%00.txt",
            "file:///srv/pub/.\u{200b}./x",
            "file:///srv/pub/.%C2%AD./x",
            "file:///srv/pub/.%01./x",
            "file:///srv/pub/%20../x",
            "file:///srv/pub/%25252525%32e%2e/x",
            "file:../x",
            "../x",
            "mem:..",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "file:///srv/pub/a.b/..c/d../...",
            "file:///srv/pub/.hidden",
            "https://a.example/x?range=1..2",
            "https://a.example/x%2Ey/%25",
            "https://a.example/%E9t%C3%A9/\u{e9}/\u{ff0e}a/%C0",
            "https://a.example/%20/ /%u002",
            "mem:a.b",
            "file:///100%/x",
            "note://{path}/x",
            "v1.2:x",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
        assert!(has_dot_segment_in_value("..%2Fadmin") && has_dot_segment_in_value(".."));
        assert!(!has_dot_segment_in_value("a..b") && !has_dot_segment_in_value(""));
    }

    #[test]
    fn a_uri_is_told_from_what_a_template_cannot_make() {
        for (template, uri, may) in [
            ("file:///{path}", "file:///etc/passwd", true),
            ("file:///{path}", "file:///", true),
            ("file:///{path}", "https://a/", false),
            ("a:{x}/b/{y}.md", "a:1/b/2.md", true),
            ("a:{x}/b/{y}.md", "a:1/b/2.txt", false),
            ("a:{x}/b/{y}.md", "a:1/c/2.md", false),
            ("a:{x}/{y}/{z}", "a:1/2", false),
            ("a:{+x}{?q,r}", "a:1?q=2", true),
            ("a:1", "a:1", true),
            ("a:1", "a:12", false),
            ("a:{x", "a:1", false),
            ("a:{x}aa", "a:a", false),
        ] {
            assert_eq!(may_expand(template, uri), may, "{template} {uri}");
        }
    }
}
