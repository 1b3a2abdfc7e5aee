//! Markup and escapes that hide the letters of a text: HTML entities and comments, backslash escapes, percent encoding.

use std::ops::Range;

use crate::map::Map;

/// Where a text has backslash escapes, percent encoding or numeric entities: parts that reach `around` bytes before and
/// behind them, without overlaps.
pub fn escaped_parts(text: &str, around: usize) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for at in memchr::memchr3_iter(b'\\', b'%', b'&', text.as_bytes()) {
        let Some((Some(_), length)) = value_escape(&text[at..]) else { continue };
        let end = (at + length + around).min(text.len());
        match parts.last_mut() {
            Some(last) if at.saturating_sub(around) <= last.end => last.end = end,
            _ => parts.push(at.saturating_sub(around)..end),
        }
    }
    for part in &mut parts {
        while !text.is_char_boundary(part.start) {
            part.start -= 1;
        }
        while !text.is_char_boundary(part.end) {
            part.end += 1;
        }
    }
    parts
}

/// An escape that values are written with: of entities, numeric ones, `&commat;`, `&colon;` and `&period;`.
fn value_escape(rest: &str) -> Option<Escape> {
    match rest.as_bytes() {
        [b'&', b'#' | b'c' | b'p', ..] | [b'\\' | b'%', ..] => escape(rest),
        _ => None,
    }
}

/// A text with its escapes read once, and the map to it. `None` if it has none.
pub fn unescaped(text: &str) -> Option<(String, Map)> {
    let (mut out, mut map) = (String::with_capacity(text.len()), Map::default());
    let mut done = 0;
    for at in memchr::memchr3_iter(b'\\', b'%', b'&', text.as_bytes()) {
        if at < done {
            continue;
        }
        let Some((Some(c), length)) = value_escape(&text[at..]) else { continue };
        map.verbatim(&mut out, done, &text[done..at]);
        map.replaced(&mut out, at..at + length, c.encode_utf8(&mut [0; 4]));
        done = at + length;
    }
    if done == 0 {
        return None;
    }
    map.verbatim(&mut out, done, &text[done..]);
    Some((out, map))
}

/// What an escape at the start of a text stands for (`None`: nothing that is seen), and its length.
pub(super) type Escape = (Option<char>, usize);

/// Reads the escape at the start of a text.
pub(super) fn escape(rest: &str) -> Option<Escape> {
    match rest.as_bytes().first()? {
        b'&' => entity(rest),
        b'\\' => backslash(rest),
        b'%' => percent(rest),
        b'<' => rest.starts_with("<!--").then_some((Some('\n'), 4)),
        b'-' => rest.starts_with("-->").then_some((Some('\n'), 3)),
        _ => None,
    }
}

/// `&lt;`, `&#105;`, `&#x69;`.
fn entity(rest: &str) -> Option<Escape> {
    let end = rest.bytes().take(12).position(|byte| byte == b';')?;
    let name = &rest[1..end];
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            // What is not seen is left out.
            char::from_u32(code).filter(|c| super::unseen::kind(*c).is_none())
        }
        None => Some(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
            "NewLine" => '\n',
            "Tab" => '\t',
            "colon" => ':',
            "sol" => '/',
            "period" => '.',
            "comma" => ',',
            "lpar" => '(',
            "rpar" => ')',
            "excl" => '!',
            "commat" => '@',
            "shy" | "zwnj" | "zwj" | "ZeroWidthSpace" | "lrm" | "rlm" | "NoBreak" => {
                return Some((None, end + 1));
            }
            _ => return None,
        }),
    };
    Some((c, end + 1))
}

/// `\u0069`, `\u{69}`, `\x69`, `\n`, `\t`, `\r`.
fn backslash(rest: &str) -> Option<Escape> {
    let bytes = rest.as_bytes();
    let hex = |from: usize, length: usize| {
        let digits = rest.get(from..from + length)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let (code, length) = match bytes.get(1)? {
        b'u' if bytes.get(2) == Some(&b'{') => {
            let end = rest.bytes().take(10).position(|byte| byte == b'}')?;
            (u32::from_str_radix(rest.get(3..end)?, 16).ok()?, end + 1)
        }
        b'u' => (hex(2, 4)?, 6),
        b'x' => (hex(2, 2)?, 4),
        b'n' => return Some((Some('\n'), 2)),
        b'r' | b't' => return Some((Some(' '), 2)),
        _ => return None,
    };
    Some((char::from_u32(code).filter(|c| super::unseen::kind(*c).is_none()), length))
}

/// `%69`, for printable ASCII only.
fn percent(rest: &str) -> Option<Escape> {
    let digits =
        rest.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    matches!(byte, b' '..=b'~' | b'\n').then_some((Some(char::from(byte)), 3))
}
