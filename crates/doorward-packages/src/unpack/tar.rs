//! npm's packages: gzipped tar archives with everything in one folder.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::Unpacker;
use crate::error::{Error, Result};

/// Unpacks an archive below `into` (a path with a slash at its end, or nothing), without its first folder.
///
/// # Errors
/// If it has anything but regular files and folders, or what `Unpacker::file` refuses.
pub fn unpack_tar_gz(unpacker: &mut Unpacker, bytes: &[u8], into: &str) -> Result<()> {
    let mut allowance = unpacker.allowance(bytes.len());
    // Names and other records of the archive count, too, before anything of them is kept.
    let plain = MultiGzDecoder::new(bytes).take(allowance.saturating_mul(2).max(1 << 20));
    let mut archive = Archive::new(plain);
    let broken = |error: std::io::Error| Error::refused(format!("its archive is broken: {error}"));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path_bytes().into_owned();
        let name = String::from_utf8(name)
            .map_err(|_| Error::refused("a name in its archive is not UTF-8"))?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => {
                return Err(Error::refused(format!("'{}' is a link", name.escape_debug())));
            }
            _ => {
                let why = format!("'{}' is not a regular file", name.escape_debug());
                return Err(Error::refused(why));
            }
        }
        let plain = name.strip_prefix("./").unwrap_or(&name);
        let Some((_, inner)) = plain.split_once('/').filter(|(first, _)| !first.is_empty()) else {
            let why = format!("'{}' is in no folder of its archive", name.escape_debug());
            return Err(Error::refused(why));
        };
        if plain.starts_with("..") {
            return Err(Error::refused(format!("the name '{plain}' leads out of the package")));
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let path = format!("{into}{inner}");
        unpacker.file(&path, executable, &mut entry, &mut allowance)?;
    }
    Ok(())
}
