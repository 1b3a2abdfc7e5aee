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

/// Redacts a string, until nothing that is to be replaced is left in it.
pub(crate) fn redact(
    redactor: &Redactor<'_>,
    text: &str,
    context: Context<'_>,
    budget: &mut Budget,
) -> Outcome {
    let mut outcome = once(redactor, text, context, budget, true);
    for _ in 0..ROUNDS {
        let Some(text) = &outcome.text else { return outcome };
        let next = once(redactor, text, context, budget, true);
        if next.text.is_none() {
            return outcome;
        }
        outcome.text = next.text;
    }
    // What is left makes new findings again and again: nothing of it is passed on.
    if let (Some(text), Some(first)) = (&mut outcome.text, outcome.found.first())
        && once(redactor, text, context, budget, true).text.is_some()
    {
        *text = Replacement::mask(redactor.detectors.class(first.detector));
    }
    outcome
}

/// One round. `opens`: encoded parts are opened.
fn once(
    redactor: &Redactor<'_>,
    text: &str,
    context: Context<'_>,
    budget: &mut Budget,
    opens: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut replacements: Vec<(Range<usize>, String)> = Vec::new();
    let made = made_before(redactor, text);
    let matches = redactor.detectors.find(text, context, budget);
    let mut add = |outcome: &mut Outcome, range: Range<usize>, detector: usize, value: &str| {
        let is_made = first_behind(&made, range.start).is_some_and(|made| made.start < range.end);
        if is_made || redactor.spares(value) {
            return;
        }
        let action = redactor.action(detector);
        if action == Action::Ignore {
            return;
        }
        outcome.found.push(InString { detector, action, range: range.clone() });
        replacements
            .extend(redactor.replacement(detector, action, value).map(|text| (range, text)));
    };
    let known: Vec<Range<usize>> = matches.iter().map(|found| found.range.clone()).collect();
    for found in &matches {
        add(&mut outcome, found.range.clone(), found.detector, &text[found.range.clone()]);
    }
    // With escapes and percent encoding read.
    if opens {
        for part in escaped_parts(text, AROUND) {
            let Some((plain, map)) = unescaped(&text[part.clone()]) else { continue };
            for found in redactor.detectors.find(&plain, context, budget) {
                let range = map.original(found.range.clone());
                let range = part.start + range.start..part.start + range.end;
                let around = first_behind(&known, range.start);
                if !around.is_some_and(|known| known.start <= range.start && range.end <= known.end)
                {
                    add(&mut outcome, range, found.detector, &plain[found.range]);
                }
            }
        }
        for part in open(text) {
            if first_behind(&known, part.range.start)
                .is_some_and(|known| known.start < part.range.end)
            {
                continue;
            }
            if !budget.take(part.text.len()) {
                break;
            }
            let inner = once(redactor, &part.text, Context::default(), budget, false);
            outcome.found.extend(
                inner
                    .found
                    .into_iter()
                    .map(|found| InString { range: part.range.clone(), ..found }),
            );
            replacements.extend(inner.text.map(|inner| {
                (part.range.clone(), encode_base64(&inner, part.coding, part.padded))
            }));
        }
    }
    if !replacements.is_empty() {
        outcome.text = Some(apply(text, replacements));
    }
    outcome
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

fn apply(text: &str, mut replacements: Vec<(Range<usize>, String)>) -> String {
    replacements.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, replacement) in replacements {
        if range.end <= done {
            continue;
        }
        if range.start >= done {
            out.push_str(&text[done..range.start]);
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
