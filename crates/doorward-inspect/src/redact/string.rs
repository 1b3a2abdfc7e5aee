//! Redacts one string.

use std::ops::Range;

use super::Redactor;
use super::plan::{Action, Replacement};
use crate::budget::Budget;
use crate::detect::Context;
use crate::text::{encode_base64, escaped_parts, open, unescaped};

/// Times that a redacted string is searched again.
const ROUNDS: usize = 4;

/// Bytes around an escape that are searched with the escape read.
const AROUND: usize = 512;

/// Something found in a string.
#[derive(Debug, Clone)]
pub(crate) struct InString {
    pub detector: usize,
    pub action: Action,
    pub range: Range<usize>,
}

/// A string after redaction.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `None` if nothing was replaced.
    pub text: Option<String>,
    pub found: Vec<InString>,
}

/// Bytes before and behind an edit in which what is found may depend on it: names with their values before it, and what
/// is near a value behind it.
const BEFORE: usize = 704;
const BEHIND: usize = 256;

/// Redacts a string, until nothing that is to be replaced is left in it.
pub(crate) fn redact(
    redactor: &Redactor<'_>,
    text: &str,
    context: Context<'_>,
    budget: &mut Budget,
) -> Outcome {
    let (mut outcome, mut edits) = once(redactor, text, context, budget, None);
    for _ in 0..=ROUNDS {
        let Some(text) = &outcome.text else { return outcome };
        // What is far from what was replaced was searched before.
        let parts = edits.parts(text);
        let (next, made) = once(redactor, text, context, budget, Some(&parts));
        if next.text.is_none() {
            return outcome;
        }
        let reach = made.reach.max(edits.reach);
        (outcome.text, edits) = (next.text, Edits { reach, ..made });
    }
    // What is left makes new findings again and again: nothing of it is passed on.
    if let (Some(text), Some(first)) = (&mut outcome.text, outcome.found.first()) {
        *text = Replacement::mask(redactor.detectors.class(first.detector));
    }
    outcome
}

/// What was replaced in a round.
#[derive(Debug, Default)]
struct Edits {
    /// In the new text, in order.
    ranges: Vec<Range<usize>>,
    /// Bytes that a match has behind its literal at most.
    reach: usize,
    /// Something was found and left as it is.
    leaves: bool,
}

impl Edits {
    /// The parts of the new text in which something else may be found than in the old one.
    fn parts(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        // What is left may cover what is not, from far away.
        if self.leaves {
            return std::iter::once(0..bytes.len()).collect();
        }
        // Numbers are read from where one may begin.
        let goes_on = |byte: &u8| {
            !byte.is_ascii() || byte.is_ascii_alphanumeric() || b" -./_+():@%\\".contains(byte)
        };
        let mut parts: Vec<Range<usize>> = Vec::new();
        for edit in &self.ranges {
            let end = (edit.end + BEHIND).min(bytes.len());
            let least = edit.start.saturating_sub(BEFORE.max(self.reach + BEHIND));
            if let Some(last) = parts.last_mut().filter(|last| least <= last.end) {
                last.end = end;
                continue;
            }
            let from = parts.last().map_or(0, |last| last.end);
            let more = bytes[from..least].iter().rev().take_while(|byte| goes_on(byte)).count();
            match parts.last_mut().filter(|_| least - more == from) {
                Some(last) => last.end = end,
                None => parts.push(least - more..end),
            }
        }
        parts
    }
}

/// One round: in all of a text with its encoded parts, or in parts of it after an earlier round.
fn once(
    redactor: &Redactor<'_>,
    text: &str,
    context: Context<'_>,
    budget: &mut Budget,
    parts: Option<&[Range<usize>]>,
) -> (Outcome, Edits) {
    let whole = 0..text.len();
    let parts = parts.unwrap_or(std::slice::from_ref(&whole));
    let mut round = Round::new(redactor, text);
    let (matches, reach) = redactor.detectors.find_in(text, parts, context, budget);
    let known: Vec<Range<usize>> = matches.iter().map(|found| found.range.clone()).collect();
    for found in &matches {
        round.add(found.range.clone(), found.detector, &text[found.range.clone()]);
    }
    // With escapes and percent encoding read.
    for part in escaped_parts(text, AROUND) {
        if first_behind(parts, part.start).is_none_or(|searched| searched.start >= part.end) {
            continue;
        }
        let Some((plain, map)) = unescaped(&text[part.clone()]) else { continue };
        for found in redactor.detectors.find(&plain, context, budget) {
            let range = map.original(found.range.clone());
            let range = part.start + range.start..part.start + range.end;
            let around = first_behind(&known, range.start);
            if !around.is_some_and(|known| known.start <= range.start && range.end <= known.end) {
                round.add(range, found.detector, &plain[found.range]);
            }
        }
    }
    for part in open(text) {
        if first_behind(&known, part.range.start).is_some_and(|known| known.start < part.range.end)
        {
            continue;
        }
        if !budget.take(part.text.len()) {
            break;
        }
        let mut inner = Round::new(redactor, &part.text);
        for found in redactor.detectors.find(&part.text, Context::default(), budget) {
            inner.add(found.range.clone(), found.detector, &part.text[found.range]);
        }
        let (inner, _) = inner.end(0);
        let in_part = |found: InString| InString { range: part.range.clone(), ..found };
        round.found.extend(inner.found.into_iter().map(in_part));
        let encoded =
            |inner: String| (part.range.clone(), encode_base64(&inner, part.coding, part.padded));
        round.replacements.extend(inner.text.map(encoded));
    }
    round.end(reach)
}

