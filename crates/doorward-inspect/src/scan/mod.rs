//! Looks for instructions to a model in definitions, results and requests.
//!
//! Every string is read in several forms: as it is (for characters that are not seen), folded, and with disguised and encoded
//! parts opened once. In a form, words of concepts are found by one automaton; sequences of concepts and regular expressions
//! around literals make signals. The score is the sum of the weights of the signals, each counted once.

mod definition;
mod examples;
mod report;
mod sweep;

pub use definition::Mentions;
pub use report::{Finding, Form, Report};

pub use crate::rules::Subject;

use crate::budget::Budget;
use crate::field::Opaque;
use crate::json::{NotJson, Path, Visitor, unescape, walk};
use crate::map::Map;
use crate::rules::{Builtin, Field, Rules};
use crate::text::{self, Folded};
use report::Collected;
use std::ops::Range;

/// Encoded parts of one string that are opened.
const OPENED: usize = 16;

/// Looks for injected instructions by a rule set.
#[derive(Debug)]
pub struct Scanner {
    rules: Rules,
}

impl Scanner {
    pub fn new(rules: Rules) -> Self {
        Self { rules }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Scans a definition: a tool, prompt or resource as JSON. `mentions` are the names of other servers' tools.
    pub fn definition(
        &self,
        json: &str,
        mentions: Option<&Mentions>,
        budget: &mut Budget,
    ) -> Result<Report, NotJson> {
        self.json(json, Subject::Definition, mentions, &Opaque::default(), budget)
    }

    /// Scans all strings of a JSON text, such as a result.
    pub fn value(
        &self,
        json: &str,
        subject: Subject,
        budget: &mut Budget,
    ) -> Result<Report, NotJson> {
        self.json(json, subject, None, &Opaque::default(), budget)
    }

    /// Scans all strings of a JSON text but those that are opaque.
    pub fn value_but(
        &self,
        json: &str,
        subject: Subject,
        opaque: &Opaque,
        budget: &mut Budget,
    ) -> Result<Report, NotJson> {
        self.json(json, subject, None, opaque, budget)
    }

    /// Scans a plain text.
    pub fn text(&self, text: &str, subject: Subject, budget: &mut Budget) -> Report {
        let mut scan = Scan::new(self, "", subject, None, budget);
        let map = Map::shift(0, text.len());
        scan.string(text, &map, Field::Description, &|| (String::new(), false));
        scan.finish()
    }

    fn json(
        &self,
        json: &str,
        subject: Subject,
        mentions: Option<&Mentions>,
        opaque: &Opaque,
        budget: &mut Budget,
    ) -> Result<Report, NotJson> {
        let mut scan = Scan::new(self, json, subject, mentions, budget);
        scan.opaque = Some(opaque);
        walk(json, &mut scan)?;
        Ok(scan.finish())
    }
}

/// A scan in progress.
struct Scan<'a> {
    rules: &'a Rules,
    json: &'a str,
    subject: Subject,
    mentions: Option<&'a Mentions>,
    budget: &'a mut Budget,
    opaque: Option<&'a Opaque>,
    found: Collected,
}

impl<'a> Scan<'a> {
    fn new(
        scanner: &'a Scanner,
        json: &'a str,
        subject: Subject,
        mentions: Option<&'a Mentions>,
        budget: &'a mut Budget,
    ) -> Self {
        Self {
            rules: &scanner.rules,
            json,
            subject,
            mentions,
            budget,
            opaque: None,
            found: Collected::default(),
        }
    }

    fn finish(self) -> Report {
        self.found.report(self.rules, self.subject, !self.budget.is_exceeded())
    }

