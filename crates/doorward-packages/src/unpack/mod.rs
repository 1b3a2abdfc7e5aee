//! Unpacks archives into a folder: regular files only, each inside the folder and once, within bounds. Nothing of an
//! archive is run, and nothing but names, contents and the executable bit is taken from it.

mod tar;
mod zip;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use self::tar::unpack_tar_gz;
pub use self::zip::{read_from_zip, unpack_zip, zip_names};

/// What a package with all its dependencies may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub files: usize,
    pub bytes: u64,
    /// Bytes of an archive for each of its own, beyond `SLACK`.
    pub ratio: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { files: 100_000, bytes: 2 << 30, ratio: 100 }
    }
}

/// What any archive may become, however small it is.
const SLACK: u64 = 16 << 20;
const MAX_DEPTH: usize = 64;
const MAX_PATH: usize = 1_024;
const MAX_COMPONENT: usize = 255;

/// Writes files below a folder that is empty at first.
#[derive(Debug)]
pub struct Unpacker {
    root: PathBuf,
    bounds: Bounds,
    files: usize,
    bytes: u64,
    /// Names without case, and as they are written. Files are `true`.
    seen: HashMap<String, (String, bool)>,
}

impl Unpacker {
    pub fn new(root: &Path, bounds: Bounds) -> Self {
        Self { root: root.to_owned(), bounds, files: 0, bytes: 0, seen: HashMap::new() }
    }

    /// Bytes that an archive may still become.
    fn allowance(&self, archive: usize) -> u64 {
        let by_ratio = (archive as u64).saturating_mul(self.bounds.ratio).saturating_add(SLACK);
        by_ratio.min(self.bounds.bytes.saturating_sub(self.bytes))
    }

    /// Writes one file. `allowance` is what is left of its archive's.
    ///
    /// # Errors
    /// If the name is not that of a new file inside the folder, or a bound is exceeded.
    pub fn file(
        &mut self,
        name: &str,
        executable: bool,
        content: &mut dyn Read,
        allowance: &mut u64,
    ) -> Result<()> {
        let path = self.claim(name)?;
        self.files += 1;
        if self.files > self.bounds.files {
            return Err(Error::refused(format!("more than {} files", self.bounds.files)));
        }
        let whole = self.root.join(&path);
        if let Some(folder) = whole.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
        }
        let mode = if executable { 0o555 } else { 0o444 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&whole);
        let mut file = file.map_err(|error| Error::io(&whole, &error))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = content.read(&mut buffer);
            let read = read.map_err(|error| Error::refused(format!("'{name}': {error}")))?;
            if read == 0 {
                return Ok(());
            }
            *allowance = allowance.checked_sub(read as u64).ok_or_else(|| {
                let why = "it unpacks to more than is accepted for an archive of its size";
                Error::refused(why)
            })?;
            self.bytes += read as u64;
            file.write_all(&buffer[..read]).map_err(|error| Error::io(&whole, &error))?;
        }
    }

    /// Takes a name for a file. No other may have it, in whatever case, nor one of its folders.
    fn claim(&mut self, name: &str) -> Result<String> {
        let path = checked(name)?;
        let mut at = 0;
        loop {
            let end = path[at..].find('/').map(|length| at + length);
            let (part, is_file) = (&path[..end.unwrap_or(path.len())], end.is_none());
            let folded = part.to_lowercase();
            match self.seen.get(&folded) {
                Some((there, _)) if there != part => {
                    let why = format!("'{there}' and '{part}' differ only in case");
                    return Err(Error::refused(why));
                }
                Some((_, was_file)) if is_file || *was_file => {
                    return Err(Error::refused(format!("'{part}' is there twice")));
                }
                Some(_) => {}
                None => {
                    self.seen.insert(folded, (part.to_owned(), is_file));
                }
            }
            match end {
                Some(end) => at = end + 1,
                None => return Ok(path),
            }
        }
    }
}

/// A name of an archive as a path inside of a folder.
fn checked(name: &str) -> Result<String> {
    let wrong = |why: &str| {
        let shown: String = name.chars().take(200).flat_map(char::escape_debug).collect();
        Err(Error::refused(format!("the name '{shown}' {why}")))
    };
    let path = name.strip_prefix("./").unwrap_or(name);
    if path.len() > MAX_PATH {
        return wrong("is too long");
    }
    if path.starts_with('/') || path.contains('\\') || path.contains(':') {
        return wrong("is not relative to the package");
    }
    if path.chars().any(char::is_control) {
        return wrong("has control characters");
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > MAX_DEPTH {
        return wrong("has too many folders");
    }
    for part in parts {
        match part {
            "" | "." => return wrong("is not a name of a file"),
            ".." => return wrong("leads out of the package"),
            part if part.len() > MAX_COMPONENT => return wrong("is too long"),
            _ => {}
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests;
