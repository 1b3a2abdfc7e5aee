//! The detectors, compiled.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest;

use super::file::{DetectorFile, DetectorRule, Position};
use super::found::{BUILT_IN, Context, Match, is_word_byte};
use super::literals::Literals;
use super::rule::{Lazy, MAX_REACH, Rule};
use super::{assigned, families, number};
use crate::budget::Budget;
use crate::yaml::{self, BadFile};

/// A detector is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDetector {
    #[error("the detector file is not valid: {0}")]
    Format(BadFile),
    #[error("detector {id}: {why}")]
    Detector { id: String, why: String },
}

/// All detectors.
#[derive(Debug)]
pub struct Detectors {
    /// Ids and classes, by number.
    names: Vec<(String, String)>,
    /// In lower case.
    classes: HashSet<String>,
    off: HashSet<usize>,
    literals: Literals<Trigger>,
    regexes: Vec<Rule>,
    fields: Vec<(Vec<String>, usize)>,
    hashes: Vec<Hashes>,
    /// Those of the operator, for their examples.
    own: Vec<DetectorRule>,
}

#[derive(Debug, Clone, Copy)]
enum Trigger {
    /// A word of an operator's list.
    Word(usize),
    Rule(usize),
    /// A keyword that secrets are assigned to.
    Assigned,
}

/// A search in a text.
struct Search<'a> {
    text: &'a str,
    /// By rule, up to where it has searched: literals in what it has searched are not searched again.
    searched: Vec<usize>,
    reach: usize,
    found: Vec<Match>,
}

#[derive(Debug)]
struct Hashes {
    detector: usize,
    hashes: HashSet<Vec<u8>>,
    lengths: (usize, usize),
}

impl DetectorFile {
    /// Parses a detector file (YAML).
    pub fn parse(yaml: &str) -> Result<Self, BadDetector> {
        yaml::parse(yaml).map_err(BadDetector::Format)
    }
}

impl Detectors {
    /// The ready-made detectors with files of the operator, which are applied in order.
    pub fn with(files: &[DetectorFile]) -> Result<Self, BadDetector> {
        let mut rules = families::all()?;
        let mut is_ready_made = vec![true; rules.len()];
        for rule in files.iter().flat_map(|file| &file.detectors) {
            match rules.iter().position(|other| other.id == rule.id) {
                Some(at) => {
                    rules[at].clone_from(rule);
                    is_ready_made[at] = false;
                }
                None => {
                    rules.push(rule.clone());
                    is_ready_made.push(false);
                }
            }
        }
        let is_own =
            |(rule, is_ready_made): (&DetectorRule, &bool)| (!is_ready_made).then(|| rule.clone());
        let own = rules.iter().zip(&is_ready_made).filter_map(is_own).collect();
        let mut names: Vec<(String, String)> =
            BUILT_IN.iter().map(|(id, class)| ((*id).to_owned(), (*class).to_owned())).collect();
        let mut off = HashSet::new();
        let mut literals: Vec<(String, bool, Trigger)> = assigned::KEYWORDS
            .iter()
            .map(|word| ((*word).to_owned(), false, Trigger::Assigned))
            .collect();
        let (mut regexes, mut fields, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (rule, is_ready_made)) in rules.iter().zip(is_ready_made).enumerate() {
            let bad = |why: String| BadDetector::Detector { id: rule.id.clone(), why };
            let detector = names.len();
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if rule.class.is_empty() || rule.class.len() > 32 || !rule.class.chars().all(is_name) {
                return Err(bad(
                    "a class is one to 32 lower-case letters, digits and underscores".into()
                ));
            }
            if names.iter().any(|(id, _)| *id == rule.id) {
                return Err(bad("there is a built-in detector with this id".into()));
            }
            names.push((rule.id.clone(), rule.class.clone()));
            if rule.literals.iter().any(|literal| literal.len() < 2) {
                return Err(bad("literals have two characters or more".into()));
            }
            if rule.reach > MAX_REACH {
                return Err(bad(format!("a match has at most {MAX_REACH} bytes")));
            }
            let trigger = match &rule.regex {
                Some(_) if rule.literals.is_empty() => {
                    return Err(bad("a regular expression needs literals".into()));
                }
                Some(regex) => {
                    let regex = match is_ready_made {
                        true => families::regex(at),
                        false => Arc::new(Lazy::now(regex).map_err(&bad)?),
                    };
                    regexes.push(Rule {
                        detector,
                        regex,
                        position: rule.position,
                        reach: rule.reach,
                        entropy: rule.entropy,
                        guards_short: is_ready_made,
                    });
                    Trigger::Rule(regexes.len() - 1)
                }
                None => Trigger::Word(detector),
            };
            let of_words = rule.regex.is_none() || rule.position == Position::Start;
            literals
                .extend(rule.literals.iter().map(|literal| (literal.clone(), of_words, trigger)));
            for field in &rule.fields {
                let pattern = field
                    .strip_prefix('/')
                    .ok_or_else(|| bad(format!("{field} is no JSON pointer")))?;
                fields.push((pattern.split('/').map(str::to_owned).collect(), detector));
            }
            if !rule.hashes.is_empty() {
                let parsed = rule.hashes.iter().map(|hash| digest_of(hash)).collect::<Option<_>>();
                let hashed = parsed.ok_or_else(|| bad("a hash is 64 hexadecimal digits".into()))?;
                hashes.push(Hashes { detector, hashes: hashed, lengths: rule.lengths });
            }
            if rule.regex.is_none()
                && rule.literals.is_empty()
                && rule.fields.is_empty()
                && rule.hashes.is_empty()
            {
                return Err(bad("it has no literals, regular expression, fields or hashes".into()));
            }
        }
        for id in files.iter().flat_map(|file| &file.off) {
            let number = names.iter().position(|(other, _)| other == id);
            off.insert(number.ok_or_else(|| BadDetector::Detector {
                id: id.clone(),
                why: "there is no such detector to turn off".into(),
            })?);
        }
        let classes = names.iter().map(|(_, class)| class.to_ascii_lowercase()).collect();
        let literals = Literals::new(literals);
        Ok(Self { names, classes, off, literals, regexes, fields, hashes, own })
    }

