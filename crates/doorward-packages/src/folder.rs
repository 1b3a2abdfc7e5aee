//! Where packages are unpacked: one folder for each, named by its digest.
//!
//! ```text
//! trees/<digest>/…      all files of a package and its dependencies
//! trees/<digest>.files  their names and digests
//! staging/…             what is being unpacked
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::tree::{self, Listing};

/// What was left half unpacked is removed after this time.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The folder of all packages.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, and creates it where it does not exist.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| Error::io(path, &error))?;
        let folder = Self(path);
        for name in ["trees", "staging"] {
            let path = folder.0.join(name);
            fs::create_dir_all(&path).map_err(|error| Error::io(&path, &error))?;
        }
        folder.sweep();
        Ok(folder)
    }

    /// Where a package is, or would be.
    pub fn tree(&self, digest: &Digest) -> PathBuf {
        self.0.join("trees").join(digest.hex())
    }

    /// An empty folder to unpack into, removed when dropped.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn stage(&self) -> Result<Staging> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Process ids come again, and in containers are all the same.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let moment = since.map_or(0, |since| since.as_nanos());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{moment:x}-{number}", std::process::id());
        let path = self.0.join("staging").join(id);
        fs::create_dir(&path).map_err(|error| Error::io(&path, &error))?;
        Ok(Staging { path, trees: self.0.join("trees") })
    }

    fn sweep(&self) {
        let entries = fs::read_dir(self.0.join("staging")).into_iter().flatten().flatten();
        for entry in entries {
            let age = entry.metadata().and_then(|about| about.modified()).ok();
            let age = age.and_then(|modified| modified.elapsed().ok());
            if age.is_some_and(|age| age > STALE) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A folder that is being filled.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    trees: PathBuf,
}

impl Staging {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its place and its digest. One that is there already is replaced if it has been changed.
    ///
    /// # Errors
    /// If its digest is not the expected one, or it cannot be moved.
    pub fn finish(self, expected: Option<&Digest>) -> Result<(Digest, PathBuf)> {
        let failed = |error: std::io::Error| Error::io(&self.path, &error);
        for entry in folders(&self.path).map_err(failed)? {
            // For whichever user the package runs as.
            fs::set_permissions(&entry, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        let listing = Listing::of(&self.path)?;
        let digest = listing.digest();
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(Error::refused(format!(
                "the unpacked package is not what was locked: expected {expected}, found {digest}"
            )));
        }
        let place = self.trees.join(digest.hex());
        fs::write(tree::listing_of(&place), listing.text()).map_err(failed)?;
        if place.exists() && tree::verify(&place, &digest).is_err() {
            fs::remove_dir_all(&place).map_err(|error| Error::io(&place, &error))?;
        }
        if let Err(error) = fs::rename(&self.path, &place) {
            // Another process may have been quicker.
            tree::verify(&place, &digest).map_err(|_| failed(error))?;
        }
        Ok((digest, place))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A folder and all folders below it.
fn folders(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = vec![root.to_owned()];
    let mut at = 0;
    while at < all.len() {
        for entry in fs::read_dir(&all[at])? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                all.push(entry.path());
            }
        }
        at += 1;
    }
    Ok(all)
}
