//! Packages of npm: the dependencies resolved once, as npm would, verified, and laid out as `node_modules`. No script of
//! any of them is run.

mod document;
mod layout;
mod node;
mod resolve;
mod signature;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::lock::Artifact;
use crate::unpack::{Unpacker, unpack_tar_gz};

use layout::is_name;
pub use node::Node;
pub use resolve::resolve;
pub use signature::check_locked;

/// Largest `package.json`.
const MAX_MANIFEST: u64 = 4 << 20;

/// What a package's own `package.json` says.
#[derive(Debug, Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(default)]
    bin: Option<Bin>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Bin {
    One(String),
    Many(BTreeMap<String, String>),
}

/// Unpacks an archive to its place, and checks that it is the package that the registry said.
///
/// # Errors
/// If it is another one, or its archive is refused.
pub fn unpack(
    unpacker: &mut Unpacker,
    root: &Path,
    archive: &Artifact,
    bytes: &[u8],
) -> Result<()> {
    unpack_tar_gz(unpacker, bytes, &format!("{}/", archive.path))?;
    let manifest = manifest(root, &archive.path)?;
    let version = manifest.version.trim_start_matches(['v', '=']);
    if manifest.name != archive.name || version != archive.version {
        return Err(Error::refused(format!(
            "its package.json says {}@{}",
            manifest.name.escape_debug(),
            manifest.version.escape_debug()
        )));
    }
    Ok(())
}

fn manifest(root: &Path, path: &str) -> Result<Manifest> {
    let file = root.join(path).join("package.json");
    let about = std::fs::metadata(&file).map_err(|error| Error::io(&file, &error))?;
    if about.len() > MAX_MANIFEST {
        return Err(Error::refused("its package.json is too large"));
    }
    let text = std::fs::read(&file).map_err(|error| Error::io(&file, &error))?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    serde_json::from_slice(text)
        .map_err(|error| Error::refused(format!("its package.json is not valid: {error}")))
}

/// The programs of an unpacked package (`bin`), as paths from the root.
///
/// # Errors
/// If one of them is not a file of the package that Node runs.
pub fn programs(root: &Path, path: &str) -> Result<BTreeMap<String, String>> {
    let manifest = manifest(root, path)?;
    let bare = manifest.name.rsplit('/').next().unwrap_or_default().to_owned();
    let all = match manifest.bin {
        None => BTreeMap::new(),
        Some(Bin::One(file)) => [(bare, file)].into(),
        Some(Bin::Many(files)) => files,
    };
    let mut programs = BTreeMap::new();
    for (name, file) in all {
        let file = file.trim_start_matches("./");
        let leads_out = file.split('/').any(|part| part == "..") || file.starts_with('/');
        let whole = root.join(path).join(file);
        let Some(text) = (!leads_out).then(|| beginning(&whole)).flatten() else {
            return Err(Error::refused(format!("its program '{name}' is not one of its files")));
        };
        let first = text.lines().next().unwrap_or_default();
        if first.starts_with("#!") && !first.contains("node") {
            return Err(Error::unsupported(format!(
                "its program '{name}' is not run by Node: {first}"
            )));
        }
        programs.insert(name, format!("{path}/{file}"));
    }
    Ok(programs)
}

fn beginning(file: &Path) -> Option<String> {
    use std::io::Read;
    let mut start = Vec::new();
    std::fs::File::open(file).ok()?.take(256).read_to_end(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start).into_owned())
}
