//! What is found, where it may be, and the detectors that are code.

use std::ops::Range;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The number of the detector; [`Detectors::id`] and [`Detectors::class`] name it.
    pub detector: usize,
    /// In bytes of the text.
    pub range: Range<usize>,
}

/// What is known of where a text is from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The name of the member whose value it is.
    pub member: Option<&'a str>,
}

/// Bytes before a value in which a keyword is looked for.
const NEAR: usize = 48;

/// Whether one of some lower-case words is in the member's name or shortly before a place.
pub(super) fn is_near(text: &str, at: usize, context: Context<'_>, words: &[&str]) -> bool {
    let before = &text.as_bytes()[at.saturating_sub(NEAR)..at];
    let any_in = |text: &[u8]| {
        let pairs = Pairs::of(text);
        words.iter().any(|word| {
            let bytes = word.as_bytes();
            pairs.has(&bytes[..2]) && pairs.has(&bytes[bytes.len() - 2..]) && has_word(text, word)
        })
    };
    any_in(before) || context.member.is_some_and(|member| any_in(member.as_bytes()))
}

/// Which bytes follow which in a text, in any case: most words of two bytes or more are not in it for want of their first or
/// last two.
struct Pairs([u32; 32]);

impl Pairs {
    fn of(text: &[u8]) -> Self {
        let mut pairs = Self([0; 32]);
        for pair in text.windows(2) {
            pairs.0[usize::from(pair[0] & 31)] |= 1 << (pair[1] & 31);
        }
        pairs
    }

    fn has(&self, pair: &[u8]) -> bool {
        self.0[usize::from(pair[0] & 31)] >> (pair[1] & 31) & 1 != 0
    }
}

/// Whether a text contains a lower-case word in any case. Words of four letters or fewer have to be whole. What was masked
/// before (`[PHONE]`) is no word.
fn has_word(text: &[u8], word: &str) -> bool {
    let word = word.as_bytes();
    let is_short = word.len() <= 4;
    (text.windows(word.len()).enumerate()).any(|(at, window)| {
        window.eq_ignore_ascii_case(word)
            && at.checked_sub(1).is_none_or(|before| text[before] != b'[')
            && (!is_short
                || (at.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphabetic())
                    && text.get(at + word.len()).is_none_or(|after| !after.is_ascii_alphabetic())))
    })
}

/// Bits of entropy per byte.
pub(super) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    text.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    #[expect(clippy::cast_precision_loss, reason = "windows are short")]
    let length = text.len().max(1) as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum()
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The built-in detectors by number: ids and classes.
pub(super) const BUILT_IN: [(&str, &str); 11] = [
    ("assigned-secret", "secret"),
    ("card", "card"),
    ("iban", "iban"),
    ("national-id", "national_id"),
    ("email", "email"),
    ("phone", "phone"),
    ("ip-address", "ip"),
    ("mac-address", "mac"),
    ("birth-date", "birth_date"),
    ("bank-account", "bank_account"),
    ("passport", "passport"),
];

pub(super) const ASSIGNED: usize = 0;
pub(super) const CARD: usize = 1;
pub(super) const IBAN: usize = 2;
pub(super) const NATIONAL: usize = 3;
pub(super) const EMAIL: usize = 4;
pub(super) const PHONE: usize = 5;
pub(super) const IP: usize = 6;
pub(super) const MAC: usize = 7;
pub(super) const BIRTH: usize = 8;
pub(super) const ACCOUNT: usize = 9;
pub(super) const PASSPORT: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_near_whatever_is_passed_over(text in "[aAbBné.\\[ ]{0,60}", words in proptest::collection::vec("[abné. ]{2,5}", 1..4)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let before = &text.as_bytes()[text.len().saturating_sub(NEAR)..];
            let is_near = is_near(&text, text.len(), Context::default(), &words);
            prop_assert_eq!(is_near, words.iter().any(|word| has_word(before, word)));
        }
    }
}
