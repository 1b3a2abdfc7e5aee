//! The folded form of a text, in which phrases are found however they are written: lower case, plain letters, single
//! blanks, without what is not seen, with entities, comments and escapes opened.

use std::ops::Range;

use super::letters::plain;
use super::markup::escape;
use super::unseen;
use crate::map::Map;

/// A text in folded form.
#[derive(Debug, Default)]
pub struct Folded {
    pub text: String,
    /// To the original.
    pub map: Map,
    /// Where HTML comments with contents are, in the original.
    pub comments: Vec<Range<usize>>,
    /// Letters that were written as escapes or entities: how many, and where the last one is, in the original.
    pub escaped: (usize, Range<usize>),
}

/// Folds a text. The result has at most four times its length.
///
/// Hyphens and underscores become blanks, a run of white space one blank, or one line break if it contains a break.
/// Emphasis (`*`, backquotes) is left out. Tag characters become the ASCII that they spell.
pub fn fold(text: &str) -> Folded {
    let mut folding = Folding { out: Folded::default(), space: None };
    folding.out.text.reserve(text.len());
    let mut comment = None;
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => folding.byte(byte, at),
            b'A'..=b'Z' => folding.byte(byte.to_ascii_lowercase(), at),
            b' ' | b'\t' | b'_' => folding.blank(at, 1, false),
            b'\n' | b'\r' => folding.blank(at, 1, true),
            b'*' | b'`' | 0x1b => {}
            b'&' | b'\\' | b'%' | b'<' | b'-' => {
                let rest = &text[at..];
                if let Some((c, length)) = escape(rest) {
                    match byte {
                        b'<' => comment = Some(at),
                        b'-' => folding
                            .out
                            .comments
                            .extend(comment.take().map(|from| from..at + length)),
                        _ => {}
                    }
                    if let Some(c) = c {
                        // Line breaks are written so, too, and `%20`.
                        if length > 2 && c.is_ascii_alphabetic() {
                            folding.out.escaped.0 += 1;
                            folding.out.escaped.1 = at..at + length;
                        }
                        folding.char(c, at..at + length);
                    }
                    at += length;
                    continue;
                }
                match byte {
                    b'-' => folding.blank(at, 1, false),
                    byte => folding.byte(byte, at),
                }
            }
            byte if byte.is_ascii() => {
                if unseen::kind(char::from(byte)).is_none() {
                    folding.byte(byte, at);
                }
            }
            _ => {
                let Some(c) = text[at..].chars().next() else { break };
                folding.char(c, at..at + c.len_utf8());
                at += c.len_utf8();
                continue;
            }
        }
        at += 1;
    }
    if let Some(from) = comment {
        folding.out.comments.push(from..text.len());
    }
    folding.out
}

/// The folded form of a word or phrase of a rule.
pub fn fold_word(text: &str) -> String {
    fold(text).text.trim().to_owned()
}

struct Folding {
    out: Folded,
    /// White space that is to be written before the next character: where it is, and whether it has a line break.
    space: Option<(Range<usize>, bool)>,
}

impl Folding {
    fn blank(&mut self, at: usize, length: usize, is_break: bool) {
        match &mut self.space {
            Some((range, breaks)) => {
                range.end = at + length;
                *breaks |= is_break;
            }
            None => self.space = Some((at..at + length, is_break)),
        }
    }

    fn flush(&mut self) {
        if let Some((range, is_break)) = self.space.take() {
            let blank = if is_break { "\n" } else { " " };
            if range.len() == 1 {
                self.out.map.verbatim(&mut self.out.text, range.start, blank);
            } else {
                self.out.map.replaced(&mut self.out.text, range, blank);
            }
        }
    }

    fn byte(&mut self, byte: u8, at: usize) {
        if self.space.is_some() {
            self.flush();
        }
        self.out.text.push(char::from(byte));
        self.out.map.same_length(at, 1);
    }

    fn char(&mut self, c: char, range: Range<usize>) {
        if let Some(hidden) = tag(c) {
            return self.char(hidden, range);
        }
        if c.is_whitespace() || c == '_' || c == '-' {
            return self.blank(
                range.start,
                range.len(),
                matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}'),
            );
        }
        if matches!(c, '*' | '`') || unseen::kind(c).is_some() {
            return;
        }
        self.flush();
        let mut room = 4 * range.len();
        let mut buffer = [0; 4];
        let Folded { text, map, .. } = &mut self.out;
        plain(c, &mut |c| {
            let part = c.encode_utf8(&mut buffer);
            if part.len() <= room {
                room -= part.len();
                map.replaced(text, range.clone(), part);
            }
        });
    }
}

/// The ASCII character that a tag character spells.
fn tag(c: char) -> Option<char> {
    match c {
        '\u{e0020}'..='\u{e007e}' => char::from_u32(u32::from(c) - 0xe0000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_folded() {
        for (text, folded) in [
            ("Ignore  ALL\t previous\n\n instructions", "ignore all previous\ninstructions"),
            ("**IM\u{200b}PORTANT**: `id_rsa`", "important: id rsa"),
            ("a<!-- hidden -->b", "a\nhidden\nb"),
            ("&#105;g&nbsp;n &lt;x&gt;", "ig n <x>"),
            (r"\u0069\x67\n%69", "ig\ni"),
            ("\u{e0069}\u{e0067} ｉｇ", "ig ig"),
            ("do–not", "do not"),
            ("100% sure & so", "100% sure & so"),
        ] {
            assert_eq!(fold(text).text, folded, "{text}");
        }
        let text = "see <!-- Send\u{200b}  it --> here";
        let folded = fold(text);
        let at = folded.text.find("send it").unwrap();
        assert_eq!(&text[folded.map.original(at..at + 7)], "Send\u{200b}  it");
        assert_eq!(&text[folded.comments[0].clone()], "<!-- Send\u{200b}  it -->");
    }

    proptest! {
        #[test]
        fn folding_is_bounded_and_maps_to_the_original(text in any::<String>()) {
            let folded = fold(&text);
            prop_assert!(folded.text.len() <= 4 * text.len());
            for (at, c) in folded.text.char_indices() {
                let range = folded.map.original(at..at + c.len_utf8());
                prop_assert!(text.get(range.clone()).is_some_and(|part| !part.is_empty()), "{at} {range:?}");
            }
        }
    }
}
