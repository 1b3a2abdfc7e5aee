//! The value of a JSON string with the places of its characters.

use std::borrow::Cow;
use std::ops::Range;

use crate::map::Map;

/// The value of a JSON string.
#[derive(Debug)]
pub struct Unescaped<'a> {
    pub text: Cow<'a, str>,
    /// From the value to the whole JSON text.
    pub map: Map,
}

/// The value of the string whose contents are at `range` of a walked text. Half of a surrogate pair becomes U+FFFD.
pub fn unescape(text: &str, range: Range<usize>) -> Unescaped<'_> {
    let raw = text.get(range.clone()).unwrap_or_default();
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else {
        return Unescaped { text: raw.into(), map: Map::shift(range.start, raw.len()) };
    };
    let mut out = String::with_capacity(raw.len());
    let mut map = Map::default();
    map.verbatim(&mut out, range.start, &raw[..first]);
    let mut at = first;
    while at < raw.len() {
        let rest = &raw[at..];
        if let Some(plain) = plain(rest) {
            map.verbatim(&mut out, range.start + at, plain);
            at += plain.len();
            continue;
        }
        let (c, length) = escape(rest);
        let from = range.start + at;
        map.replaced(&mut out, from..from + length, c.encode_utf8(&mut [0; 4]));
        at += length;
    }
    Unescaped { text: out.into(), map }
}

/// The text up to the next escape, if any.
fn plain(rest: &str) -> Option<&str> {
    let length = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
    (length > 0).then(|| &rest[..length])
}

/// The character of the escape at the start of a text, and its length.
fn escape(rest: &str) -> (char, usize) {
    let bytes = rest.as_bytes();
    let c = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes),
        Some(byte) if byte.is_ascii() => char::from(*byte),
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (c, 2)
}

fn unicode(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 4)?;
        digits
            .iter()
            .try_fold(0u32, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    };
    let Some(first) = unit(2) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if (0xd800..0xdc00).contains(&first)
        && bytes.get(6..8) == Some(b"\\u")
        && let Some(second @ 0xdc00..=0xdfff) = unit(8)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_know_where_they_come_from() {
        let json = r#"{"k":"a\u0041\ud83d\ude00z\n"}"#;
        let value = unescape(json, 6..json.len() - 2);
        assert_eq!(value.text, "aA😀z\n");
        assert_eq!(&json[value.map.original(1..2)], r"\u0041");
        assert_eq!(&json[value.map.original(2..6)], r"\ud83d\ude00");
        assert_eq!(&json[value.map.original(6..8)], r"z\n");
        assert_eq!(&json[value.map.original(0..8)], r"a\u0041\ud83d\ude00z\n");
        assert_eq!(unescape(r#""\ud800x""#, 1..8).text, "\u{fffd}x");
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(&*unescape(&json, 1..json.len() - 1).text, &*text);
        }
    }
}
