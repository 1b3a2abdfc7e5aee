//! Policy files and their tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use doorward_policy::Case;

use crate::commands::{Exit, Failed};

/// Maximum size of a file of policies or tests.
const MAX_FILE: u64 = 4 << 20;
const POLICIES: &str = ".cedar";
const TESTS: [&str; 2] = [".test.yaml", ".test.yml"];

/// Texts by file name.
#[derive(Debug, Default)]
pub struct Files {
    pub policies: BTreeMap<String, String>,
    tests: BTreeMap<String, String>,
}

/// Reads files, and the files of folders that have the right extension. A missing path, or one
/// without policies, is an error.
pub fn read(paths: &[PathBuf]) -> Result<Files, Failed> {
    try_read(paths).map_err(|why| Failed::new(Exit::Config, why))
}

pub fn try_read(paths: &[PathBuf]) -> Result<Files, String> {
    let mut files = Files::default();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| wrong(path, &error))?;
        if !metadata.is_dir() {
            files.take(path, true)?;
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| wrong(path, &error))? {
            inside.push(entry.map_err(|error| wrong(path, &error))?.path());
        }
        inside.sort();
        for path in inside {
            files.take(&path, false)?;
        }
    }
    if files.policies.is_empty() {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("{}: there is no *.cedar file", paths.join(", ")));
    }
    Ok(files)
}

fn wrong(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

impl Files {
    fn take(&mut self, path: &Path, named: bool) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let tests = TESTS.iter().any(|ending| name.ends_with(ending));
        if !tests && !named && !name.ends_with(POLICIES) {
            return Ok(());
        }
        let metadata = std::fs::metadata(path).map_err(|error| wrong(path, &error))?;
        if metadata.len() > MAX_FILE {
            return Err(wrong(path, &format!("it is larger than {MAX_FILE} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(path, &error))?;
        let all = if tests { &mut self.tests } else { &mut self.policies };
        if all.insert(name, text).is_some() {
            return Err(wrong(path, &"another file has the same name"));
        }
        Ok(())
    }

    /// The tests, by file.
    pub fn cases(&self) -> Result<Vec<(String, Vec<Case>)>, Failed> {
        let read = |(name, text): (&String, &String)| {
            let wrong =
                |error: serde_saphyr::Error| Failed::new(Exit::Config, format!("{name}: {error}"));
            Ok((name.clone(), serde_saphyr::from_str::<Vec<Case>>(text).map_err(wrong)?))
        };
        self.tests.iter().map(read).collect()
    }
}
