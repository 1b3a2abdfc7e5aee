//! The lock file, `doorward.packages.lock` beside the configuration: what each package is, byte by byte. Sorted JSON,
//! meant for version control.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use doorward_config::PackageSettings;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// The form of the file.
const VERSION: u32 = 1;
/// Largest lock file that is read.
const MAX_FILE: u64 = 64 << 20;
const NAME: &str = "doorward.packages.lock";

/// All locked packages, by the names of their servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    pub servers: BTreeMap<String, Locked>,
    /// Keys that registries sign with, by the URL of the registry. What has been signed once must stay signed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<Url, Vec<RegistryKey>>,
}

/// One server's package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The package as it is configured: `npm:name@version`.
    pub package: String,
    /// The registry that it was resolved with; for a bundle, where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Url>,
    /// What it was resolved for, such as `linux-x64`, or `cp311-manylinux_2_36_x86_64`. Packages without anything that
    /// depends on the machine have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Digest of all unpacked files; for an image, its own.
    pub digest: Digest,
    /// The programs that it has: for npm, the file to run; for PyPI, `module:function`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// The manifest of an MCP bundle, as far as it says how to run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<serde_json::Value>,
    /// The package and all its dependencies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What an operator should know, such as scripts that are not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    pub name: String,
    pub version: String,
    /// Where it is unpacked, below the package's folder. Empty for wheels, which say so themselves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    pub url: String,
    pub digest: Digest,
    /// The registry's signature, and the id of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Who built it, by a Sigstore attestation that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// A registry's signature of `name@version:integrity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    pub keyid: String,
    /// ECDSA (P-256, SHA-256), DER in base64.
    pub sig: String,
}

/// Who signed an attestation: the identity of the certificate, such as the URL of a workflow, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    pub identity: String,
    pub issuer: String,
}

/// A public key of a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RegistryKey {
    pub keyid: String,
    /// SubjectPublicKeyInfo, DER in base64.
    pub key: String,
    /// Packages published later are not signed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

impl Default for Locked {
    fn default() -> Self {
        Self {
            package: String::new(),
            registry: None,
            platform: None,
            digest: Digest::Sha256([0; 32]),
            programs: BTreeMap::new(),
            manifest: None,
            artifacts: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// A package as it is configured, in one word.
pub fn reference(package: &PackageSettings) -> String {
    let Some((kind, name)) = package.source() else { return String::new() };
    let version = package.version.as_ref().map(|version| format!("@{version}"));
    let digest = package.digest.as_ref().map(|digest| format!("#{digest}"));
    format!("{kind}:{name}{}{}", version.unwrap_or_default(), digest.unwrap_or_default())
}

/// Replaces a lock file, whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn replace_file(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension(format!("lock.{}", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

impl Lock {
    pub fn new() -> Self {
        Self { version: VERSION, ..Self::default() }
    }

    /// The lock file of a configuration.
    pub fn beside(config: &Path) -> PathBuf {
        config.parent().map_or_else(|| PathBuf::from(NAME), |folder| folder.join(NAME))
    }

    /// Reads a lock file; one that does not exist lists nothing.
    ///
    /// # Errors
    /// If it cannot be read, or is of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let about = match fs::metadata(path) {
            Ok(about) => about,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::new()),
            Err(error) => return Err(Error::io(path, &error)),
        };
        let wrong = |why: String| Error::Io { path: path.to_owned(), why };
        if about.len() > MAX_FILE {
            return Err(wrong(format!("it is larger than {MAX_FILE} bytes")));
        }
        let text = fs::read(path).map_err(|error| Error::io(path, &error))?;
        let lock: Self = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("it is not a lock file of packages: {error}")))?;
        if lock.version != VERSION {
            return Err(wrong(format!("its version is {}, expected {VERSION}", lock.version)));
        }
        Ok(lock)
    }

    /// As it is written: keys sorted, a line for each value.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the file as a whole, or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        replace_file(path, &self.text()).map_err(|error| Error::io(path, &error))
    }

    /// What is locked for a server, if it is the package that is configured.
    ///
    /// # Errors
    /// If nothing is locked for it, or another package.
    pub fn of(&self, server: &str, package: &PackageSettings) -> Result<&Locked> {
        let configured = reference(package);
        let locked = self
            .servers
            .get(server)
            .ok_or_else(|| Error::NotLocked(format!("'{configured}' is not in the lock file")))?;
        if locked.package != configured {
            let why = format!("'{configured}' is configured, but '{}' is locked", locked.package);
            return Err(Error::NotLocked(why));
        }
        if let Some(registry) = &package.registry
            && locked.registry.as_ref() != Some(registry)
        {
            let why = format!(
                "'{configured}' is configured for {registry}, and locked for another registry"
            );
            return Err(Error::NotLocked(why));
        }
        if let Some(entry) = &package.entry
            && !locked.programs.contains_key(entry)
        {
            let names: Vec<&str> = locked.programs.keys().map(String::as_str).collect();
            let why = format!("'{configured}' has no program '{entry}', but {}", names.join(", "));
            return Err(Error::Unsupported(why));
        }
        Ok(locked)
    }

    /// Whether an archive of this name was signed when it was locked before, for whichever server.
    pub fn was_signed(&self, kind: &str, name: &str) -> bool {
        self.earlier(kind, name).any(|artifact| artifact.signature.is_some())
    }

    /// Who built an archive of this name when it was locked before.
    pub fn provenance_of<'a>(&'a self, kind: &'a str, name: &'a str) -> Option<&'a Provenance> {
        self.earlier(kind, name).find_map(|artifact| artifact.provenance.as_ref())
    }

    /// Checks that an archive is what it was when the same version was locked before.
    ///
    /// # Errors
    /// If a registry has another one now: versions never change.
    pub fn check_unchanged(&self, kind: &str, archive: &Artifact) -> Result<()> {
        let same = |artifact: &&Artifact| {
            artifact.version == archive.version && artifact.file() == archive.file()
        };
        match self.earlier(kind, &archive.name).find(same) {
            Some(was) if was.digest != archive.digest => Err(Error::refused(format!(
                "the registry has another archive for this version than the one that was locked: {} \
                 before, {} now",
                was.digest, archive.digest
            ))),
            _ => Ok(()),
        }
    }

    fn earlier<'a>(&'a self, kind: &'a str, name: &'a str) -> impl Iterator<Item = &'a Artifact> {
        let of_kind = move |locked: &&Locked| {
            locked.package.split_once(':').is_some_and(|(its, _)| its == kind)
        };
        let artifacts = self.servers.values().filter(of_kind).flat_map(|locked| &locked.artifacts);
        artifacts.filter(move |artifact| artifact.name == name)
    }
}

