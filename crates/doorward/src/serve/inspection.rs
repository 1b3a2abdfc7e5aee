//! The rule and detector files of inspection, reloaded when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_config::Settings;
use doorward_gateway::Gateway;
use doorward_guards::inspection::{BadInspection, Files, Prepared, Where};
use doorward_inspect::written;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Finding, Loaded, Place, Problem, Report};

/// How often the files are checked.
const EVERY: Duration = Duration::from_millis(500);
/// Maximum size of a file in bytes, and maximum number of files in a folder.
const LONGEST: u64 = 4 << 20;
const MOST: usize = 256;

/// Applies the settings of inspection, with the files that they name.
pub fn declare(gateway: &Gateway, settings: &Settings) -> Result<bool, BadInspection> {
    let inspection = settings.inspection.as_ref();
    let changed = gateway.inspection.declare(inspection, files(settings)?)?;
    if changed {
        changed_to(gateway, settings);
    }
    Ok(changed)
}

/// Checks the settings of inspection and the files that they name, without applying them.
pub fn prepare(settings: &Settings) -> Result<Prepared, BadInspection> {
    Prepared::of(settings.inspection.as_ref(), files(settings)?)
}

/// Applies settings that were checked before.
pub fn put(gateway: &Gateway, prepared: Prepared, settings: &Settings) {
    if gateway.inspection.put(prepared) {
        changed_to(gateway, settings);
    }
}

fn changed_to(gateway: &Gateway, settings: &Settings) {
    written::use_detectors(gateway.inspection.detectors());
    gateway.declare_definitions(settings);
}

/// The files that settings name.
fn files(settings: &Settings) -> Result<Files, BadInspection> {
    let Some(inspection) = &settings.inspection else { return Ok(Files::default()) };
    let of = |key: &str, paths: &[PathBuf]| {
        read(paths).map_err(|why| BadInspection {
            at: Where::Key(vec!["inspection".into(), key.into()]),
            why,
        })
    };
    let (rules, detectors) = (&inspection.rules, &inspection.detectors);
    Ok(Files { rules: of("rules", rules)?, detectors: of("detectors", detectors)? })
}

/// A report of what is wrong, in the file where it is: the configuration, or one that it names.
pub fn report(loaded: &Loaded, bad: BadInspection) -> Report {
    let BadInspection { at, why } = bad;
    match at {
        Where::Key(path) => loaded.report(vec![Problem { path, problem: why }]),
        Where::File { name, line, column } => {
            let path = Path::new(&name);
            let finding =
                Finding { key: String::new(), problem: why, place: Place { line, column } };
            Report::new(path, &text(path).unwrap_or_default(), vec![finding])
        }
    }
}

/// Follows settings and files while the handle lives. Invalid ones are refused, and logged once.
pub fn follow(gateway: &Arc<Gateway>) -> AbortOnDropHandle<()> {
    let gateway = gateway.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut logged = String::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let of = gateway.clone();
            let declaring = move || declare(&of, &of.settings());
            let refused = match tokio::task::spawn_blocking(declaring).await {
                Ok(Ok(false)) => String::new(),
                Ok(Ok(true)) => {
                    tracing::info!("inspection reloaded");
                    String::new()
                }
                Ok(Err(why)) => why.to_string(),
                Err(_) => continue,
            };
            if refused != logged && !refused.is_empty() {
                tracing::error!(
                    "the new settings of inspection are invalid; the previous ones stay active: \
                        {refused}"
                );
            }
            logged = refused;
        }
    }))
}

/// The texts of files, and of the `*.yaml` files of folders.
fn read(paths: &[PathBuf]) -> Result<BTreeMap<String, String>, String> {
    let mut texts = BTreeMap::new();
    for path in paths {
        let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
        if !path.is_dir() {
            texts.insert(path.display().to_string(), text(path)?);
            continue;
        }
        for entry in path.read_dir().map_err(wrong)?.take(MOST * 4) {
            let file = entry.map_err(wrong)?.path();
            let is_yaml = file.extension().is_some_and(|it| it == "yaml" || it == "yml");
            if is_yaml && texts.len() < MOST {
                texts.insert(file.display().to_string(), text(&file)?);
            }
        }
    }
    Ok(texts)
}

fn text(path: &Path) -> Result<String, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let length = path.metadata().map_err(|error| wrong(error.to_string()))?.len();
    if length > LONGEST {
        return Err(wrong(format!("it is longer than {LONGEST} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
}
