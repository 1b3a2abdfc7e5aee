//! JSON strings: quoting and unquoting.

use bytes::{BufMut, BytesMut};

/// Unescapes the text between the quotes of a scanned JSON string. Invalid escapes become U+FFFD.
pub fn unquote(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if !text.contains('\\') {
        return text.into_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('b') => plain.push('\u{8}'),
            Some('f') => plain.push('\u{c}'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('u') => plain.push(unicode_escape(&mut rest)),
            Some(other) => plain.push(other),
            None => plain.push(char::REPLACEMENT_CHARACTER),
        }
    }
    plain
}

fn unicode_escape(rest: &mut std::str::Chars<'_>) -> char {
    let unit = |rest: &mut std::str::Chars<'_>| {
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | rest.next()?.to_digit(16)?))
    };
    let Some(first) = unit(rest) else { return char::REPLACEMENT_CHARACTER };
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let (Some('\\'), Some('u'), Some(second)) = (rest.next(), rest.next(), unit(rest)) else {
        return char::REPLACEMENT_CHARACTER;
    };
    let code = 0x10000 + ((first - 0xD800) << 10) + second.wrapping_sub(0xDC00);
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// `text` as a JSON string with quotes.
pub fn quote(text: &str) -> bytes::Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    out.freeze()
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Appends a member name as a JSON string.
pub(super) fn quote_name(out: &mut BytesMut, name: &[u8]) {
    // Checked without early exit, because nearly all names are plain.
    if name.iter().fold(true, |plain, byte| plain & is_plain(*byte) & byte.is_ascii()) {
        put_quoted(out, name);
    } else {
        quote_into(out, &String::from_utf8_lossy(name));
    }
}

/// Appends a text that needs no escapes.
fn put_quoted(out: &mut BytesMut, plain: &[u8]) {
    out.reserve(plain.len() + 2);
    out.put_u8(b'"');
    out.put_slice(plain);
    out.put_u8(b'"');
}

/// Appends `text` as a JSON string with quotes.
pub fn quote_into(out: &mut BytesMut, text: &str) {
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        return put_quoted(out, text.as_bytes());
    }
    out.put_u8(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.put_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            other => out.put_slice(format!("\\u{other:04x}").as_bytes()),
        }
    }
    out.put_slice(&text.as_bytes()[plain..]);
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quoting_agrees_with_serde_json(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text.clone());
            prop_assert_eq!(unquote(&quoted[1..quoted.len() - 1]), text.clone());
            let theirs = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unquote(&theirs.as_bytes()[1..theirs.len() - 1]), text.clone());
            let mut name = BytesMut::new();
            quote_name(&mut name, text.as_bytes());
            prop_assert_eq!(name, quoted);
        }
    }

    #[test]
    fn unquotes_surrogate_pairs() {
        assert_eq!(unquote(br"\ud83d\ude00\u0041"), "😀A");
    }
}
