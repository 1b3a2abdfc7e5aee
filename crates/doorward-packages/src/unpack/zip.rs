//! Wheels and MCP bundles: zip archives.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::Unpacker;
use crate::error::{Error, Result};

/// Largest single file that is read into memory, such as metadata.
const MAX_READ: u64 = 8 << 20;

fn open(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>> {
    ZipArchive::new(Cursor::new(bytes)).map_err(broken)
}

#[allow(clippy::needless_pass_by_value)]
fn broken(error: zip::result::ZipError) -> Error {
    Error::refused(format!("its archive is broken: {error}"))
}

/// Unpacks an archive. `place` says where a file goes, and whether it is a program; `None` leaves it out.
///
/// # Errors
/// If it has anything but regular files and folders, is encrypted, or what `Unpacker::file` refuses.
pub fn unpack_zip(
    unpacker: &mut Unpacker,
    bytes: &[u8],
    mut place: impl FnMut(&str, bool) -> Option<(String, bool)>,
) -> Result<()> {
    let mut archive = open(bytes)?;
    if archive.len() > unpacker.bounds.files {
        return Err(Error::refused(format!("more than {} files", unpacker.bounds.files)));
    }
    let mut allowance = unpacker.allowance(bytes.len());
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).map_err(broken)?;
        let name = std::str::from_utf8(file.name_raw())
            .map_err(|_| Error::refused("a name in its archive is not UTF-8"))?
            .to_owned();
        const KIND: u32 = 0o170_000;
        let mode = file.unix_mode().unwrap_or(0o644);
        if !matches!(mode & KIND, 0 | 0o100_000 | 0o040_000) {
            let why = format!("'{}' is a link or not a regular file", name.escape_debug());
            return Err(Error::refused(why));
        }
        if file.is_dir() || name.ends_with('/') {
            continue;
        }
        // Judged as it stands, wherever it goes.
        super::checked(&name)?;
        if let Some((path, executable)) = place(&name, mode & 0o100 != 0) {
            unpacker.file(&path, executable, &mut file, &mut allowance)?;
        }
    }
    Ok(())
}

/// The names of all files of an archive.
///
/// # Errors
/// If it is broken.
pub fn zip_names(bytes: &[u8]) -> Result<Vec<String>> {
    let archive = open(bytes)?;
    let names =
        archive.file_names().map(|name| name.map(std::borrow::Cow::into_owned).map_err(broken));
    names.collect()
}

/// One file of an archive. `None` if it is not there.
///
/// # Errors
/// If the archive is broken, or the file is too large.
pub fn read_from_zip(bytes: &[u8], name: &str) -> Result<Option<Vec<u8>>> {
    let mut archive = open(bytes)?;
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(broken(error)),
    };
    let mut content = Vec::new();
    let read = file.take(MAX_READ + 1).read_to_end(&mut content);
    read.map_err(|error| Error::refused(format!("'{name}': {error}")))?;
    if content.len() as u64 > MAX_READ {
        return Err(Error::refused(format!("'{name}' is larger than {MAX_READ} bytes")));
    }
    Ok(Some(content))
}
