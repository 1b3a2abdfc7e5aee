//! From settings and files to what inspects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use doorward_config::{InspectionSettings, MessageInspection};
use doorward_inspect::detect::{BadDetector, DetectorFile};
use doorward_inspect::rules::BadRule;
use doorward_inspect::{BadFile, Detectors, RuleFile, Rules, Scanner};
use parking_lot::RwLock;

use super::plan::Plans;
use super::tokens::Keys;
use super::{Inspection, found};

/// The texts of the files that settings name, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    pub rules: BTreeMap<String, String>,
    pub detectors: BTreeMap<String, String>,
}

/// Settings or files that cannot be used: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct BadInspection {
    pub at: Where,
    pub why: String,
}

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// The path of a key of the configuration.
    Key(Vec<String>),
    /// Line and column are from 1, and 0 where they are not known.
    File { name: String, line: usize, column: usize },
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(path) => f.write_str(&path.join(".")),
            Self::File { name, line: 0, .. } => f.write_str(name),
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
        }
    }
}

impl BadInspection {
    /// Of the rules, detectors or other settings below `inspection`.
    fn of_key(path: &[&str], why: impl Into<String>) -> Self {
        let path = ["inspection"].iter().chain(path).map(|key| (*key).to_owned()).collect();
        Self { at: Where::Key(path), why: why.into() }
    }

    fn of_file(name: &str, bad: &BadFile) -> Self {
        let BadFile { line, column, why } = bad;
        let at = Where::File { name: name.to_owned(), line: *line, column: *column };
        Self { at, why: doorward_config::explain(why) }
    }

    /// Of a rule or detector, where a file names it.
    fn of_entry(files: &BTreeMap<String, String>, key: &str, id: &str, why: String) -> Self {
        // What a later file says replaces what an earlier one does.
        let place = files.iter().rev().find_map(|(name, text)| Some((name, place_of(text, id)?)));
        match place {
            Some((name, (line, column))) => {
                Self { at: Where::File { name: name.clone(), line, column }, why }
            }
            None => Self::of_key(&[key], why),
        }
    }
}

/// Where a file names an ID: as that of an entry, or else anywhere.
fn place_of(text: &str, id: &str) -> Option<(usize, usize)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let places = || {
        text.lines().enumerate().flat_map(|(number, line)| {
            let whole = |at: &usize| {
                !line[..*at].ends_with(is_part) && !line[*at + id.len()..].starts_with(is_part)
            };
            let found = line.match_indices(id).map(|(at, _)| at).filter(whole);
            found.map(move |at| (number + 1, line, at)).collect::<Vec<_>>()
        })
    };
    let is_id =
        |line: &str, at: usize| line[..at].trim_end_matches([' ', '"', '\'']).ends_with("id:");
    let all = || places().map(|(number, line, at)| (number, line[..at].chars().count() + 1));
    let own = places().find(|(_, line, at)| is_id(line, *at));
    own.map(|(number, line, at)| (number, line[..at].chars().count() + 1)).or_else(|| all().next())
}

/// Settings that were checked, with the files that they name, compiled.
#[derive(Debug)]
pub struct Prepared {
    pub(super) settings: Option<InspectionSettings>,
    pub(super) files: Files,
    compiled: Option<(Arc<Scanner>, Arc<Detectors>)>,
}

impl Prepared {
    /// Checks settings and files; `None` turns inspection off. Takes some milliseconds.
    pub fn of(settings: Option<&InspectionSettings>, files: Files) -> Result<Self, BadInspection> {
        let compiled = settings.map(|settings| compile(settings, &files)).transpose()?;
        Ok(Self { settings: settings.cloned(), files, compiled })
    }