    /// The id of a detector.
    pub fn id(&self, detector: usize) -> &str {
        self.names.get(detector).map_or("", |(id, _)| id)
    }

    /// The class of what a detector finds.
    pub fn class(&self, detector: usize) -> &str {
        self.names.get(detector).map_or("", |(_, class)| class)
    }

    /// Whether anything that is found has this class, in lower case.
    pub fn has_class(&self, class: &str) -> bool {
        self.classes.contains(class)
    }

    /// Ids and classes of all detectors, by number.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(id, class)| (&**id, &**class))
    }

    /// The detector by field that a pointer matches, if any.
    pub fn field(&self, pointer: &str) -> Option<usize> {
        let parts = || pointer.strip_prefix('/').unwrap_or_default().split('/');
        let matches = |pattern: &[String]| {
            parts().count() == pattern.len()
                && parts().zip(pattern).all(|(part, wanted)| wanted == "*" || wanted == part)
        };
        self.fields
            .iter()
            .find(|(pattern, detector)| !self.off.contains(detector) && matches(pattern))
            .map(|(_, detector)| *detector)
    }

    /// Whether there are detectors by field.
    pub fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether a text has a literal of a detector, or may have a value that is known by its hash.
    pub(crate) fn may_find(&self, text: &str) -> bool {
        !self.hashes.is_empty() || self.literals.is_in(text.as_bytes())
    }

    /// What is found in a text, in order and without overlaps: of two that overlap, the longer one.
    pub fn find(&self, text: &str, context: Context<'_>, budget: &mut Budget) -> Vec<Match> {
        let whole = 0..text.len();
        self.find_in(text, std::slice::from_ref(&whole), context, budget).0
    }

    /// What is found in parts of a text, which are in order and do not overlap: what begins in them, or has its literal
    /// there. The text around them is read, too. With how far behind a literal that was seen its match may end.
    pub(crate) fn find_in(
        &self,
        text: &str,
        parts: &[Range<usize>],
        context: Context<'_>,
        budget: &mut Budget,
    ) -> (Vec<Match>, usize) {
        if !budget.take(parts.iter().map(Range::len).sum()) {
            return (Vec::new(), 0);
        }
        let mut search = Search { text, searched: Vec::new(), reach: 0, found: Vec::new() };
        for part in parts {
            self.literals.each(text.as_bytes(), part.clone(), |hit, triggers| {
                triggers.iter().for_each(|it| self.literal(&hit, *it, &mut search, budget));
                true
            });
            number::find(text, part.clone(), context, &mut search.found);
        }
        let Search { mut found, reach, .. } = search;
        assigned::member(text, context, &mut found);
        self.hashed(text, budget, &mut found);
        found.retain(|found| !self.off.contains(&found.detector));
        (resolve(found, |detector| self.class(detector) == "secret"), reach)
    }

    /// Searches around a literal.
    fn literal(
        &self,
        hit: &Range<usize>,
        trigger: Trigger,
        search: &mut Search<'_>,
        budget: &mut Budget,
    ) {
        let text = search.text;
        match trigger {
            Trigger::Word(detector) => {
                let bytes = text.as_bytes();
                let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| is_word_byte(*byte));
                let before = hit.start.checked_sub(1).and_then(|before| bytes.get(before));
                let bounded = |edge: u8, next: Option<&u8>| !is_word_byte(edge) || !is_part(next);
                if bounded(bytes[hit.start], before)
                    && bounded(bytes[hit.end - 1], bytes.get(hit.end))
                {
                    search.found.push(Match { detector, range: hit.clone() });
                }
            }
            Trigger::Assigned => assigned::after(text, hit.clone(), &mut search.found),
            Trigger::Rule(number) => {
                search.searched.resize(self.regexes.len(), 0);
                let rule = &self.regexes[number];
                search.reach = search.reach.max(rule.reach);
                let range = rule.search(text, hit.clone(), &mut search.searched[number], budget);
                search.found.extend(range.map(|range| Match { detector: rule.detector, range }));
            }
        }
    }

    fn hashed(&self, text: &str, budget: &mut Budget, found: &mut Vec<Match>) {
        for list in &self.hashes {
            let (least, most) = list.lengths;
            let mut check = |range: Range<usize>| {
                if (least..=most).contains(&range.len()) && budget.take(range.len().max(64)) {
                    let hash = digest::digest(&digest::SHA256, text[range.clone()].as_bytes());
                    if list.hashes.contains(hash.as_ref()) {
                        found.push(Match { detector: list.detector, range });
                    }
                }
            };
            check(0..text.len());
            let mut at = 0;
            for word in text.split_whitespace() {
                let start = text[at..].find(word).map_or(at, |offset| at + offset);
                at = start + word.len();
                let trimmed = word.trim_matches(|c: char| {
                    matches!(
                        c,
                        '"' | '\''
                            | '`'
                            | ','
                            | ';'
                            | '.'
                            | ':'
                            | '('
                            | ')'
                            | '['
                            | ']'
                            | '<'
                            | '>'
                    )
                });
                let from = start + word.find(trimmed).unwrap_or_default();
                check(from..from + trimmed.len());
            }
        }
    }

    /// Checks the examples of every detector of the operator's. Returns what is wrong, by detector.
    pub fn check_examples(&self) -> Vec<BadDetector> {
        let finds = |id: &str, text: &str| {
            let found = self.find(text, Context::default(), &mut Budget::default());
            found.iter().any(|found| self.id(found.detector) == id)
        };
        let mut wrong = Vec::new();
        let bad = |id: &str, why| BadDetector::Detector { id: id.to_owned(), why };
        for rule in &self.own {
            wrong.extend(
                rule.examples
                    .hit
                    .iter()
                    .filter(|text| !finds(&rule.id, text))
                    .map(|text| bad(&rule.id, format!("does not find {text:?}"))),
            );
            wrong.extend(
                rule.examples
                    .miss
                    .iter()
                    .filter(|text| finds(&rule.id, text))
                    .map(|text| bad(&rule.id, format!("finds {text:?}"))),
            );
        }
        wrong
    }
}

/// Of matches that overlap, the longer one; of equally long ones, that of the earlier detector. What is partly a secret is one.
fn resolve(mut found: Vec<Match>, is_secret: impl Fn(usize) -> bool) -> Vec<Match> {
    if found.len() > 1 {
        found.sort_by_key(|found| {
            (found.range.start, std::cmp::Reverse(found.range.end), found.detector)
        });
        let mut kept: Vec<Match> = Vec::with_capacity(found.len());
        for next in found {
            match kept.last_mut() {
                Some(last) if next.range.start < last.range.end => {
                    // What sticks out belongs to the earlier one: nothing of either is left over.
                    if next.range.end > last.range.end {
                        let range = last.range.start..next.range.end;
                        let (one, other) = (is_secret(last.detector), is_secret(next.detector));
                        if other && !one || one == other && next.range.len() > last.range.len() {
                            last.detector = next.detector;
                        }
                        last.range = range;
                    }
                }
                _ => kept.push(next),
            }
        }
        return kept;
    }
    found
}

fn digest_of(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = hex.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>().filter(|bytes| bytes.len() == 32)
}
