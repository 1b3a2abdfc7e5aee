//! Descriptions shortened where a sentence ends.

use std::borrow::Cow;

/// What ends a shortened text.
const MARK: &str = "…";
/// Abbreviations that names and numbers follow.
const ABBREVIATIONS: &[&str] =
    &["No", "Nr", "vs", "cf", "ca", "Dr", "Mr", "Mrs", "St", "Fig", "approx"];

/// A text of at most `most` characters: unchanged if it is short enough, else cut after the last sentence that fits,
/// else after the last word, with a visible `…` at its end. Characters are Unicode scalar values; what belongs together
/// (a letter and its accents, an emoji and its modifiers) is not separated. Zero leaves nothing.
pub fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    if most == 0 {
        return Cow::Borrowed("");
    }
    // A space and the mark follow a sentence.
    if let Some(end) = sentence(text, most.saturating_sub(2)) {
        return Cow::Owned(format!("{} {MARK}", &text[..end]));
    }
    let end = word(text, most - 1);
    Cow::Owned(format!("{}{MARK}", text[..end].trim_end()))
}

/// The end, in bytes, of the last sentence within so many characters, unless that leaves less than a third.
fn sentence(text: &str, most: usize) -> Option<usize> {
    let mut found = None;
    // The end of the last character that is not white space, in bytes and in characters.
    let mut solid = (0, 0);
    for (count, (start, c)) in text.char_indices().enumerate() {
        if count > most {
            break;
        }
        let after = start + c.len_utf8();
        let end = if c == '\n' {
            Some(solid)
        } else if is_full_stop(c) || is_stop(c) && ends_here(&text[..start], &text[after..]) {
            let (bytes, chars) = closing(&text[after..]);
            Some((after + bytes, count + 1 + chars))
        } else {
            None
        };
        if let Some((end, length)) = end
            && length <= most
            && length >= most.div_ceil(3).max(1)
        {
            found = Some(end);
        }
        if !c.is_whitespace() {
            solid = (after, count + 1);
        }
    }
    found
}

/// Marks that end a sentence whatever follows.
fn is_full_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡' | '．' | '।' | '॥' | '۔' | '؟' | '።' | '។' | '။')
}

/// Marks that end a sentence where space follows.
fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…')
}

/// Quotes, brackets and further marks that belong to the sentence before them, in bytes and in characters.
fn closing(text: &str) -> (usize, usize) {
    let is_closing = |c: &char| {
        matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '」' | '』' | '）' | '】')
            || is_full_stop(*c)
    };
    let found = text.chars().take(8).take_while(is_closing);
    found.fold((0, 0), |(bytes, chars), c| (bytes + c.len_utf8(), chars + 1))
}

/// Whether a stop between two texts ends a sentence: not within a number or a name, and not after an abbreviation.
fn ends_here(before: &str, after: &str) -> bool {
    let mut next = after[closing(after).0..].chars();
    match next.next() {
        Some(c) if !c.is_whitespace() => return false,
        None => return true,
        Some(_) => {}
    }
    if next.take(8).find(|c| !c.is_whitespace()).is_some_and(char::is_lowercase) {
        return false;
    }
    let is_apart = |c: &char| c.is_whitespace() || *c == '(';
    let mut last: Vec<char> = before.chars().rev().take_while(|c| !is_apart(c)).take(8).collect();
    last.reverse();
    // As in "e.g." and "J. Doe".
    let is_letters = last.split(|c| *c == '.').all(|part| part.len() <= 1)
        && last.iter().any(|c| c.is_alphabetic());
    let last: String = last.into_iter().collect();
    !is_letters && !ABBREVIATIONS.contains(&&*last)
}

/// The end, in bytes, of the last word within so many characters, else of the last whole character.
fn word(text: &str, most: usize) -> usize {
    let limit = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    let next = text[limit..].chars().next();
    if next.is_none_or(char::is_whitespace) {
        return limit;
    }
    let space = text[..limit].rfind(char::is_whitespace).map(|at| text[..at].trim_end().len());
    // A long word, or a script without spaces, is cut rather than most of the text.
    match space.filter(|at| *at > 0 && *at >= limit / 2) {
        Some(at) => at,
        None => whole(text, limit),
    }
}

