//! Names as case-insensitive parsers see them.

use std::borrow::Cow;

use crate::display::is_harmful;

/// The form of a name to a case-insensitive parser. Go's `encoding/json` folds (the Kelvin sign is `k`, the long
/// s is `s`), Java and JavaScript compare in upper case (the dotless i is `I`). Names that are equal to any of
/// them are equal here.
pub fn fold(name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if name.is_ascii() {
        if name.iter().any(u8::is_ascii_uppercase) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        return name;
    }
    let folded: String = String::from_utf8_lossy(&name)
        .chars()
        // Its lower case is an i with a combining dot.
        .map(|c| if c == 'İ' { 'i' } else { c })
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    Cow::Owned(folded.into_bytes())
}

/// Whether two names are equal to a case-insensitive parser.
pub fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
        || (!(one.is_ascii() && other.is_ascii()) && *fold(one.into()) == *fold(other.into()))
}

/// Whether some server may read a name as a known one: it ignores case, truncates at NUL, ignores white space and
/// invisible characters, reads `name[]` as a list, or compares compatibility forms (UAX 15).
pub fn may_be_read_as(name: &[u8], known: &[u8]) -> bool {
    is_same_name(&bare(name), known)
}

fn bare(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Cow::Borrowed(name);
    }
    let text = String::from_utf8_lossy(name);
    let text = text.split('\0').find(|part| !part.is_empty()).unwrap_or_default();
    let seen: String = text
        .chars()
        .filter(|c| !is_harmful(*c))
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            c => c,
        })
        .collect();
    let seen = seen.trim().trim_end_matches('.');
    let seen = seen.split_once('[').map_or(seen, |(before, _)| before);
    Cow::Owned(seen.trim().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_to_any_parser_are_equal() {
        for (one, other) in [
            ("sql", "SQL"),
            ("sql", "\u{17f}ql"),
            ("key", "\u{212a}ey"),
            ("id", "\u{131}d"),
            ("id", "\u{130}D"),
            ("file", "\u{fb01}le"),
            ("\u{e5}", "\u{212b}"),
            ("stra\u{df}e", "STRASSE"),
        ] {
            assert!(is_same_name(one.as_bytes(), other.as_bytes()), "{one} {other}");
            assert!(is_same_name(other.as_bytes(), one.as_bytes()), "{other} {one}");
        }
        for (one, other) in [("sql", "sq"), ("\u{e9}", "e"), ("", "a")] {
            assert!(!is_same_name(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
    }

    #[test]
    fn names_that_a_server_may_confuse_are_found() {
        for name in [
            "sql",
            "SQL",
            "sql\0",
            "sql\0x",
            "\0sql",
            "sql ",
            " sql",
            "\tsql\n",
            "s\u{ad}ql",
            "sq\u{200b}l",
            "\u{ff53}\u{ff51}\u{ff4c}",
            "sql.",
            "sql[]",
            "sql[0]",
            "sql [] ",
            "\u{a0}sql",
            "s\u{7f}ql",
        ] {
            assert!(may_be_read_as(name.as_bytes(), b"sql"), "{name:?}");
        }
        for name in ["sq", "sql2", "my sql", "sql.a", "a[sql]", "s_ql", ""] {
            assert!(!may_be_read_as(name.as_bytes(), b"sql"), "{name:?}");
        }
    }
}
