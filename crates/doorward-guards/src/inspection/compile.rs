//! From settings and files to what inspects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use doorward_config::{InspectionSettings, MessageInspection};
use doorward_inspect::detect::DetectorFile;
use doorward_inspect::{Detectors, RuleFile, Rules, Scanner};
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
#[error("{0}")]
pub struct BadInspection(pub String);

impl Files {
    fn rule_files(&self) -> Result<Vec<RuleFile>, BadInspection> {
        parse(&self.rules, |text| RuleFile::parse(text).map_err(|error| error.to_string()))
    }

    fn detector_files(&self) -> Result<Vec<DetectorFile>, BadInspection> {
        parse(&self.detectors, |text| DetectorFile::parse(text).map_err(|error| error.to_string()))
    }
}

fn parse<T>(
    files: &BTreeMap<String, String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, BadInspection> {
    let one = |(name, text): (&String, &String)| {
        read(text).map_err(|why| BadInspection(format!("{name}: {why}")))
    };
    files.iter().map(one).collect()
}

impl Inspection {
    pub(super) fn compile(
        settings: InspectionSettings,
        files: Files,
        keys: Arc<Keys>,
    ) -> Result<Self, BadInspection> {
        let rules = files.rule_files()?;
        let rules = Rules::with(&rules)
            .map_err(|error| BadInspection(format!("inspection.rules: {error}")))?;
        let scanner = Arc::new(Scanner::new(rules));
        let detectors = files.detector_files()?;
        let detectors = Detectors::with(&detectors)
            .map_err(|error| BadInspection(format!("inspection.detectors: {error}")))?;
        // The examples are the tests of their rules: what does not pass them is not put in force.
        if !files.rules.is_empty()
            && let Some(why) = scanner.check_examples().into_iter().next()
        {
            return Err(BadInspection(format!("inspection.rules: {why}")));
        }
        if !files.detectors.is_empty()
            && let Some(why) = detectors.check_examples().into_iter().next()
        {
            return Err(BadInspection(format!("inspection.detectors: {why}")));
        }
        names_exist(&settings, &detectors)?;
        let general = Plans::new(&settings.general_arguments(), &settings.general_results());
        Ok(Self {
            settings,
            files,
            scanner,
            detectors: Arc::new(detectors),
            keys,
            general: Arc::new(general),
            plans: RwLock::new(HashMap::new()),
        })
    }
}

/// Classes and detectors that settings name are found by something: a misspelled name would mask nothing.
fn names_exist(settings: &InspectionSettings, detectors: &Detectors) -> Result<(), BadInspection> {
    let ids: HashSet<&str> = detectors.all().map(|(id, _)| id).collect();
    let classes: HashSet<&str> = detectors.all().map(|(_, class)| class).collect();
    let check = |at: &str, direction: found::Direction, it: &MessageInspection| {
        let direction = direction.as_str();
        if let Some(class) = it.data.classes.keys().find(|class| !classes.contains(class.as_str()))
        {
            let mut known: Vec<&str> = classes.iter().copied().collect();
            known.sort_unstable();
            let known = known.join(", ");
            return Err(BadInspection(format!(
                "{at}.{direction}.data.classes: no detector finds '{class}'; there are {known}"
            )));
        }
        if let Some(id) = it.data.detectors.keys().find(|id| !ids.contains(id.as_str())) {
            return Err(BadInspection(format!(
                "{at}.{direction}.data.detectors: there is no detector '{id}'"
            )));
        }
        Ok(())
    };
    let both = |at: &str, arguments: &MessageInspection, results: &MessageInspection| {
        check(at, found::Direction::Arguments, arguments)?;
        check(at, found::Direction::Results, results)
    };
    both("inspection", &settings.arguments, &settings.results)?;
    for (number, it) in settings.exceptions.iter().enumerate() {
        both(&format!("inspection.exceptions.{number}"), &it.arguments, &it.results)?;
    }
    Ok(())
}