/// The last place at or before one where no character is separated from its accents or modifiers.
pub(crate) fn whole(text: &str, mut at: usize) -> usize {
    let limit = at;
    while let Some(next) = text[at..].chars().next() {
        let before = text[..at].chars().next_back();
        if !joins(next) && before != Some('\u{200d}') && !is_half_flag(text, at, next) {
            return at;
        }
        match before {
            Some(before) => at -= before.len_utf8(),
            // Nothing but accents.
            None => return limit,
        }
    }
    at
}

/// Whether a flag, which is two letters, would be cut.
fn is_half_flag(text: &str, at: usize, next: char) -> bool {
    let is_letter = |c: &char| matches!(c, '\u{1f1e6}'..='\u{1f1ff}');
    is_letter(&next) && text[..at].chars().rev().take_while(is_letter).count() % 2 == 1
}

/// Whether a character belongs to the one before: accents, vowel signs, joiners, variations and modifiers.
fn joins(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{900}'..='\u{903}' | '\u{93a}'..='\u{93c}' | '\u{93e}'..='\u{94f}' | '\u{951}'..='\u{957}'
        | '\u{981}'..='\u{983}' | '\u{9bc}'..='\u{9cd}' | '\u{a3c}'..='\u{a4d}' | '\u{abc}'..='\u{acd}'
        | '\u{b3c}'..='\u{b4d}' | '\u{bbe}'..='\u{bcd}' | '\u{c3c}'..='\u{c4d}' | '\u{cbc}'..='\u{ccd}'
        | '\u{d3b}'..='\u{d4d}' | '\u{dca}'..='\u{ddf}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{eb1}' | '\u{eb4}'..='\u{ebc}' | '\u{f71}'..='\u{f84}'
        | '\u{102b}'..='\u{103e}' | '\u{1160}'..='\u{11ff}' | '\u{17b4}'..='\u{17d3}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200c}' | '\u{200d}'
        | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}'
        | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_cut_after_a_sentence_else_a_word_else_a_character() {
        for (text, most, made) in [
            ("Short.", 6, "Short."),
            ("Finds a file. Follows links, e.g. Those of npm.", 30, "Finds a file. …"),
            (
                "Reads i.e. Loads version 1.5 of it. And more.",
                40,
                "Reads i.e. Loads version 1.5 of it. …",
            ),
            ("Is it (really?) It is, and so on and on.", 25, "Is it (really?) …"),
            ("One line\n\nAnother line that is long", 20, "One line …"),
            ("ファイルを探す。リンクも辿る。", 12, "ファイルを探す。 …"),
            ("查找文件！然后读取它的全部内容", 10, "查找文件！ …"),
            ("यह एक वाक्य है। और यह दूसरा है।", 20, "यह एक वाक्य है। …"),
            ("هل هذا سؤال؟ نعم إنه كذلك", 16, "هل هذا سؤال؟ …"),
            ("No sentence ends within it", 12, "No sentence…"),
            ("No sentence ends within it", 13, "No sentence…"),
            ("Antidisestablishmentarianism", 8, "Antidis…"),
            ("e\u{301}e\u{301}e\u{301}", 4, "e\u{301}…"),
            ("👩‍👩‍👧 family", 4, "…"),
            ("🇩🇪🇫🇷", 3, "🇩🇪…"),
            ("anything", 1, "…"),
            ("anything", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(shorten(text, most), made, "{text} to {most}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn what_is_shortened_is_a_start_of_the_text_and_fits(
            text in "([a-z]{1,9}[ .。!？\n]{0,2}|\\PC|e\u{301}){0,60}", most in 0usize..80,
        ) {
            let made = shorten(&text, most);
            prop_assert!(made.chars().count() <= most);
            prop_assert_eq!(&shorten(&made, most), &made);
            if text.chars().count() <= most {
                prop_assert_eq!(&made, &text);
            } else if most > 0 {
                let start = made.strip_suffix('…').unwrap();
                prop_assert!(text.starts_with(start.trim_end()));
            }
        }
    }
}