impl Artifact {
    /// The name of its file.
    fn file(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// For messages.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl Locked {
    /// The program that is run: the configured one, the one named like the package, or the only one.
    ///
    /// # Errors
    /// If none of them exists.
    pub fn program(&self, entry: Option<&str>, package: &str) -> Result<(&str, &str)> {
        let bare = package.rsplit('/').next().unwrap_or(package);
        let found = match entry {
            Some(entry) => self.programs.get_key_value(entry),
            None => self
                .programs
                .get_key_value(bare)
                .or_else(|| self.programs.iter().next().filter(|_| self.programs.len() == 1)),
        };
        found.map(|(name, value)| (name.as_str(), value.as_str())).ok_or_else(|| {
            let names: Vec<&str> = self.programs.keys().map(String::as_str).collect();
            Error::unsupported(match names[..] {
                [] => format!("'{package}' has no program"),
                _ => format!(
                    "'{package}' has several programs, name one as 'entry': {}",
                    names.join(", ")
                ),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(version: &str) -> PackageSettings {
        let (npm, version) = (Some("@a/b".into()), Some(version.into()));
        PackageSettings { npm, version, ..PackageSettings::default() }
    }

    #[test]
    fn a_lock_is_for_the_package_that_is_configured() {
        let mut lock = Lock::new();
        let missing = lock.of("x", &configured("1.0.0")).unwrap_err().to_string();
        assert!(missing.contains("not in the lock file; run 'doorward servers lock'"), "{missing}");
        let locked = Locked {
            package: "npm:@a/b@1.0.0".into(),
            programs: [("b".into(), "b.js".into()), ("c".into(), "c.js".into())].into(),
            ..Locked::default()
        };
        lock.servers.insert("x".into(), locked);
        let locked = lock.of("x", &configured("1.0.0")).unwrap();
        assert_eq!(locked.program(None, "@a/b").unwrap(), ("b", "b.js"));
        assert_eq!(locked.program(Some("c"), "@a/b").unwrap(), ("c", "c.js"));
        assert!(locked.program(None, "@a/z").unwrap_err().to_string().contains("name one"));
        let other = lock.of("x", &configured("1.0.1")).unwrap_err().to_string();
        assert!(other.contains("'npm:@a/b@1.0.0' is locked; run"), "{other}");
        let entry = PackageSettings { entry: Some("z".into()), ..configured("1.0.0") };
        assert!(lock.of("x", &entry).unwrap_err().to_string().contains("no program 'z'"));
    }

    #[test]
    fn a_lock_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = Lock::beside(&folder.path().join("doorward.yaml"));
        assert_eq!(Lock::read(&path).unwrap(), Lock::new());
        let mut lock = Lock::new();
        for name in ["b", "a"] {
            let locked = Locked { package: format!("npm:{name}@1.0.0"), ..Locked::default() };
            lock.servers.insert(name.into(), locked);
        }
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let text = lock.text();
        assert!(text.find("\"a\"") < text.find("\"b\""), "{text}");
        std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("its version is 2"));
    }
}
