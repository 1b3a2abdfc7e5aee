//! Characters that are not seen, or that change how others are seen: invisible characters, bidirectional controls, tag
//! characters, control characters, variation selectors, and terminal escapes (attack T15).
//!
//! Kept are: tabs and line breaks, joiners and selectors within emoji and flags, and joiners between letters of scripts that
//! are spelled with them.

use std::ops::Range;

/// What kind of invisible character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unseen {
    /// Zero-width and blank characters.
    Invisible,
    /// Bidirectional overrides, embeddings, isolates and marks.
    Bidi,
    /// Tag characters (U+E0000 to U+E007F), which spell hidden ASCII.
    Tag,
    /// Control characters but tab and line breaks.
    Control,
    /// Variation selectors outside emoji, which can encode hidden bytes.
    Selector,
    /// A terminal escape sequence.
    Ansi,
}

impl Unseen {
    /// A stable name: `invisible`, `bidi`, `tag`, `control`, `selector`, `ansi`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invisible => "invisible",
            Self::Bidi => "bidi",
            Self::Tag => "tag",
            Self::Control => "control",
            Self::Selector => "selector",
            Self::Ansi => "ansi",
        }
    }
}

/// A part of a text that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub kind: Unseen,
    /// In bytes of the text.
    pub range: Range<usize>,
}

/// The kind of a character that is not seen, wherever it is.
pub(super) fn kind(c: char) -> Option<Unseen> {
    Some(match c {
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Unseen::Control,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Unseen::Bidi
        }
        '\u{fe00}'..='\u{fe0f}'
        | '\u{e0100}'..='\u{e01ef}'
        | '\u{180b}'..='\u{180d}'
        | '\u{180f}' => Unseen::Selector,
        '\u{e0000}'..='\u{e007f}' => Unseen::Tag,
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e0fff}' => Unseen::Invisible,
        _ => return None,
    })
}

/// All unseen parts of a text, in order. Neighbours of the same kind are one part.
pub fn unseen(text: &str) -> Vec<Removed> {
    let mut found: Vec<Removed> = Vec::new();
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return found;
    }
    let mut before = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match c {
            '\u{1b}' | '\u{9b}' => (Some(Unseen::Ansi), escape_length(rest)),
            '\u{1f3f4}' => (None, flag_length(rest)),
            c => (kind(c).filter(|_| !is_needed(before, c, &rest[c.len_utf8()..])), c.len_utf8()),
        };
        match kind {
            None => before = Some(c),
            Some(kind) => match found.last_mut() {
                Some(last) if last.kind == kind && last.range.end == at => {
                    last.range.end = at + length;
                }
                _ => found.push(Removed { kind, range: at..at + length }),
            },
        }
        at += length;
    }
    found
}

/// A text without its unseen parts; `None` if it has none.
pub fn strip(text: &str) -> Option<(String, Vec<Removed>)> {
    let removed = unseen(text);
    if removed.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for part in &removed {
        out.push_str(&text[done..part.range.start]);
        done = part.range.end;
    }
    out.push_str(&text[done..]);
    Some((out, removed))
}

/// Whether an invisible character belongs where it is. `before` is the last character that is retained.
fn is_needed(before: Option<char>, c: char, rest: &str) -> bool {
    let after = rest.chars().next();
    match c {
        '\r' => after == Some('\n'),
        '\u{fe0f}' => before.is_some_and(|before| {
            is_pictorial(before)
                || (matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20e3}'))
        }),
        '\u{fe0e}' => before.is_some_and(is_pictorial),
        '\u{200d}' => {
            before.is_some_and(|before| is_pictorial(before) || matches!(before, '\u{fe0f}'))
                && after.is_some_and(is_pictorial)
                || is_joined(before, after)
        }
        '\u{200c}' => is_joined(before, after),
        _ => false,
    }
}

