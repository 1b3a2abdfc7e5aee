//! Names as parsers see them that do not mind the case.

use std::borrow::Cow;

/// A name as a parser that ignores case could read it. Go's `encoding/json` folds (the Kelvin sign is `k`, the long s
/// is `s`), Java and JavaScript compare in capitals (the dotless i is `I`): what is one name to any of them is one here.
pub fn fold(name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if name.is_ascii() {
        if name.iter().any(u8::is_ascii_uppercase) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        return name;
    }
    let folded: String = String::from_utf8_lossy(&name)
        .chars()
        // In lower case it is an i and a dot of its own.
        .map(|c| if c == 'İ' { 'i' } else { c })
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    Cow::Owned(folded.into_bytes())
}

/// Whether two names are one to a parser that ignores case.
pub fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
        || (!(one.is_ascii() && other.is_ascii()) && *fold(one.into()) == *fold(other.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_to_any_parser_is_one_here() {
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
}
