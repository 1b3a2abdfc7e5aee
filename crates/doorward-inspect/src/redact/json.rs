//! Redacts JSON texts.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::plan::{Action, Replacement};
use super::{Redactor, string};
use crate::budget::Budget;
use crate::detect::Context;
use crate::field::Opaque;
use crate::json::{Edits, NotJson, Path, Visitor, unescape, walk};
use crate::place::Place;

/// Longest name of a member that says something of its value, in bytes.
const LONGEST_NAME: usize = 256;

/// Places that are reported of one message.
const PLACES: usize = 1024;

/// A value that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The id of the detector.
    pub detector: String,
    pub class: String,
    pub action: Action,
    pub place: Place,
    /// It is a number of a JSON text, and was replaced by null if the action replaces.
    pub is_number: bool,
}

/// A text after redaction.
#[derive(Debug, Clone, Default)]
pub struct Redacted {
    /// The redacted text; `None` if nothing was replaced.
    pub text: Option<String>,
    /// What was found. At most 1024 places.
    pub found: Vec<Found>,
    /// How often each class was found, and what was done: all of it.
    pub counts: Vec<(String, Action, u64)>,
    /// The first that the plan refuses: its class and place.
    pub refused: Option<(String, Place)>,
    /// A number was replaced by null. If the schema of the value allows no null there, the message should be refused.
    pub has_nulls: bool,
    /// Everything was inspected; if not, the budget was exceeded.
    pub complete: bool,
}

pub(super) fn redact(
    redactor: &Redactor<'_>,
    text: &str,
    opaque: &Opaque,
    budget: &mut Budget,
) -> Result<Redacted, NotJson> {
    let mut redacting = Redacting {
        redactor: *redactor,
        text,
        opaque,
        budget,
        edits: Edits::default(),
        names: Vec::new(),
        out: Redacted::default(),
        members: String::new(),
    };
    walk(text, &mut redacting)?;
    let Redacting { edits, mut out, budget, .. } = redacting;
    out.text = (!edits.is_empty()).then(|| edits.apply(text));
    out.complete = !budget.is_exceeded();
    Ok(out)
}

pub(super) fn redact_text(redactor: &Redactor<'_>, text: &str, budget: &mut Budget) -> Redacted {
    let outcome = string::redact(redactor, text, Context::default(), budget);
    let mut out = Redacted { text: outcome.text, ..Redacted::default() };
    for found in outcome.found {
        out.add(
            redactor,
            found.detector,
            found.action,
            || Place { range: found.range.clone(), ..Place::default() },
            false,
        );
    }
    out.complete = !budget.is_exceeded();
    out
}

impl Redacted {
    fn add(
        &mut self,
        redactor: &Redactor<'_>,
        detector: usize,
        action: Action,
        place: impl FnOnce() -> Place,
        is_number: bool,
    ) {
        let (id, class) = (redactor.detectors.id(detector), redactor.detectors.class(detector));
        count(&mut self.counts, class, action);
        let refuses = action == Action::Refuse && self.refused.is_none();
        if self.found.len() >= PLACES && !refuses {
            return;
        }
        let place = place();
        if refuses {
            self.refused = Some((class.into(), place.clone()));
        }
        if self.found.len() < PLACES {
            self.found.push(Found {
                detector: id.into(),
                class: class.into(),
                action,
                place,
                is_number,
            });
        }
    }
}

fn count(counts: &mut Vec<(String, Action, u64)>, class: &str, action: Action) {
    match counts.iter_mut().find(|(of, done, _)| of == class && *done == action) {
        Some((.., count)) => *count += 1,
        None => counts.push((class.to_owned(), action, 1)),
    }
}

struct Redacting<'a> {
    redactor: Redactor<'a>,
    text: &'a str,
    opaque: &'a Opaque,
    budget: &'a mut Budget,
    edits: Edits,
    /// Names that are replaced, until the end of their object.
    names: Vec<(Range<usize>, String)>,
    out: Redacted,
    /// The name of the current member, unescaped.
    members: String,
}