/// Both are letters of scripts in which joiners distinguish words.
fn is_joined(before: Option<char>, after: Option<char>) -> bool {
    let joins = |c: Option<char>| {
        c.is_some_and(|c| matches!(c, '\u{620}'..='\u{77f}' | '\u{8a0}'..='\u{1055}' | '\u{1780}'..='\u{17b3}' | '\u{1820}'..='\u{18aa}') && !c.is_ascii())
    };
    joins(before) && joins(after)
}

/// Symbols that have an emoji form, and what emoji are made of.
fn is_pictorial(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{20e3}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}'
        | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// The length of a flag of a region (England, Scotland, Wales), which is spelled with tags, or that of its first character.
fn flag_length(rest: &str) -> usize {
    const FLAG: usize = 4;
    for region in ["gbeng", "gbsct", "gbwls"] {
        let tags = region
            .chars()
            .map(|c| char::from_u32(0xe0000 + u32::from(c)))
            .chain([Some('\u{e007f}')]);
        if rest[FLAG..].chars().map(Some).zip(tags).filter(|(one, other)| one == other).count() == 6
        {
            return FLAG + 6 * 4;
        }
    }
    FLAG
}

/// The length of the terminal escape at the start of a text (ECMA-48): control sequences, and strings such as titles and
/// links up to their end or the end of the line.
fn escape_length(rest: &str) -> usize {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let (introducer, body) = match rest.as_bytes() {
        [0x1b, byte, ..] if byte.is_ascii() => (*byte, 2),
        [0x1b, ..] => return 1,
        _ => (b'[', first),
    };
    let bytes = rest.as_bytes();
    match introducer {
        b'[' => {
            let parameters =
                bytes[body..].iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
            match bytes.get(body + parameters) {
                Some(0x40..=0x7e) => body + parameters + 1,
                _ => body,
            }
        }
        b']' | b'P' | b'^' | b'_' | b'X' => {
            let length =
                bytes[body..].iter().take_while(|byte| !matches!(byte, 7 | 0x1b | b'\n')).count();
            match (bytes.get(body + length), bytes.get(body + length + 1)) {
                (Some(7), _) => body + length + 1,
                (Some(0x1b), Some(b'\\')) => body + length + 2,
                // Not ended: only its beginning.
                _ => body,
            }
        }
        0x40..=0x7e => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_seen_is_found() {
        for (text, clean, kind) in [
            ("a\u{200b}b", "ab", Unseen::Invisible),
            ("a\u{202e}b", "ab", Unseen::Bidi),
            ("a\u{e0041}\u{e0042}b", "ab", Unseen::Tag),
            ("a\u{8}b", "ab", Unseen::Control),
            ("a\rb", "ab", Unseen::Control),
            ("a\u{fe0f}b", "ab", Unseen::Selector),
            ("a\u{e0100}b", "ab", Unseen::Selector),
            ("a\u{1b}[31;1mb", "ab", Unseen::Ansi),
            ("a\u{1b}]8;;http://x\u{7}b", "ab", Unseen::Ansi),
            ("a\u{9b}2Jb", "ab", Unseen::Ansi),
            ("a\u{200d}b", "ab", Unseen::Invisible),
        ] {
            let (stripped, removed) = strip(text).unwrap();
            assert_eq!((&*stripped, removed.len(), removed[0].kind), (clean, 1, kind), "{text:?}");
        }
    }

    #[test]
    fn what_belongs_there_is_retained() {
        for text in [
            "a\tb\nc\r\nd",
            "naïve 日本語 Ελλάδα привет",
            "❤️ ☎️ 1️⃣ 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
        ] {
            assert_eq!(strip(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn stripped_text_has_nothing_to_strip(text in any::<String>(), tail in "[\u{1b}\\[\\]0-9mJ\u{7}\u{200d}\u{fe0f}😀\r\n\u{200b}a]*") {
            for text in [&*text, &*tail] {
                let stripped = strip(text).map_or(text.to_owned(), |(stripped, _)| stripped);
                prop_assert_eq!(unseen(&stripped), vec![]);
            }
        }
    }
}