    /// The IDs of the signals that are looked for.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        let scanner = self.compiled.as_ref().map(|(scanner, _)| scanner);
        scanner.into_iter().flat_map(|it| it.rules().signals()).map(|signal| signal.id.as_str())
    }

    /// The classes of data that are looked for.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        let detectors = self.compiled.as_ref().map(|(_, detectors)| detectors);
        detectors.into_iter().flat_map(|it| it.all()).map(|(_, class)| class)
    }

    pub(super) fn into_inspection(self, keys: &Arc<Keys>) -> Option<Inspection> {
        let (settings, (scanner, detectors)) = self.settings.zip(self.compiled)?;
        let general = Plans::new(&settings.general_arguments(), &settings.general_results());
        Some(Inspection {
            settings,
            files: self.files,
            scanner,
            detectors,
            keys: keys.clone(),
            general: Arc::new(general),
            plans: RwLock::new(HashMap::new()),
        })
    }
}

fn compile(
    settings: &InspectionSettings,
    files: &Files,
) -> Result<(Arc<Scanner>, Arc<Detectors>), BadInspection> {
    let bad_rule = |error| match error {
        BadRule::Format(bad) => BadInspection::of_key(&["rules"], bad.why),
        BadRule::Signal { ref id, .. } => {
            BadInspection::of_entry(&files.rules, "rules", id, error.to_string())
        }
    };
    let bad_detector = |error| match error {
        BadDetector::Format(bad) => BadInspection::of_key(&["detectors"], bad.why),
        BadDetector::Detector { ref id, .. } => {
            BadInspection::of_entry(&files.detectors, "detectors", id, error.to_string())
        }
    };
    let mut rules = Vec::new();
    for (name, text) in &files.rules {
        rules.push(RuleFile::parse(text).map_err(|error| match error {
            BadRule::Format(bad) => BadInspection::of_file(name, &bad),
            other => bad_rule(other),
        })?);
    }
    let scanner = Scanner::new(Rules::with(&rules).map_err(bad_rule)?);
    let mut detectors = Vec::new();
    for (name, text) in &files.detectors {
        detectors.push(DetectorFile::parse(text).map_err(|error| match error {
            BadDetector::Format(bad) => BadInspection::of_file(name, &bad),
            other => bad_detector(other),
        })?);
    }
    let detectors = Detectors::with(&detectors).map_err(bad_detector)?;
    // The examples are the tests of their rules: what does not pass them is not put in force.
    if !files.rules.is_empty()
        && let Some(error) = scanner.check_examples().into_iter().next()
    {
        return Err(bad_rule(error));
    }
    if !files.detectors.is_empty()
        && let Some(error) = detectors.check_examples().into_iter().next()
    {
        return Err(bad_detector(error));
    }
    names_exist(settings, &detectors)?;
    Ok((Arc::new(scanner), Arc::new(detectors)))
}

/// Classes and detectors that settings name are found by something: a misspelled name would mask nothing.
fn names_exist(settings: &InspectionSettings, detectors: &Detectors) -> Result<(), BadInspection> {
    let ids: BTreeSet<&str> = detectors.all().map(|(id, _)| id).collect();
    let classes: BTreeSet<&str> = detectors.all().map(|(_, class)| class).collect();
    let check = |at: &[&str], direction: found::Direction, it: &MessageInspection| {
        let at = [at, &[direction.as_str(), "data"]].concat();
        if let Some(class) = it.data.classes.keys().find(|class| !classes.contains(class.as_str()))
        {
            let known = classes.iter().copied().collect::<Vec<_>>().join(", ");
            let why = format!("no detector finds '{class}'; there are {known}");
            return Err(BadInspection::of_key(&[&at[..], &["classes", class]].concat(), why));
        }
        if let Some(id) = it.data.detectors.keys().find(|id| !ids.contains(id.as_str())) {
            let why = format!("there is no detector '{id}'");
            return Err(BadInspection::of_key(&[&at[..], &["detectors", id]].concat(), why));
        }
        Ok(())
    };
    let both = |at: &[&str], arguments: &MessageInspection, results: &MessageInspection| {
        check(at, found::Direction::Arguments, arguments)?;
        check(at, found::Direction::Results, results)
    };
    both(&[], &settings.arguments, &settings.results)?;
    for (number, it) in settings.exceptions.iter().enumerate() {
        both(&["exceptions", &number.to_string()], &it.arguments, &it.results)?;
    }
    Ok(())
}