    /// Scans one string, which `map` maps to the inspected text. `place` gives its pointer, and whether it is a name.
    fn string(&mut self, text: &str, map: &Map, field: Field, place: &dyn Fn() -> (String, bool)) {
        if !self.budget.take(text.len()) {
            return;
        }
        let mut sink = Sink {
            rules: self.rules,
            subject: self.subject,
            field,
            text,
            map,
            place,
            found: &mut self.found,
        };
        for removed in text::unseen(text) {
            sink.builtin(builtin_of(removed.kind), removed.range, Form::Raw);
        }
        for word in text::mixed_scripts(text) {
            sink.builtin(Builtin::MixedScripts, word, Form::Raw);
        }
        if let Some(range) = sweep::far_padding(text) {
            sink.builtin(Builtin::FarPadding, range, Form::Raw);
        }
        let is_name = matches!(field, Field::Name | Field::Parameter);
        let apart = is_name.then(|| definition::words_of_name(text));
        let mut folded = text::fold(apart.as_deref().unwrap_or(text));
        if is_name {
            // Names are short: the place is the whole name.
            folded.map = whole(&folded.text, text.len());
        }
        for comment in &folded.comments {
            if text[comment.clone()]
                .split_whitespace()
                .filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()))
                .count()
                >= 3
            {
                sink.builtin(Builtin::HtmlComment, comment.clone(), Form::Raw);
            }
        }
        if folded.escaped.0 >= 6 {
            sink.builtin(Builtin::EncodedText, folded.escaped.1.clone(), Form::Raw);
        }
        if let Some(range) = sweep::prose(&folded.text, least_of_prose(field, text)) {
            sink.builtin(Builtin::Prose, folded.map.original(range), Form::Folded);
        }
        let (rotated, reversed) = sink.sweep(&folded, Form::Folded);
        if let Some(mentions) = self.mentions.filter(|_| !is_name) {
            for range in mentions.find(text) {
                sink.builtin(Builtin::OtherTool, range, Form::Raw);
            }
        }
        if is_name {
            return;
        }
        for plain in text::undisguise(&folded.text, rotated >= 2, reversed >= 2) {
            if self.budget.take(plain.text.len()) {
                sink.disguised(&folded, &plain);
            }
        }
        for opened in text::open(text).into_iter().take(OPENED) {
            if !self.budget.take(opened.text.len()) {
                break;
            }
            let mut inner = text::fold(&opened.text);
            inner.map = moved(&inner.text, opened.range.clone());
            sink.opened(&inner, opened.range);
        }
    }
}

/// How many words make a text of a field a sentence, where usually there are none.
fn least_of_prose(field: Field, text: &str) -> usize {
    match field {
        Field::Name | Field::Parameter => 8,
        // A name, such as `get_run_logs_url`.
        Field::Value | Field::Comment if !text.contains(char::is_whitespace) => 7,
        Field::Value => 5,
        Field::Comment => 6,
        Field::Title if text.trim_end().ends_with(['.', '!']) => 4,
        Field::Title => 13,
        Field::Description | Field::ParameterDescription | Field::Output => 7,
    }
}

/// The map of a text that stands for the whole of another one.
fn whole(text: &str, length: usize) -> Map {
    moved(text, 0..length)
}

/// The map of a text that stands for a part of another one.
fn moved(text: &str, range: Range<usize>) -> Map {
    let mut map = Map::default();
    map.replaced(&mut String::new(), range, text);
    map
}

fn builtin_of(kind: text::Unseen) -> Builtin {
    match kind {
        text::Unseen::Invisible => Builtin::Invisible,
        text::Unseen::Bidi => Builtin::Bidi,
        text::Unseen::Tag => Builtin::Tag,
        text::Unseen::Control => Builtin::Control,
        text::Unseen::Selector => Builtin::Selector,
        text::Unseen::Ansi => Builtin::Ansi,
    }
}

