//! Redacts a text that arrives in parts, such as the deltas of a completion.

use super::Redactor;
use super::json::Redacted;
use crate::budget::Budget;

/// What a value may span, in bytes: nothing longer is held back, but for private keys.
const HELD: usize = 1024;

/// Bytes of a private key that are held back.
const KEY: usize = 8192;

/// Bytes before the held text that are searched again, because they say what follows (`password: `).
const BEFORE: usize = 96;

/// A text that arrives in parts. Values that are split over parts are found.
///
/// What could be the beginning of a value is held back until what follows is known: the last word, digits in groups, what
/// is assigned to a name, and the words of an unfinished line that end in one of those.
#[derive(Debug, Default)]
pub struct TextStream {
    /// The end of what was passed on, then what is held back.
    tail: String,
    /// Bytes of `tail` that were passed on.
    passed: usize,
}

impl TextStream {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part. The text of the result is what can be passed on now; never `None`.
    pub fn push(&mut self, redactor: &Redactor<'_>, part: &str, budget: &mut Budget) -> Redacted {
        self.tail.push_str(part);
        let from = hold_from(&self.tail[self.passed..]) + self.passed;
        self.release(redactor, from, budget)
    }

    /// The end of the text: what was held back.
    pub fn finish(mut self, redactor: &Redactor<'_>, budget: &mut Budget) -> Redacted {
        self.release(redactor, self.tail.len(), budget)
    }

    /// Passes on what is before an offset of the tail.
    fn release(&mut self, redactor: &Redactor<'_>, mut to: usize, budget: &mut Budget) -> Redacted {
        let mut out = redactor.text(&self.tail, budget);
        // A value that reaches behind the offset is not passed on in half.
        for found in &out.found {
            if found.place.range.start < to && to < found.place.range.end {
                to = found.place.range.start.max(self.passed);
            }
        }
        let part = &self.tail[self.passed..to];
        let is_found = |start: usize, end: usize| self.passed < end && start < to;
        let is_touched = out.found.iter().any(|found| {
            is_found(found.place.range.start, found.place.range.end) && found.action.replaces()
        });
        let text = match is_touched {
            false => part.to_owned(),
            // With what was before it, so that names still say what their values are.
            true => {
                let whole = redactor.text(&self.tail[..to], budget);
                let before = redactor.text(&self.tail[..self.passed], budget);
                let before = before.text.unwrap_or_else(|| self.tail[..self.passed].to_owned());
                let whole = whole.text.unwrap_or_else(|| self.tail[..to].to_owned());
                match whole.strip_prefix(&before) {
                    Some(rest) => rest.to_owned(),
                    None => redactor.text(part, budget).text.unwrap_or_else(|| part.to_owned()),
                }
            }
        };
        out.found.retain(|found| is_found(found.place.range.start, found.place.range.end));
        for found in &mut out.found {
            found.place.range = found.place.range.start.saturating_sub(self.passed)
                ..found.place.range.end - self.passed;
        }
        out.recount();
        let mut keep = to.saturating_sub(BEFORE);
        while !self.tail.is_char_boundary(keep) {
            keep += 1;
        }
        self.tail.drain(..keep);
        self.passed = to - keep;
        out.text = Some(text);
        out
    }
}

/// From which offset of a text on a value may go on in what follows.
fn hold_from(text: &str) -> usize {
    if let Some(begin) = text.rfind("-----BEGIN") {
        let is_open =
            !text[begin..].contains("-----END") || !text[begin..].trim_end().ends_with("-----");
        if is_open && text.len() - begin < KEY {
            return begin;
        }
    }
    let bytes = text.as_bytes();
    let least = bytes.len().saturating_sub(HELD);
    let mut at = bytes.len();
    // Words from the end, as long as they belong to what may be a value.
    loop {
        let word =
            bytes[least..at].iter().rev().take_while(|byte| !byte.is_ascii_whitespace()).count();
        let start = at - word;
        let spaces = bytes[least..start]
            .iter()
            .rev()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        if start - spaces <= least {
            at = start;
            break;
        }
        let before = bytes[least..start - spaces]
            .iter()
            .rev()
            .take_while(|byte| !byte.is_ascii_whitespace())
            .count();
        let previous = &bytes[start - spaces - before..start - spaces];
        at = start;
        // Digits in groups, a name with its sign, a scheme.
        let is_group =
            spaces <= 3 && previous.iter().any(u8::is_ascii_digit) && previous.len() <= 40;
        let assigns =
            previous.iter().any(|byte| matches!(byte, b'=' | b':' | b'>')) || is_keyword(previous);
        if !(is_group || assigns) {
            break;
        }
        at = start - spaces - before;
        if bytes.len() - at > HELD {
            break;
        }
        at = at.max(least);
        // The word that was taken may belong to one before it.
        if at == least {
            break;
        }
        let more =
            bytes[least..at].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        if more == 0 {
            break;
        }
        at -= more;
    }
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn is_keyword(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 14] = [
        b"is",
        b"key",
        b"token",
        b"secret",
        b"bearer",
        b"basic",
        b"password",
        b"passwd",
        b"pwd",
        b"credential",
        b"authorization",
        b"ext.",
        b"ext",
        b"begin",
    ];
    let word: Vec<u8> = word
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric() || **byte == b'.')
        .map(u8::to_ascii_lowercase)
        .collect();
    WORDS.iter().any(|known| word.ends_with(known))
}
