//! What a scan has found.

use std::collections::HashMap;
use std::ops::Range;

use crate::place::Place;
use crate::rules::{Rules, Subject};
use crate::text::Disguise;

/// Places that are reported of one signal.
const PLACES: usize = 4;

/// Longest excerpt, in characters.
const EXCERPT: usize = 120;

/// The form of the text in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Raw,
    Folded,
    /// In a part that was disguised.
    Disguised(Disguise),
    /// In a part that was encoded in base64 or hexadecimal.
    Encoded,
}

/// A signal at a place.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The id of the signal.
    pub signal: String,
    /// What it adds to the score, once.
    pub weight: u32,
    pub explanation: String,
    pub place: Place,
    pub form: Form,
    /// The words that made it, invisible characters written as escapes.
    pub excerpt: String,
}

/// What a scan has found.
#[derive(Debug, Clone)]
pub struct Report {
    /// In order of signals. At most four places of each.
    pub findings: Vec<Finding>,
    /// The sum of the weights of all signals that were found, each counted once.
    pub score: u32,
    /// From which score the text is suspicious.
    pub threshold: u32,
    /// Everything was inspected; if not, the budget was exceeded.
    pub complete: bool,
}

impl Report {
    /// The score reaches the threshold.
    pub fn is_suspicious(&self) -> bool {
        self.score >= self.threshold
    }

    /// The findings of a signal.
    pub fn of<'a>(&'a self, signal: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.signal == signal)
    }
}

/// Signals by number, with their places.
#[derive(Debug, Default)]
pub(super) struct Collected {
    found: HashMap<usize, Vec<(Place, Form, String)>>,
}

impl Collected {
    pub(super) fn wants(&self, signal: usize) -> bool {
        self.found.get(&signal).is_none_or(|places| places.len() < PLACES)
    }

    pub(super) fn add(&mut self, signal: usize, place: Place, form: Form, excerpt: String) {
        self.found.entry(signal).or_default().push((place, form, excerpt));
    }

    pub(super) fn score(&self, rules: &Rules) -> u32 {
        self.found.keys().map(|signal| rules.compiled.signals[*signal].weight).sum()
    }

    pub(super) fn report(self, rules: &Rules, subject: Subject, complete: bool) -> Report {
        let score = self.score(rules);
        let thresholds = rules.thresholds();
        let threshold = match subject {
            Subject::Definition => thresholds.definition,
            Subject::Content => thresholds.content,
            Subject::Request => thresholds.request,
        };
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_by_key(|(signal, _)| *signal);
        let findings = found
            .into_iter()
            .flat_map(|(signal, places)| places.into_iter().map(move |place| (signal, place)))
            .map(|(signal, (place, form, excerpt))| {
                let signal = &rules.compiled.signals[signal];
                Finding {
                    signal: signal.id.clone(),
                    weight: signal.weight,
                    explanation: signal.explanation.clone(),
                    place,
                    form,
                    excerpt,
                }
            })
            .collect();
        Report { findings, score, threshold, complete }
    }
}

/// A part of a text for people.
pub(super) fn excerpt(text: &str, range: Range<usize>) -> String {
    let part = text.get(range).unwrap_or_default();
    let end = part.char_indices().nth(EXCERPT).map_or(part.len(), |(at, _)| at);
    doorward_mcp::display::harmless_line(&part[..end]).into_owned()
}