impl Visitor for Scan<'_> {
    fn string(&mut self, path: &Path<'_>, range: Range<usize>, is_name: bool) {
        let field = match self.subject {
            Subject::Definition => definition::field(path, is_name),
            // Names of members in results are data.
            Subject::Content | Subject::Request if is_name => Some(Field::Parameter),
            Subject::Content | Subject::Request => Some(Field::Description),
        };
        let Some(field) = field else { return };
        if range.is_empty() || self.opaque.is_some_and(|opaque| opaque.covers(path, is_name)) {
            return;
        }
        let value = unescape(self.json, range);
        self.string(&value.text, &value.map, field, &|| (path.pointer(), is_name));
    }
}

/// Receives what is found in one string.
struct Sink<'a> {
    rules: &'a Rules,
    subject: Subject,
    field: Field,
    text: &'a str,
    /// From the string to the inspected text.
    map: &'a Map,
    place: &'a dyn Fn() -> (String, bool),
    found: &'a mut Collected,
}

impl Sink<'_> {
    fn applies(&self, signal: usize) -> bool {
        let signal = &self.rules.compiled.signals[signal];
        (signal.subjects.is_empty() || signal.subjects.contains(&self.subject))
            && (signal.fields.is_empty()
                || self.subject != Subject::Definition
                || signal.fields.contains(&self.field)
                || self.field == Field::Output
                    && signal.fields.contains(&Field::ParameterDescription))
    }

    /// Adds a signal at a range of the string.
    fn add(&mut self, signal: usize, range: Range<usize>, form: Form) {
        if self.applies(signal) && self.found.wants(signal) {
            let excerpt = report::excerpt(self.text, range.clone());
            let (pointer, in_name) = (self.place)();
            let range = self.map.original(range);
            self.found.add(signal, crate::place::Place { pointer, range, in_name }, form, excerpt);
        }
    }

    fn builtin(&mut self, builtin: Builtin, range: Range<usize>, form: Form) {
        let rules = self.rules;
        for signal in rules.compiled.builtins.get(&builtin).into_iter().flatten() {
            self.add(*signal, range.clone(), form);
        }
    }

    /// Returns how many frequent words are rotated, and reversed.
    fn sweep(&mut self, folded: &Folded, form: Form) -> (usize, usize) {
        let swept = sweep::sweep(&self.rules.compiled, &folded.text);
        for (signal, range) in swept.found {
            let original = folded.map.original(range);
            self.add(signal, original, form);
        }
        (swept.rotated, swept.reversed)
    }

    /// What is found only in the plain form of a disguised text: at least a third of its words were disguised.
    fn disguised(&mut self, folded: &Folded, plain: &text::Plain) {
        let form = Form::Disguised(plain.disguise);
        let mut first = None;
        let swept = sweep::sweep(&self.rules.compiled, &plain.text);
        for (signal, range) in swept.found {
            if !self.applies(signal) {
                continue;
            }
            let words = plain.text[range.clone()].split_whitespace().count();
            let after = plain.changed.partition_point(|word| word.end <= range.start);
            let changed =
                plain.changed[after..].iter().take_while(|word| word.start < range.end).count();
            if !plain.changed.is_empty() && changed * 3 < words.max(2) {
                continue;
            }
            let original = folded.map.original(plain.map.original(range));
            first.get_or_insert(original.clone());
            self.add(signal, original, form);
        }
        // Frequent words that are plain only now say so, too.
        let now_plain = swept.plain.iter().filter(|word| {
            let after = plain.changed.partition_point(|changed| changed.end <= word.start);
            plain.changed.get(after).is_some_and(|changed| changed.start <= word.start)
        });
        let is_disguise =
            plain.disguise != text::Disguise::Digits || now_plain.take(3).count() == 3;
        if let Some(range) = first.or_else(|| is_disguise.then_some(0..self.text.len())) {
            self.builtin(Builtin::Disguised, range, form);
        }
    }

    fn opened(&mut self, inner: &Folded, range: Range<usize>) {
        self.builtin(Builtin::EncodedText, range, Form::Encoded);
        let _ = self.sweep(inner, Form::Encoded);
    }
}

#[cfg(test)]
mod tests;
