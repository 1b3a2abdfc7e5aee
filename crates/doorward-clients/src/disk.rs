//! Reads and writes files that belong to others: bounded, whole or not at all, never through a link, and with the
//! owner and the permissions that they had.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Largest file of a client. Claude Code keeps more than its servers in its file.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, Error)]
pub enum Error {
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is a symbolic link to {}; name the file that is meant with --file", .path.display(), .to.display())]
    Link { path: PathBuf, to: PathBuf },
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{} is larger than 16 MiB; is it the client's file?", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is not UTF-8 text; save it as UTF-8 and try again", .0.display())]
    NotText(PathBuf),
    #[error("{} was changed by another program meanwhile, and has not been touched; try again", .0.display())]
    Changed(PathBuf),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |error| Error::Io { path: path.to_owned(), error }
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub text: String,
    mode: u32,
    owner: (u32, u32),
}

impl Content {
    pub fn mode(&self) -> u32 {
        self.mode
    }
}

/// Reads a file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<Content>, Error> {
    let seen = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        seen => seen.map_err(at(path))?,
    };
    if seen.is_symlink() {
        let to = fs::read_link(path).map_err(at(path))?;
        return Err(Error::Link { path: path.to_owned(), to });
    }
    if !seen.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(at(path))?;
    let about = file.metadata().map_err(at(path))?;
    if (about.dev(), about.ino()) != (seen.dev(), seen.ino()) {
        return Err(Error::Changed(path.to_owned()));
    }
    if about.len() > MAX_FILE {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge(path.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned()))?;
    let owner = (about.uid(), about.gid());
    Ok(Some(Content { text, mode: about.mode() & 0o777, owner }))
}

/// The folder above `within` in which a path leaves it through a link, if there is one.
pub fn link_on_the_way(within: &Path, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(within).ok()?;
    let mut at = within.to_owned();
    below.parent()?.components().find_map(|part| {
        at.push(part);
        at.is_symlink().then(|| at.clone())
    })
}

/// Replaces a file in one step, if it is still as it was read.
pub fn write(path: &Path, text: &str, before: Option<&Content>, mode: u32) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.doorward-{}", std::process::id()));
    let _ = fs::remove_file(&new);
    let owner = before.map(|before| before.owner);
    let written = write_new(&new, text, mode, owner).and_then(|()| {
        // What another program has written meanwhile is not overwritten.
        if read(path)?.as_ref() != before {
            return Err(Error::Changed(path.to_owned()));
        }
        fs::rename(&new, path).map_err(at(path))
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Makes the folders of a file, with the modes that go with the file's. Returns those that were made, the innermost
/// first.
pub fn make_folders(path: &Path, mode: u32) -> Result<Vec<PathBuf>, Error> {
    let Some(folder) = path.parent() else { return Ok(Vec::new()) };
    let missing: Vec<_> =
        folder.ancestors().take_while(|it| !it.exists() && !it.as_os_str().is_empty()).collect();
    let mode = if mode & 0o077 == 0 { 0o700 } else { 0o755 };
    for folder in missing.iter().rev() {
        fs::DirBuilder::new().mode(mode).create(folder).map_err(at(folder))?;
    }
    Ok(missing.into_iter().map(Path::to_owned).collect())
}

fn write_new(path: &Path, text: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at(path))?;
    let about = file.metadata().map_err(at(path))?;
    if let Some((user, group)) = owner.filter(|owner| *owner != (about.uid(), about.gid())) {
        std::os::unix::fs::fchown(&file, Some(user), Some(group)).map_err(at(path))?;
    }
    file.write_all(text.as_bytes()).map_err(at(path))?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(path))?;
    file.sync_all().map_err(at(path))
}

/// Writes a copy beside a file, for its owner alone.
pub fn copy(path: &Path, text: &str, time: &str) -> Result<PathBuf, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for count in 1..100 {
        let more = if count == 1 { String::new() } else { format!("-{count}") };
        let copy = path.with_file_name(format!("{name}.doorward-backup-{time}{more}"));
        match write_new(&copy, text, 0o600, None) {
            Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let _ = fs::remove_file(&copy);
                return Err(error);
            }
            Ok(()) => return Ok(copy),
        }
    }
    let error = io::Error::new(io::ErrorKind::AlreadyExists, "there are too many copies of it");
    Err(Error::Io { path: path.to_owned(), error })
}

/// Deletes a file that is as it was read.
pub fn delete(path: &Path, before: &Content) -> Result<(), Error> {
    if read(path)?.as_ref() != Some(before) {
        return Err(Error::Changed(path.to_owned()));
    }
    fs::remove_file(path).map_err(at(path))
}
