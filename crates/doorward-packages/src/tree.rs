//! The digest of an unpacked package: of the names, contents and executable bits of all its files. It is verified each
//! time that the package is started.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{Context, SHA256};

use crate::digest::Digest;
use crate::error::{Error, Result};

/// Threads that read files side by side.
const READERS: usize = 4;
/// Files and folders that are looked at, at most.
const MAX_ENTRIES: usize = 300_000;

/// What a folder holds: a line for each file, `x` or `-`, SHA-256, path, in the order of the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(String);

impl Listing {
    /// Reads all files below a folder.
    ///
    /// # Errors
    /// If there is anything but regular files and folders, or something cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(folder, "", &mut files)?;
        files.sort_unstable_by(|one: &Entry, other| one.path.cmp(&other.path));
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let hashed = Mutex::new(vec![String::new(); files.len()]);
        std::thread::scope(|scope| {
            for _ in 0..READERS.min(files.len()) {
                scope.spawn(|| {
                    let mut buffer = vec![0; 256 << 10];
                    let mut own = Vec::new();
                    while let Some((at, file)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        files.get(at).map(|file| (at, file))
                    } {
                        match hash(&folder.join(&file.path), &mut buffer) {
                            Ok(hash) => own.push((at, hash)),
                            Err(error) => {
                                put(&failed, Some(error));
                                return;
                            }
                        }
                    }
                    if let Ok(mut hashed) = hashed.lock() {
                        for (at, hash) in own {
                            hashed[at] = hash;
                        }
                    }
                });
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_default() {
            return Err(error);
        }
        let hashed = hashed.into_inner().unwrap_or_default();
        let mut text = String::with_capacity(files.len() * 128);
        for (file, hash) in files.iter().zip(hashed) {
            let kind = if file.executable { 'x' } else { '-' };
            text.push_str(&format!("{kind} {hash} {}\n", file.path));
        }
        Ok(Self(text))
    }

    pub fn digest(&self) -> Digest {
        Digest::sha256_of(self.0.as_bytes())
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// The first file that differs from another listing.
    fn difference(&self, was: &str) -> Option<String> {
        let (mut now, mut was) = (self.0.lines().peekable(), was.lines().peekable());
        let path = |line: &str| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
        loop {
            return Some(match (now.peek(), was.peek()) {
                (None, None) => return None,
                (Some(new), None) => format!("'{}' was added", path(new)),
                (None, Some(old)) => format!("'{}' is missing", path(old)),
                (Some(new), Some(old)) if new == old => {
                    now.next();
                    was.next();
                    continue;
                }
                (Some(new), Some(old)) => match path(new).cmp(&path(old)) {
                    std::cmp::Ordering::Less => format!("'{}' was added", path(new)),
                    std::cmp::Ordering::Equal => format!("'{}' has changed", path(new)),
                    std::cmp::Ordering::Greater => format!("'{}' is missing", path(old)),
                },
            });
        }
    }
}

fn put<T>(place: &Mutex<T>, value: T) {
    if let Ok(mut place) = place.lock() {
        *place = value;
    }
}

/// Where the listing of a folder is kept: beside it.
pub fn listing_of(folder: &Path) -> PathBuf {
    folder.with_extension("files")
}

/// Checks that a folder holds what its digest says, byte by byte.
///
/// # Errors
/// If it does not: which file has changed, or what cannot be read.
pub fn verify(folder: &Path, digest: &Digest) -> Result<()> {
    let now = Listing::of(folder)?;
    if now.digest() == *digest {
        return Ok(());
    }
    let was = fs::read_to_string(listing_of(folder)).unwrap_or_default();
    let which = if Digest::sha256_of(was.as_bytes()) == *digest {
        now.difference(&was).unwrap_or_default()
    } else {
        "its content has changed".into()
    };
    let why = format!(
        "the package in {} is not what was locked: {which}; remove the folder to fetch it again",
        folder.display()
    );
    Err(Error::Refused(why))
}

#[derive(Debug)]
struct Entry {
    path: String,
    executable: bool,
}

fn collect(root: &Path, below: &str, files: &mut Vec<Entry>) -> Result<()> {
    let folder = root.join(below);
    let failed = |error: std::io::Error| Error::io(&folder, &error);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Error::refused(format!("a name in {} is not UTF-8", folder.display()))
        })?;
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        // Not followed where it is a link.
        let about = entry.metadata().map_err(failed)?;
        if about.is_dir() {
            collect(root, &path, files)?;
        } else if about.is_file() && !name.contains('\n') {
            files.push(Entry { path, executable: about.permissions().mode() & 0o111 != 0 });
        } else {
            return Err(Error::refused(format!("'{path}' is not a regular file")));
        }
        if files.len() > MAX_ENTRIES {
            return Err(Error::refused(format!("more than {MAX_ENTRIES} files")));
        }
    }
    Ok(())
}

fn hash(path: &Path, buffer: &mut [u8]) -> Result<String> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut context = Context::new(&SHA256);
    loop {
        match file.read(buffer).map_err(failed)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let mut value = [0; 32];
    value.copy_from_slice(context.finish().as_ref());
    Ok(Digest::Sha256(value).hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_a_folder_is_found_and_named() {
        let whole = tempfile::tempdir().unwrap();
        let folder = whole.path().join("tree");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        let file = folder.join("a/b/c.js");
        fs::write(&file, "one").unwrap();
        fs::write(folder.join("a/d.js"), "two").unwrap();
        let listing = Listing::of(&folder).unwrap();
        fs::write(listing_of(&folder), listing.text()).unwrap();
        let digest = listing.digest();
        verify(&folder, &digest).unwrap();
        let refused = || verify(&folder, &digest).unwrap_err().to_string();

        fs::write(&file, "onf").unwrap();
        assert!(refused().contains("'a/b/c.js' has changed"), "{}", refused());
        fs::write(&file, "one").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(refused().contains("'a/b/c.js' has changed"), "{}", refused());
        fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        verify(&folder, &digest).unwrap();
        fs::write(folder.join("a/e.js"), "").unwrap();
        assert!(refused().contains("'a/e.js' was added"), "{}", refused());
        fs::remove_file(folder.join("a/e.js")).unwrap();
        fs::rename(folder.join("a/d.js"), whole.path().join("d.js")).unwrap();
        assert!(refused().contains("'a/d.js' is missing"), "{}", refused());
        std::os::unix::fs::symlink(whole.path().join("d.js"), folder.join("a/d.js")).unwrap();
        assert!(refused().contains("'a/d.js' is not a regular file"), "{}", refused());
    }
}
