//! Reads configuration files: the gateway's own `doorward.yaml`, and the JSON files of agents and editors as they are.
//! All problems are reported together, each with its location.

mod expand;
mod foreign;
mod registry;
mod report;
mod tree;
mod vault;

use std::cell::Cell;
use std::path::{Path, PathBuf};

pub use doorward_config::Problem;
use doorward_config::Settings;

use self::expand::{Dialect, Sources, Surroundings};
use self::tree::Node;
pub use self::tree::Place;
use self::vault::Vault;
pub use report::{Color, Finding, Report};

/// Largest file that is read as a configuration.
const MAX_FILE: u64 = 4 << 20;
/// Type errors that are looked for in one file.
const MAX_PROBLEMS: usize = 50;

/// A configuration that can be used, and what was noticed while it was read.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Keys of a foreign file that have no meaning here, and names that were changed.
    pub notices: Vec<String>,
    /// The file as it was read.
    pub text: String,
    /// It refers to what may change while the gateway runs: files, or secrets in a vault.
    pub changeable: bool,
    path: PathBuf,
    /// Where every value is.
    places: Node,
}

impl Loaded {
    /// A report of problems that were found later, with their places.
    pub fn report(&self, problems: Vec<Problem>) -> Report {
        report_on(&self.path, &self.text, &self.places, problems)
    }
}

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let source = Source::read(path)?;
    let vault = Vault::default();
    let sources = Sources {
        env: &|name| std::env::var(name).ok(),
        vault: &|reference| vault.read(reference),
        changeable: Cell::new(false),
    };
    source.settings(&sources)
}

/// Reads a file for import: its references stay references, in the gateway's own form.
pub fn load_for_import(path: &Path) -> Result<Loaded, Report> {
    let mut source = Source::read(path)?;
    let mut notices = Vec::new();
    if source.is_foreign() {
        let around = Surroundings::of(path);
        let problems = expand::rewrite(&mut source.tree, &around);
        if !problems.is_empty() {
            return Err(source.report(problems));
        }
        notices = source.translate()?;
    }
    let settings = source.typed()?;
    Ok(source.loaded(settings, notices, false))
}

/// A file that was read, and what it says.
struct Source {
    path: PathBuf,
    text: String,
    tree: Node,
    /// The tree as it was before anything was taken out of it, for the places.
    whole: Node,
}

impl Source {
    fn read(path: &Path) -> Result<Self, Report> {
        let unreadable = |why: String| Report::unreadable(path, why);
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if metadata.len() > MAX_FILE {
            return Err(unreadable(format!("it is larger than {MAX_FILE} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        match tree::parse(&text) {
            Ok(tree) => Ok(Self { path: path.to_owned(), text, whole: tree.clone(), tree }),
            Err((place, problem)) => {
                let finding = Finding { key: String::new(), problem, place };
                Err(Report::new(path, &text, vec![finding]))
            }
        }
    }

    fn is_foreign(&self) -> bool {
        foreign::is_foreign(&self.tree)
    }

    fn settings(mut self, sources: &Sources<'_>) -> Result<Loaded, Report> {
        let around = Surroundings::of(&self.path);
        let dialect = if self.is_foreign() { Dialect::Foreign } else { Dialect::Own };
        let notices = match dialect {
            // What is not taken over need not be expanded.
            Dialect::Foreign => self.translate()?,
            Dialect::Own => Vec::new(),
        };
        let mut problems = expand::expand(&mut self.tree, dialect, &around, sources);
        for problem in &problems {
            // Left as it is it would be found wrong again, less clearly.
            self.tree.remove(&problem.path);
        }
        match self.typed() {
            Ok(settings) if problems.is_empty() => {
                let changeable = sources.changeable.get();
                let mut notices = notices;
                notices.extend(settings.identity.warnings());
                Ok(self.loaded(settings, notices, changeable))
            }
            Ok(_) => Err(self.report(problems)),
            Err(report) => {
                let earlier = self.report(std::mem::take(&mut problems));
                Err(earlier.and(report))
            }
        }
    }

    /// Replaces a foreign file's tree by one of the gateway's own form.
    fn translate(&mut self) -> Result<Vec<String>, Report> {
        let around = Surroundings::of(&self.path);
        match foreign::translate(&self.tree, &around) {
            Ok((tree, notices)) => {
                self.whole = tree.clone();
                self.tree = tree;
                Ok(notices)
            }
            Err(findings) => Err(Report::new(&self.path, &self.text, findings)),
        }
    }

    /// The tree as settings, checked.
    fn typed(&self) -> Result<Settings, Report> {
        let mut tree = self.tree.clone();
        let mut problems = Vec::new();
        let settings = loop {
            match serde_path_to_error::deserialize::<_, Settings>(tree.to_json()) {
                Ok(settings) => break settings,
                Err(error) => {
                    let path = path_of(error.path());
                    let problem = doorward_config::explain(&error.into_inner().to_string());
                    let removed = tree.remove(&path);
                    problems.push(Problem { path, problem });
                    if !removed || problems.len() >= MAX_PROBLEMS {
                        return Err(self.report(problems));
                    }
                }
            }
        };
        // What was found wrong already is not found wrong again for lack of what was taken out.
        let found: Vec<Vec<String>> = problems.iter().map(|problem| problem.path.clone()).collect();
        problems.extend(settings.problems().into_iter().filter(|problem| {
            let entry = &problem.path[..problem.path.len().min(2)];
            !found.iter().any(|path| path.starts_with(entry))
        }));
        if problems.is_empty() { Ok(settings) } else { Err(self.report(problems)) }
    }

    fn report(&self, problems: Vec<Problem>) -> Report {
        report_on(&self.path, &self.text, &self.whole, problems)
    }

    fn loaded(self, settings: Settings, notices: Vec<String>, changeable: bool) -> Loaded {
        let Self { path, text, whole: places, .. } = self;
        Loaded { settings, notices, text, changeable, path, places }
    }
}

fn report_on(path: &Path, text: &str, places: &Node, problems: Vec<Problem>) -> Report {
    let findings = problems.into_iter().map(|Problem { path, problem }| Finding {
        place: places.locate(&path),
        key: path.join("."),
        problem,
    });
    Report::new(path, text, findings.collect())
}

fn path_of(path: &serde_path_to_error::Path) -> Vec<String> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect()
}

impl Place {
    fn is_known(self) -> bool {
        self.line > 0
    }
}
