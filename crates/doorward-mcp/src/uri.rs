//! URIs that are not what they seem: those that step out of the place that they name
//! (`file:///srv/pub/../../etc/passwd`), and those that name a place in other letters (`file:///%73ecret`).
//!
//! Policies and portals compare URIs as texts, servers resolve them (RFC 3986 section 6.2.2), and each server decodes
//! in its own way. So what any of them could take for a `.` or `..` segment is found here: plain, encoded, encoded
//! again, before a path parameter (`..;x`), and divided by backslashes. And what some server may take a URI for is told
//! ([`Readings`]), to be compared as well.

mod readings;

use std::borrow::Cow;

use percent_encoding::percent_decode;

pub use self::readings::{Readings, readings};

/// How often a server may decode what it gets.
const DECODINGS: usize = 3;

/// Why such a URI is refused.
pub const WHY: &str = "must not have '.' or '..' as a segment of its path, plain or encoded";

/// Whether one of a URI's segments is `.` or `..` to somebody who reads it.
pub fn has_dot_segment(uri: &str) -> bool {
    is_stepping(divided(uri).1.as_bytes())
}

/// Whether a text that becomes part of a URI, such as a variable of a URI template, brings such a segment.
pub fn has_dot_segment_in_value(value: &str) -> bool {
    is_stepping(value.as_bytes())
}

/// Its scheme, with the colon, and what follows; some have none.
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

fn is_stepping(text: &[u8]) -> bool {
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
    false
}

fn has_plain_dot_segment(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        // What browsers' parsers pass over (WHATWG URL section 4.4), and what some servers cut off at the end.
        let mut seen = name.iter().filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
        let mut dots = 0;
        loop {
            match seen.next() {
                Some(b'.') if dots < 2 => dots += 1,
                Some(byte) if dots > 0 && *byte <= b' ' => return seen.all(|byte| *byte <= b' '),
                Some(_) => return false,
                None => return dots > 0,
            }
        }
    })
}

/// The text with its escapes taken away once; `None` if it has none.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    match percent_decode(text).into() {
        Cow::Borrowed(_) => None,
        Cow::Owned(plain) => Some(without_long_forms(plain)),
    }
}

/// Old decoders take two bytes for a dot or a slash (overlong UTF-8).
fn without_long_forms(text: Vec<u8>) -> Vec<u8> {
    if !text.contains(&0xc0) && !text.contains(&0xc1) {
        return text;
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        match (first, behind.split_first()) {
            (0xc0 | 0xc1, Some((second @ 0x80..=0xbf, behind))) => {
                plain.push((first & 1) << 6 | (second & 0x3f));
                rest = behind;
            }
            _ => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steps_out_is_found_in_every_form() {
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
}