/// What is found in one round, and replaced at its end.
struct Round<'a> {
    redactor: &'a Redactor<'a>,
    text: &'a str,
    /// What was replaced before.
    made: Vec<Range<usize>>,
    found: Vec<InString>,
    replacements: Vec<(Range<usize>, String)>,
    leaves: bool,
}

impl<'a> Round<'a> {
    fn new(redactor: &'a Redactor<'a>, text: &'a str) -> Self {
        let made = made_before(redactor, text);
        let (found, replacements) = (Vec::new(), Vec::new());
        Self { redactor, text, made, found, replacements, leaves: false }
    }

    fn add(&mut self, range: Range<usize>, detector: usize, value: &str) {
        let is_made =
            first_behind(&self.made, range.start).is_some_and(|made| made.start < range.end);
        if is_made || self.redactor.spares(value) {
            self.leaves = true;
            return;
        }
        let action = self.redactor.action(detector);
        let replacement = self.redactor.replacement(detector, action, value);
        self.leaves |= replacement.is_none();
        if action == Action::Ignore {
            return;
        }
        self.found.push(InString { detector, action, range: range.clone() });
        self.replacements.extend(replacement.map(|text| (range, text)));
    }

    fn end(self, reach: usize) -> (Outcome, Edits) {
        let mut outcome = Outcome { text: None, found: self.found };
        let mut edits = Edits { ranges: Vec::new(), reach, leaves: self.leaves };
        if !self.replacements.is_empty() {
            outcome.text = Some(apply(self.text, self.replacements, &mut edits.ranges));
        }
        (outcome, edits)
    }
}

/// The first of some ranges, which are in order and do not overlap, that ends behind a place.
fn first_behind(ranges: &[Range<usize>], at: usize) -> Option<&Range<usize>> {
    ranges.get(ranges.partition_point(|range| range.end <= at))
}

/// What was replaced before: masks, hashes, and tokens that the caller recognizes. Anything else in brackets is text.
fn made_before(redactor: &Redactor<'_>, text: &str) -> Vec<Range<usize>> {
    let is_ours = |class: &str, token: &str| {
        redactor.pseudonyms.is_some_and(|pseudonyms| pseudonyms.is_token(class, token))
            || Replacement::is_hash(token)
    };
    Replacement::find(text)
        .filter(|(range, class, token)| {
            let is_mask = range.len() == class.len() + "[]".len();
            redactor.detectors.has_class(class) && (is_mask || is_ours(class, token))
        })
        .map(|(range, ..)| range)
        .collect()
}

/// Whether a text as a whole is a replacement that was made before.
pub(super) fn is_replacement(redactor: &Redactor<'_>, text: &str) -> bool {
    made_before(redactor, text).first() == Some(&(0..text.len()))
}

/// A text with parts of it replaced, and where the replacements are in it.
fn apply(
    text: &str,
    mut replacements: Vec<(Range<usize>, String)>,
    made: &mut Vec<Range<usize>>,
) -> String {
    replacements.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, replacement) in replacements {
        if range.end <= done {
            continue;
        }
        if range.start >= done {
            out.push_str(&text[done..range.start]);
            made.push(out.len()..out.len() + replacement.len());
            out.push_str(&replacement);
        }
        // Of overlapping parts, what the later one covers goes, too.
        done = range.end;
    }
    out.push_str(&text[done..]);
    out
}

impl Redactor<'_> {
    pub(super) fn action(&self, detector: usize) -> Action {
        self.field.unwrap_or_else(|| {
            self.plan.action(self.detectors.id(detector), self.detectors.class(detector))
        })
    }

    /// What replaces a value; `None` if it is left as it is.
    pub(super) fn replacement(
        &self,
        detector: usize,
        action: Action,
        value: &str,
    ) -> Option<String> {
        let class = self.detectors.class(detector);
        let mask = || Replacement::mask(class);
        match (action, self.pseudonyms) {
            (Action::Ignore | Action::Report | Action::Refuse, _) => None,
            (Action::Hash, Some(pseudonyms)) => {
                Some(Replacement::hash(class, pseudonyms.hash(class, value)))
            }
            (Action::Tokenize, Some(pseudonyms)) => {
                let token = pseudonyms
                    .token(class, value)
                    .filter(|token| pseudonyms.is_token(class, token));
                Some(token.map_or_else(mask, |token| Replacement::token(class, &token)))
            }
            _ => Some(mask()),
        }
    }
}
