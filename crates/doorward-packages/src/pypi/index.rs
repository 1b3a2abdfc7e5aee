//! What an index of Python packages says of one: its files, of which wheels count alone (the simple API in JSON, PEP 691
//! and 700). Source distributions are left out: to install one is to run its code.

use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;
use url::Url;

use super::requirement::normalized;
use super::tags::Target;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::fetch;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json";

#[derive(Debug, Deserialize)]
struct Project {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    hashes: BTreeMap<String, String>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Yanked,
    #[serde(default)]
    provenance: Option<Url>,
    #[serde(default, alias = "dist-info-metadata")]
    core_metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Yanked {
    Is(bool),
    Because(#[allow(dead_code)] String),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Is(false)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Metadata {
    Is(#[allow(dead_code)] bool),
    Hashes(BTreeMap<String, String>),
}

/// The best wheel of a version for this machine.
#[derive(Debug, Clone)]
pub struct Wheel {
    pub version: Version,
    pub file: String,
    pub url: Url,
    pub digest: Digest,
    pub is_yanked: bool,
    /// Where an attestation is.
    pub provenance: Option<Url>,
    /// The digest of its metadata, if that is beside it.
    pub metadata: Option<Digest>,
    rank: usize,
}

/// All versions of a package that this machine can run, and why there are not more.
#[derive(Debug, Default)]
pub struct Wheels {
    /// The newest last.
    pub by_version: BTreeMap<Version, Wheel>,
    /// Versions that have no wheel at all.
    pub only_source: Vec<Version>,
}

/// Asks the index for a package.
///
/// # Errors
/// If it cannot be reached, does not have the package, or does not answer in JSON.
pub async fn wheels(index: &Url, name: &str, target: &Target) -> Result<Wheels> {
    let url = fetch::below(index, &format!("{name}/"))?;
    let body = fetch::document(&url, ACCEPT).await?;
    let body = body
        .ok_or_else(|| Error::unsupported(format!("the index {index} has no package '{name}'")))?;
    of_project(&url, name, &body, target)
}

fn of_project(url: &Url, name: &str, body: &[u8], target: &Target) -> Result<Wheels> {
    let project: Project = serde_json::from_slice(body).map_err(|error| Error::Unreachable {
        url: url.to_string(),
        why: format!("the index does not answer in JSON (PEP 691): {error}"),
    })?;
    let python = Version::new([target.major, target.minor, target.patch].map(u64::from));
    let mut wheels = Wheels::default();
    for file in project.files {
        let suits = file.requires_python.as_deref().filter(|it| !it.trim().is_empty());
        let suits = suits.is_none_or(|range| {
            // Some old ones are written in forms that nobody can read: pip overlooks them, too.
            VersionSpecifiers::from_str(range).is_ok_and(|range| range.contains(&python))
        });
        if let Some(version) = source_version(&file.filename, name) {
            wheels.only_source.push(version);
            continue;
        }
        let Some(parts) = Parts::of(&file.filename).filter(|parts| parts.name == name) else {
            continue;
        };
        wheels.only_source.retain(|version| *version != parts.version);
        let rank = target.rank(parts.python, parts.abi, parts.platform);
        let (Some(rank), true) = (rank, suits) else { continue };
        let digest = file.hashes.get("sha256").ok_or_else(|| {
            Error::refused(format!("the index has no SHA-256 of '{}'", file.filename))
        })?;
        let metadata = match &file.core_metadata {
            Some(Metadata::Hashes(hashes)) => hashes.get("sha256").map(|hash| Digest::of_hex(hash)),
            _ => None,
        };
        let wheel = Wheel {
            version: parts.version.clone(),
            url: url
                .join(&file.url)
                .map_err(|error| Error::refused(format!("{}: {error}", file.url)))?,
            digest: Digest::of_hex(digest)?,
            is_yanked: !matches!(file.yanked, Yanked::Is(false)),
            provenance: file.provenance,
            metadata: metadata.transpose()?,
            file: file.filename,
            rank,
        };
        let best =
            wheels.by_version.get(&wheel.version).is_none_or(|other| wheel.rank < other.rank);
        if best {
            wheels.by_version.insert(wheel.version.clone(), wheel);
        }
    }
    let has = |version: &Version| wheels.by_version.contains_key(version);
    wheels.only_source =
        std::mem::take(&mut wheels.only_source).into_iter().filter(|it| !has(it)).collect();
    Ok(wheels)
}

/// What the name of a wheel says: `name-version(-build)-python-abi-platform.whl`.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Normalized.
    pub name: String,
    pub version: Version,
    pub python: &'a str,
    pub abi: &'a str,
    pub platform: &'a str,
}

impl<'a> Parts<'a> {
    pub fn of(file: &'a str) -> Option<Self> {
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let [name, version, .., python, abi, platform] = parts[..] else { return None };
        if !(5..=6).contains(&parts.len()) {
            return None;
        }
        let version = Version::from_str(&version.replace('_', "-")).ok()?;
        Some(Self { name: normalized(name), version, python, abi, platform })
    }
}

fn source_version(file: &str, name: &str) -> Option<Version> {
    let bare = file.strip_suffix(".tar.gz").or_else(|| file.strip_suffix(".zip"))?;
    let (its, version) = bare.rsplit_once('-')?;
    (normalized(its) == name).then(|| Version::from_str(version).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_for_this_machine_are_found_and_sources_left_out() {
        let target = Target {
            implementation: "cpython".into(),
            major: 3,
            minor: 11,
            patch: 7,
            abiflags: String::new(),
            machine: "x86_64".into(),
            glibc: Some((2, 36)),
            musl: None,
        };
        let file = |name: &str, more: &str| {
            let hash = "0".repeat(64);
            format!(
                r#"{{"filename": "{name}", "url": "../f/{name}", "hashes": {{"sha256": "{hash}"}}{more}}}"#
            )
        };
        let files = [
            file("a_b-1.0-py3-none-any.whl", ""),
            file("a_b-1.0.tar.gz", ""),
            file("a_b-1.1-cp311-cp311-manylinux_2_17_x86_64.whl", r#", "yanked": "broken""#),
            file("a_b-1.1-py3-none-any.whl", ""),
            file("a_b-1.2-py3-none-any.whl", r#", "requires-python": ">=3.12""#),
            file("a_b-1.3.tar.gz", r#", "yanked": false"#),
            file("a_b-1.4-cp312-cp312-win_amd64.whl", ""),
            file("other-9-py3-none-any.whl", ""),
            file("nonsense.whl", ""),
        ];
        let body = format!(r#"{{"files": [{}]}}"#, files.join(","));
        let url = Url::parse("https://i.example/simple/a-b/").unwrap();
        let found = of_project(&url, "a-b", body.as_bytes(), &target).unwrap();
        let names: Vec<&str> = found.by_version.values().map(|wheel| wheel.file.as_str()).collect();
        assert_eq!(
            names,
            ["a_b-1.0-py3-none-any.whl", "a_b-1.1-cp311-cp311-manylinux_2_17_x86_64.whl"]
        );
        assert!(found.by_version.values().next_back().unwrap().is_yanked);
        assert_eq!(found.only_source, ["1.3".parse().unwrap()]);
        let url = &found.by_version.values().next().unwrap().url;
        assert_eq!(url.as_str(), "https://i.example/simple/f/a_b-1.0-py3-none-any.whl");
        let html = of_project(url, "a-b", b"<html>", &target).unwrap_err().to_string();
        assert!(html.contains("PEP 691"), "{html}");
    }
}
