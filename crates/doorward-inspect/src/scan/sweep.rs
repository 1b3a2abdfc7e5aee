//! One sweep over a folded text: words, sequences of concepts, regular expressions around literals.

use std::ops::Range;

use regex_automata::{Anchored, Input};

use crate::rules::{Chain, Compiled};

/// A word of the text that belongs to a concept.
struct Hit {
    word: usize,
    start: usize,
    end: usize,
}

/// How far a sequence has come: where its last step ended, and where it began.
#[derive(Clone, Copy)]
struct Progress {
    end: usize,
    start: usize,
    sentence: usize,
}

/// What is found in a folded text.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Signals with their ranges.
    pub found: Vec<(usize, Range<usize>)>,
    /// Frequent words that are plain.
    pub plain: Vec<Range<usize>>,
    /// How many frequent words are rotated, and reversed.
    pub rotated: usize,
    pub reversed: usize,
}

/// The signals of a folded text, with their ranges in it.
pub(super) fn sweep(compiled: &Compiled, text: &str) -> Swept {
    let mut swept = Swept::default();
    let found = &mut swept.found;
    let mut hits = Vec::new();
    let mut searched = vec![0; compiled.regexes.len()];
    for found_word in compiled.automaton.find_overlapping_iter(text) {
        let hit = Hit {
            word: found_word.pattern().as_usize(),
            start: found_word.start(),
            end: found_word.end(),
        };
        let word = &compiled.words[hit.word];
        for regex in &word.regexes {
            let trigger = &compiled.regexes[*regex];
            let to = (hit.end + trigger.after).min(text.len());
            // What was searched for an earlier literal is not searched again, but for the overlap of one window.
            if searched[*regex] >= to {
                continue;
            }
            searched[*regex] = to;
            let from = hit.start.saturating_sub(trigger.before);
            let input = Input::new(text.as_bytes()).range(from..to).anchored(Anchored::No);
            if let Some(found_match) = trigger.regex.search(&input) {
                found.push((trigger.signal, boundaries(text, found_match.range())));
            }
        }
        if !word.concepts.is_empty() && is_word(text, &hit, word.is_prefix) {
            let [plain, rotated, reversed] = compiled
                .common
                .map(|common| common.is_some_and(|common| word.concepts.contains(&common)));
            if plain {
                swept.plain.push(hit.start..hit.end);
            }
            swept.rotated += usize::from(rotated);
            swept.reversed += usize::from(reversed);
            hits.push(hit);
        }
    }
    if !hits.is_empty() {
        // By start, as sequences are read; longer words first.
        hits.sort_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
        chains(compiled, text, &hits, &mut swept.found);
    }
    swept
}

/// The range of a text of a number of words or more.
pub(super) fn prose(text: &str, least: usize) -> Option<Range<usize>> {
    let is_word = |word: &&str| {
        word.bytes()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'\'' | b',' | b'.' | b':'))
    };
    (text.split_whitespace().filter(is_word).take(least).count() == least).then_some(0..text.len())
}

/// Widens a range to boundaries of characters.
fn boundaries(text: &str, mut range: Range<usize>) -> Range<usize> {
    while !text.is_char_boundary(range.start) {
        range.start -= 1;
    }
    while !text.is_char_boundary(range.end) {
        range.end += 1;
    }
    range
}

/// Whether a hit is a whole word (or begins one). Scripts without blanks have no words.
fn is_word(text: &str, hit: &Hit, is_prefix: bool) -> bool {
    let bytes = text.as_bytes();
    let starts = !bytes[hit.start].is_ascii_alphanumeric()
        || hit.start.checked_sub(1).is_none_or(|before| !bytes[before].is_ascii_alphanumeric());
    let ends = is_prefix
        || !bytes[hit.end - 1].is_ascii_alphanumeric()
        || bytes.get(hit.end).is_none_or(|after| !after.is_ascii_alphanumeric());
    starts && ends
}

