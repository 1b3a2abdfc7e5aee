//! Wheels: their metadata, where their files go, and their programs.

use std::collections::BTreeMap;

use super::index::Parts;
use super::requirement::{Requirement, normalized};
use crate::error::{Error, Result};
use crate::lock::Artifact;
use crate::unpack::{Unpacker, read_from_zip, unpack_zip, zip_names};

/// Where modules are.
pub const SITE: &str = "site";
/// Requirements of one wheel.
const MAX_REQUIREMENTS: usize = 2_000;

/// What a wheel needs (`METADATA`).
#[derive(Debug, Default)]
pub struct Metadata {
    pub requirements: Vec<Requirement>,
    pub name: String,
    pub version: String,
}

impl Metadata {
    /// # Errors
    /// If a requirement cannot be read.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(text);
        let mut metadata = Self::default();
        for line in text.lines().take_while(|line| !line.trim().is_empty()) {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key {
                "Name" => metadata.name = normalized(value.trim()),
                "Version" => metadata.version = value.trim().to_owned(),
                "Requires-Dist" => metadata.requirements.push(Requirement::parse(value)?),
                _ => {}
            }
            if metadata.requirements.len() > MAX_REQUIREMENTS {
                return Err(Error::refused(format!("more than {MAX_REQUIREMENTS} requirements")));
            }
        }
        Ok(metadata)
    }

    /// Reads it from a wheel, and checks that the wheel is the package that its name says.
    ///
    /// # Errors
    /// If it is another one, or none.
    pub fn of_wheel(file: &str, bytes: &[u8]) -> Result<Self> {
        let parts = Parts::of(file)
            .ok_or_else(|| Error::refused(format!("'{file}' is not a name of a wheel")))?;
        let folder = dist_info(bytes, &parts)?;
        let text = read_from_zip(bytes, &format!("{folder}/METADATA"))?;
        let text = text.ok_or_else(|| Error::refused("it has no METADATA"))?;
        let metadata = Self::parse(&text)?;
        let same =
            metadata.version.parse::<pep440_rs::Version>().is_ok_and(|it| it == parts.version);
        if metadata.name != parts.name || !same {
            let (name, version) = (&metadata.name, &metadata.version);
            return Err(Error::refused(format!("its METADATA says {name} {version}")));
        }
        Ok(metadata)
    }
}

/// The wheel's one folder of metadata.
fn dist_info(bytes: &[u8], parts: &Parts<'_>) -> Result<String> {
    let mut found: Option<String> = None;
    for name in zip_names(bytes)? {
        let Some((folder, _)) = name.split_once('/') else { continue };
        let Some(bare) = folder.strip_suffix(".dist-info") else { continue };
        let its = bare.split('-').next().unwrap_or_default();
        if normalized(its) != parts.name || found.as_deref().is_some_and(|one| one != folder) {
            return Err(Error::refused(format!(
                "it has the metadata of another package: {folder}"
            )));
        }
        found = Some(folder.to_owned());
    }
    found.ok_or_else(|| Error::refused("it has no metadata"))
}

/// Unpacks a wheel: its modules into `site`, its data beside it. Headers are left out.
///
/// # Errors
/// If its archive is refused.
pub fn unpack(unpacker: &mut Unpacker, archive: &Artifact, bytes: &[u8]) -> Result<()> {
    let file = archive.url.rsplit('/').next().unwrap_or_default();
    Metadata::of_wheel(file, bytes)?;
    unpack_zip(unpacker, bytes, |name, executable| {
        let Some((folder, rest)) = name.split_once('/') else {
            return Some((format!("{SITE}/{name}"), executable));
        };
        if !folder.ends_with(".data") {
            return Some((format!("{SITE}/{name}"), executable));
        }
        let (scheme, rest) = rest.split_once('/')?;
        match scheme {
            "purelib" | "platlib" => Some((format!("{SITE}/{rest}"), executable)),
            "scripts" => Some((format!("bin/{rest}"), true)),
            "data" => Some((rest.to_owned(), executable)),
            _ => None,
        }
    })
}

/// The console scripts of a wheel: `module:function` by name.
///
/// # Errors
/// If its list of them is not valid.
pub fn programs(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let parts =
        Parts::of(file).ok_or_else(|| Error::refused(format!("'{file}' is not a wheel")))?;
    let folder = dist_info(bytes, &parts)?;
    let Some(text) = read_from_zip(bytes, &format!("{folder}/entry_points.txt"))? else {
        return Ok(BTreeMap::new());
    };
    Ok(console_scripts(&String::from_utf8_lossy(&text)))
}

fn console_scripts(text: &str) -> BTreeMap<String, String> {
    let mut programs = BTreeMap::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_inside = section.trim_end_matches(']').trim() == "console_scripts";
            continue;
        }
        if !is_inside || line.starts_with(['#', ';']) {
            continue;
        }
        let Some((name, place)) = line.split_once('=') else { continue };
        let place = place.split('[').next().unwrap_or_default();
        let Some((module, function)) = place.split_once(':') else { continue };
        let (module, function) = (module.trim(), function.trim());
        if is_dotted(module) && is_dotted(function) {
            programs.insert(name.trim().to_owned(), format!("{module}:{function}"));
        }
    }
    programs
}

/// Whether a text is a name of a module, or of something in it.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|it| it.is_alphanumeric() || it == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_ends_with_its_headers() {
        let text = "Metadata-Version: 2.1\nName: A_b\nVersion: 1.0\nRequires-Dist: x>=1\nRequires-Dist: y; \
                    extra == 'z'\n\nRequires-Dist: text of the readme\n";
        let metadata = Metadata::parse(text.as_bytes()).unwrap();
        assert_eq!((metadata.name.as_str(), metadata.version.as_str()), ("a-b", "1.0"));
        let names: Vec<&str> = metadata.requirements.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["x", "y"]);
    }

    #[test]
    fn console_scripts_are_functions_of_modules() {
        let text = "[gui_scripts]\ng = a:b\n[console_scripts]\nrun-it = pkg.server:main\n other=pkg:app.run [extra]\n\
                    bad = pkg\nworse = pkg; import os:main\n[x]\ny = a:b\n";
        let programs = console_scripts(text);
        let found: Vec<(&str, &str)> =
            programs.iter().map(|(name, place)| (name.as_str(), place.as_str())).collect();
        assert_eq!(found, [("other", "pkg:app.run"), ("run-it", "pkg.server:main")]);
    }
}
