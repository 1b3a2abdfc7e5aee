//! Text to words: identifiers, prose and scripts without spaces.
//!
//! `createPullRequest`, `create_pull_request` and "create pull request" become the same words. Chinese and Japanese are
//! written without spaces: their runs become overlapping pairs of characters. Accents and case are removed.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_canonical;

/// Longer words are not words: encoded data, hashes, keys.
const MAX_WORD: usize = 32;

/// A word of a text, in the order in which the text has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A word in a script with spaces, in lower case and without accents.
    Word(&'a str),
    /// What an identifier of several words is when it is written as one: `github` for `GitHub`.
    Joined(&'a str),
    /// A run of a script that has no spaces.
    Run(&'a str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Break,
    Digit,
    Lower,
    Upper,
    Unspaced,
}

fn class(letter: char) -> Class {
    match letter {
        '0'..='9' => Class::Digit,
        'a'..='z' => Class::Lower,
        'A'..='Z' => Class::Upper,
        _ if letter.is_ascii() => Class::Break,
        _ if is_unspaced(letter) => Class::Unspaced,
        _ if letter.is_uppercase() => Class::Upper,
        _ if letter.is_alphabetic() => Class::Lower,
        _ if letter.is_numeric() => Class::Digit,
        _ => Class::Break,
    }
}

/// Thai, Lao, Burmese, Khmer; Kana and Bopomofo; Han.
fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30fa}' | '\u{30fc}'..='\u{312f}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

/// Calls `each` for every word of the first `most` bytes of `text`.
pub(crate) fn words(text: &str, most: usize, mut each: impl FnMut(Token<'_>)) {
    let text = prefix(text, most);
    let mut state = State::default();
    if text.is_ascii() {
        // Normalization would change nothing.
        text.chars().for_each(|letter| state.take(letter, &mut each));
    } else {
        let mut emitted = 0;
        for letter in text.nfkc() {
            // A few characters become many when they are normalized.
            emitted += letter.len_utf8();
            if emitted > most.saturating_mul(2) {
                break;
            }
            state.take(letter, &mut each);
        }
    }
    state.end_run(&mut each);
}

/// The longest beginning of `text` of at most `most` bytes.
pub(crate) fn prefix(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[derive(Default)]
struct State {
    /// The word that is being read.
    word: String,
    /// Everything since the last separator.
    whole: String,
    /// How many words `whole` consists of.
    parts: usize,
    /// A word that consists of capitals so far.
    capitals: usize,
    previous: Option<Class>,
}

impl State {
    fn take(&mut self, letter: char, each: &mut impl FnMut(Token<'_>)) {
        let class = class(letter);
        if class == Class::Break {
            // A mark on the letter before it, such as a combining accent that has no composed form.
            if !matches!(letter, '\u{300}'..='\u{36f}') {
                self.end_run(each);
            }
            return;
        }
        match (self.previous, class) {
            (Some(previous), class)
                if (previous == Class::Unspaced) != (class == Class::Unspaced) =>
            {
                self.end_run(each);
            }
            (Some(Class::Lower), Class::Upper) => self.end_word(each),
            (Some(Class::Digit), Class::Lower | Class::Upper)
            | (Some(Class::Lower | Class::Upper), Class::Digit) => {
                self.end_word(each);
            }
            // `XMLHttp`: the last capital belongs to the next word.
            (Some(Class::Upper), Class::Lower) if self.capitals > 1 => {
                let last = self.word.pop();
                self.end_word(each);
                self.word.extend(last);
            }
            _ => {}
        }
        self.capitals = if class == Class::Upper { self.capitals + 1 } else { 0 };
        self.previous = Some(class);
        if self.word.len() <= 4 * MAX_WORD || class == Class::Unspaced {
            let start = self.word.len();
            fold(letter, &mut self.word);
            if self.whole.len() <= 4 * MAX_WORD {
                let (word, whole) = (&self.word, &mut self.whole);
                whole.push_str(&word[start..]);
            }
        }
    }

    fn end_word(&mut self, each: &mut impl FnMut(Token<'_>)) {
        if !self.word.is_empty() {
            self.parts += 1;
            if self.previous == Some(Class::Unspaced) {
                each(Token::Run(&self.word));
            } else if self.word.chars().count() <= MAX_WORD {
                each(Token::Word(&self.word));
            }
        }
        self.word.clear();
        self.capitals = 0;
    }

    fn end_run(&mut self, each: &mut impl FnMut(Token<'_>)) {
        self.end_word(each);
        if self.parts > 1 && self.whole.chars().count() <= MAX_WORD {
            each(Token::Joined(&self.whole));
        }
        self.whole.clear();
        self.parts = 0;
        self.previous = None;
    }
}

/// Adds a letter in lower case and without its accents. Marks of Kana are not accents.
fn fold(letter: char, word: &mut String) {
    if letter.is_ascii() {
        word.push(letter.to_ascii_lowercase());
        return;
    }
    for lower in letter.to_lowercase() {
        match lower {
            'ß' => word.push_str("ss"),
            'æ' => word.push_str("ae"),
            'œ' => word.push_str("oe"),
            'ø' => word.push('o'),
            'ı' => word.push('i'),
            '\u{300}'..='\u{36f}' => {}
            '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}' => {
                decompose_canonical(lower, |part| {
                    if !matches!(part, '\u{300}'..='\u{36f}') {
                        word.push(part);
                    }
                });
            }
            _ => word.push(lower),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_WORD, Token, words};

    fn all(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, text.len(), |token| {
            found.push(match token {
                Token::Word(word) => word.to_owned(),
                Token::Joined(word) => format!("={word}"),
                Token::Run(word) => format!("~{word}"),
            });
        });
        found
    }

    #[test]
    fn identifiers_are_split() {
        for (text, expected) in [
            ("createPullRequest", &["create", "pull", "request", "=createpullrequest"][..]),
            ("create_pull-request.v", &["create", "pull", "request", "v"]),
            ("XMLHttpRequest", &["xml", "http", "request", "=xmlhttprequest"]),
            ("listEC2s", &["list", "ec", "2", "s", "=listec2s"]),
            ("GitHub", &["git", "hub", "=github"]),
            ("HTTP", &["http"]),
        ] {
            assert_eq!(all(text), expected, "{text}");
        }
    }

    #[test]
    fn accents_width_and_case_do_not_matter() {
        assert_eq!(all("MÉTÉO météo"), ["meteo", "meteo"]);
        assert_eq!(all("Größe"), ["grosse"]);
        assert_eq!(all("ｇｅｔ　ｆｉｌｅ"), ["get", "file"]);
        assert_eq!(all("cafe\u{301}"), ["cafe"]);
    }

    #[test]
    fn scripts_without_spaces_are_runs() {
        assert_eq!(all("天気をcheckする"), ["~天気を", "check", "~する"]);
        assert_eq!(all("ダウンロード"), ["~ダウンロード"]);
    }

    #[test]
    fn what_is_too_long_is_no_word() {
        assert_eq!(all(&"a".repeat(MAX_WORD + 1)), Vec::<String>::new());
        assert_eq!(all(&"a".repeat(MAX_WORD)).len(), 1);
        assert_eq!(all(&"a".repeat(100_000)), Vec::<String>::new());
    }
}