fn chains(compiled: &Compiled, text: &str, hits: &[Hit], found: &mut Vec<(usize, Range<usize>)>) {
    let mut progress: Vec<[Option<Progress>; 6]> = vec![[None; 6]; compiled.chains.len()];
    let mut sentences =
        Sentences { text, at: 0, number: 0, has_begun: false, lead: 0, read: 0, has_words: false };
    for hit in hits {
        sentences.advance(hit.start);
        let is_leading = sentences.is_leading(hit.start);
        let concepts = &compiled.words[hit.word].concepts;
        if is_leading && compiled.lead.is_some_and(|lead| concepts.contains(&lead)) {
            sentences.lead_to(hit.end);
        }
        for (number, step) in concepts.iter().flat_map(|concept| &compiled.by_concept[*concept]) {
            let chain: &Chain = &compiled.chains[*number];
            if chain.leading[*step] && !is_leading {
                continue;
            }
            let start = match step.checked_sub(1) {
                None if chain.later && sentences.number == 0 => continue,
                None => hit.start,
                Some(before) => {
                    let Some(last) = progress[*number][before] else { continue };
                    let follows = last.end <= hit.start && hit.start - last.end <= chain.gap;
                    if !follows || (!chain.across && last.sentence != sentences.number) {
                        continue;
                    }
                    last.start
                }
            };
            if step + 1 == chain.length {
                found.push((chain.signal, start..hit.end));
            } else {
                // The shortest of the words that begin here: what follows may be the rest of a longer one.
                progress[*number][*step] =
                    Some(Progress { end: hit.end, start, sentence: sentences.number });
            }
        }
    }
}

/// Sentences of a folded text, in order.
struct Sentences<'a> {
    text: &'a str,
    at: usize,
    /// Of the current sentence. Those before the first one that has words are not counted.
    number: usize,
    has_begun: bool,
    /// Up to where the current sentence has only words that may precede a command.
    lead: usize,
    /// Up to where the text behind `lead` was read, and whether there are words in it.
    read: usize,
    has_words: bool,
}

impl Sentences<'_> {
    fn advance(&mut self, to: usize) {
        let bytes = self.text.as_bytes();
        while self.at < to {
            let ends = match bytes[self.at] {
                b'\n' => true,
                b'.' | b'!' | b'?' | b';' | b':' | b')' | b']' | b'>' | b'}' => {
                    bytes.get(self.at + 1).is_none_or(u8::is_ascii_whitespace)
                }
                _ => false,
            };
            self.has_begun |= bytes[self.at].is_ascii_alphanumeric();
            self.at += 1;
            if ends {
                // A colon or bracket starts a command, but does not end what a sequence spans.
                let is_end = matches!(bytes[self.at - 1], b'.' | b'!' | b'?' | b'\n');
                self.number += usize::from(is_end && self.has_begun);
                self.lead_to(self.at);
            }
        }
    }

    fn lead_to(&mut self, at: usize) {
        if at > self.lead {
            (self.lead, self.read, self.has_words) = (at, at, false);
        }
    }

    /// Whether only words that may precede a command are between the start of the sentence and a place. Places ascend.
    fn is_leading(&mut self, at: usize) -> bool {
        if self.read < at {
            self.has_words |=
                self.text.as_bytes()[self.read..at].iter().any(u8::is_ascii_alphanumeric);
            self.read = at;
        }
        self.lead <= at && !self.has_words
    }
}

/// Text behind many blanks or line breaks, where people do not look.
pub(super) fn far_padding(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(offset) = memchr::memchr2(b' ', b'\n', &bytes[at..]) {
        let from = at + offset;
        let run = bytes[from..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r'))
            .count();
        at = from + run;
        let breaks = || bytes[from..at].iter().filter(|byte| **byte == b'\n').count();
        // Tables and code are indented by less, and their lines are not empty.
        if run >= 30 && at < bytes.len() && (breaks() >= 20 || run >= 200 && breaks() == 0) {
            return Some(from..at);
        }
    }
    None
}
