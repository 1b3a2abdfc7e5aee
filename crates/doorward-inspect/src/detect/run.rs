//! Runs of digits.

use std::ops::Range;

/// Most bytes of a run of digits and separators.
pub(super) const LONGEST: usize = 48;

/// The length of the separator behind a group of digits, if another group follows; 0 if not.
pub(super) fn goes_on(bytes: &[u8], at: usize) -> usize {
    let is_separator = |byte: &&u8| matches!(byte, b' ' | b'-' | b'.' | b'/');
    let length = bytes[at..].iter().take(3).take_while(is_separator).count();
    let separates = length == 1 || &bytes[at..at + length] == b" - ";
    let follows = bytes.get(at + length).is_some_and(u8::is_ascii_digit);
    if separates && follows { length } else { 0 }
}

/// Digits in groups, as they stand in a text.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Digits of all groups.
    pub digits: Vec<u8>,
    /// Per group: where it is in the text, and in `digits`.
    pub groups: Vec<(Range<usize>, Range<usize>)>,
    /// Between groups `n` and `n + 1`.
    pub separators: Vec<Range<usize>>,
    /// Up to where the run reaches in the text.
    pub end: usize,
}

impl Run {
    /// The digits and the range of some groups.
    pub fn part(&self, groups: Range<usize>) -> (&[u8], Range<usize>) {
        let (first, last) = (&self.groups[groups.start], &self.groups[groups.end - 1]);
        (&self.digits[first.1.start..last.1.end], first.0.start..last.0.end)
    }

    /// The lengths of some groups.
    pub fn lengths(&self, groups: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        self.groups[groups].iter().map(|(_, digits)| digits.len())
    }

    /// The separator of some groups, if it is the same between all of them; empty for a single group.
    pub fn separator<'a>(&self, text: &'a str, groups: Range<usize>) -> Option<&'a str> {
        let mut between =
            self.separators[groups.start..groups.end - 1].iter().map(|range| &text[range.clone()]);
        let first = between.next().unwrap_or_default();
        between.all(|other| other == first).then_some(first)
    }

    /// Reads the run of digits and single separators that begins at a digit, in the place of the last one.
    pub fn read(&mut self, text: &str, from: usize) {
        let bytes = text.as_bytes();
        let run = self;
        run.digits.clear();
        run.groups.clear();
        run.separators.clear();
        run.end = from;
        let mut at = from;
        loop {
            let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            // A group that goes on with letters is no group of digits.
            if bytes
                .get(at + length)
                .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
                && !run.groups.is_empty()
            {
                let is_extension = matches!(bytes[at + length], b'x' | b'X');
                if !is_extension {
                    run.separators.pop();
                    break;
                }
            }
            let before = run.digits.len();
            run.digits.extend_from_slice(&bytes[at..at + length]);
            run.groups.push((at..at + length, before..before + length));
            at += length;
            run.end = at;
            let separators = goes_on(bytes, at);
            if separators == 0 || at + separators - from > LONGEST {
                break;
            }
            run.separators.push(at..at + separators);
            at += separators;
        }
    }
}