impl Visitor for Redacting<'_> {
    fn string(&mut self, path: &Path<'_>, range: Range<usize>, is_name: bool) {
        if range.is_empty() || self.opaque.covers(path, is_name) {
            return;
        }
        let redactor = self.redactor.at(path);
        if !is_name && self.field(&redactor, path, &range) {
            return;
        }
        let value = unescape(self.text, range.clone());
        self.name(path);
        let context = Context {
            member: (!is_name).then_some(&*self.members).filter(|member| !member.is_empty()),
        };
        let outcome = string::redact(&redactor, &value.text, context, self.budget);
        for found in outcome.found {
            let place = || Place {
                pointer: path.pointer(),
                range: value.map.original(found.range.clone()),
                in_name: is_name,
            };
            self.out.add(&redactor, found.detector, found.action, place, false);
        }
        match outcome.text {
            Some(text) if is_name => self.names.push((range, text)),
            Some(text) => self.edits.string(range, &text),
            None => {}
        }
    }

    fn number(&mut self, path: &Path<'_>, range: Range<usize>) {
        let redactor = self.redactor.at(path);
        if self.field(&redactor, path, &range) {
            return;
        }
        // Shorter numbers are nobody's.
        if range.len() < 7 {
            return;
        }
        self.name(path);
        let context = Context { member: Some(&*self.members).filter(|member| !member.is_empty()) };
        for found in redactor.detectors.find(&self.text[range.clone()], context, self.budget) {
            let action = redactor.action(found.detector);
            if action == Action::Ignore {
                continue;
            }
            let place = || Place { pointer: path.pointer(), range: range.clone(), in_name: false };
            self.out.add(&redactor, found.detector, action, place, true);
            self.null(action, &range);
        }
    }

    fn object_end(&mut self, names: &[Range<usize>]) {
        if self.names.is_empty() {
            return;
        }
        let own = names.first().map_or(usize::MAX, |first| first.start);
        let replaced: Vec<_> = {
            let at = self.names.partition_point(|(range, _)| range.start < own);
            self.names.split_off(at)
        };
        if replaced.is_empty() {
            return;
        }
        // Names stay different from each other.
        let starts: HashSet<usize> = replaced.iter().map(|(range, _)| range.start).collect();
        let is_replaced = |name: &Range<usize>| starts.contains(&name.start);
        let mut taken: HashSet<String> = names
            .iter()
            .filter(|name| !is_replaced(name))
            .map(|name| unescape(self.text, (*name).clone()).text.into_owned())
            .collect();
        let mut next: HashMap<String, usize> = HashMap::new();
        for (range, text) in replaced {
            let mut name = text.clone();
            let number = next.entry(text.clone()).or_insert(2);
            while !taken.insert(name.clone()) {
                name = format!("{text} ({number})");
                *number += 1;
            }
            self.edits.string(range, &name);
        }
    }
}

impl Redacting<'_> {
    fn name(&mut self, path: &Path<'_>) {
        self.members.clear();
        // What was masked before says nothing of the value.
        let name = path
            .member()
            .filter(|name| name.len() <= LONGEST_NAME && Replacement::find(name).next().is_none());
        self.members.push_str(name.unwrap_or_default());
    }

    /// Whether a detector by field applies to a value.
    fn field(&mut self, redactor: &Redactor<'_>, path: &Path<'_>, range: &Range<usize>) -> bool {
        if !redactor.detectors.has_fields() {
            return false;
        }
        let Some(detector) = redactor.detectors.field(&path.pointer()) else { return false };
        let action = redactor.action(detector);
        if action == Action::Ignore {
            return true;
        }
        let is_string = self.text.as_bytes()[range.start - usize::from(range.start > 0)] == b'"';
        if is_string {
            let value = unescape(self.text, range.clone()).text;
            if string::is_replacement(redactor, &value) || redactor.spares(&value) {
                return true;
            }
            let place = || Place { pointer: path.pointer(), range: range.clone(), in_name: false };
            self.out.add(redactor, detector, action, place, false);
            if let Some(text) = redactor.replacement(detector, action, &value) {
                self.edits.string(range.clone(), &text);
            }
        } else {
            let place = || Place { pointer: path.pointer(), range: range.clone(), in_name: false };
            self.out.add(redactor, detector, action, place, true);
            self.null(action, range);
        }
        true
    }

    /// Replaces a number by null, if an action replaces it.
    fn null(&mut self, action: Action, range: &Range<usize>) {
        if action.replaces() {
            self.edits.raw(range.clone(), "null".into());
            self.out.has_nulls = true;
        }
    }
}
