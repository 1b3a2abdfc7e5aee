//! Files that only their owner may read: the store, its key, exports and evidence contain what callers did, and who
//! they are.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens a file to be written anew.
pub fn create(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)?;
    narrow(&file, path)?;
    // Only now that nobody else can open it; what is read by others already was there before.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Opens a file to be added to.
pub fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    narrow(&file, path)?;
    Ok(file)
}

/// Writes a whole file.
pub fn write(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    io::Write::write_all(&mut create(path)?, text.as_ref())
}

/// Takes from a file that is there what others may do with it. Fails if that cannot be.
pub fn keep_private(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => narrow(&file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What others may do with a file, where that is any of `mode`: `0o022` for writing, `0o077` for anything.
pub fn open_to_others(path: &Path, mode: u32) -> Option<u32> {
    let is = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (is & mode != 0).then_some(is)
}

fn narrow(file: &File, path: &Path) -> io::Result<()> {
    let about = file.metadata()?;
    let mode = about.permissions().mode() & 0o777;
    // A pipe or a terminal is whoever's it is.
    if !about.is_file() || mode & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode & 0o700)).map_err(|error| {
        let why = format!(
            "others can open it (mode {mode:04o}), and its mode cannot be changed: {error}"
        );
        io::Error::new(error.kind(), why)
    })?;
    let path = path.display();
    tracing::warn!(%path, "others could open it (mode {mode:04o}): access is now restricted to its owner");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_whatever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let wide = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        write(&path, "one").unwrap();
        assert_eq!(mode(), 0o600);
        wide(0o644);
        write(&path, "2").unwrap();
        assert_eq!((mode(), std::fs::read_to_string(&path).unwrap().as_str()), (0o600, "2"));
        wide(0o666);
        drop(append(&path).unwrap());
        assert_eq!(mode(), 0o600);
        wide(0o640);
        keep_private(&path).unwrap();
        assert_eq!(mode(), 0o600);
        keep_private(&folder.path().join("none")).unwrap();
        // A device is written to, and its permissions stay as they are.
        write(Path::new("/dev/null"), "x").unwrap();
    }
}
