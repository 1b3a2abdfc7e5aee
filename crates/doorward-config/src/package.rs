//! Packages as servers: what is run instead of a `command`, and where packages are stored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Confinement, Secret, is_trustworthy};

/// Longest name or location of a package.
const MAX_NAME: usize = 2_048;
/// Longest version.
const MAX_VERSION: usize = 128;
/// Values of a bundle's user configuration.
const MAX_USER_CONFIG: usize = 100;

/// A package that is run as a server: exactly one of `npm`, `pypi`, `oci` and `mcpb`. `doorward servers lock` resolves
/// it; the gateway runs what the lock file lists, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PackageSettings {
    /// Name of an npm package, such as `@modelcontextprotocol/server-memory`. It runs on the machine's Node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npm: Option<String>,
    /// Name of a Python package, with extras if needed: `name[extra]`. It runs on the machine's Python, from wheels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pypi: Option<String>,
    /// Name of a container image, without tag: `registry/name`. It runs with Podman or Docker. Requires `digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<String>,
    /// An MCP bundle: an https:// URL, or a path. Requires `digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcpb: Option<String>,
    /// The exact version. Ranges and tags such as `latest` are not accepted. Optional for images, which `digest`
    /// identifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Digest that the package itself must have: `sha512-…` (npm, base64), or `sha256:…` (hexadecimal).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// URL of the npm registry or the PyPI index, if not that of `packages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<url::Url>,
    /// Which of its programs to run, if it has several: a name of npm's `bin`, or of a console script of a wheel.
    /// Default: the one named like the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Values for the `user_config` of an MCP bundle, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user_config: BTreeMap<String, UserValue>,
}

/// A value of a bundle's user configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UserValue {
    Switch(bool),
    Number(serde_json::Number),
    Text(Secret),
    List(Vec<Secret>),
}

/// Where packages come from, where they are stored, and what runs them. Each can also be set by an environment variable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PackagesSettings {
    /// Folder for unpacked packages. Default: `doorward/packages` in the data folder of the current user. Relative paths
    /// are relative to the configuration file's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// URL of the npm registry. Default: the environment variable `DOORWARD_NPM_REGISTRY`, else the registry that npm on
    /// this machine uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npm: Option<url::Url>,
    /// URL of the PyPI index (the simple API). Default: the environment variable `DOORWARD_PYPI_INDEX`, else the index
    /// that pip on this machine uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pypi: Option<url::Url>,
    /// The Node that runs npm packages. Default: `node` on the PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<PathBuf>,
    /// The Python that runs packages of PyPI. Default: `python3` on the PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// The Podman or Docker that runs images. Default: `podman` on the PATH, else `docker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<PathBuf>,
}

/// How a server's package is run: made from its settings and the lock file at start and reload, never read from a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Launch {
    Ready(Box<Program>),
    /// Why it cannot be run.
    Failed(String),
}

/// The program that a package is.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub command: String,
    /// All arguments: those that start the package, then the entry's.
    pub args: Vec<String>,
    /// All environment variables, the entry's included.
    pub env: BTreeMap<String, Secret>,
    /// Its sandbox. `None` for a container, which is one itself.
    pub confine: Option<Confinement>,
}

impl PackageSettings {
    /// Its kind and its name or location.
    pub fn source(&self) -> Option<(&'static str, &str)> {
        let all =
            [("npm", &self.npm), ("pypi", &self.pypi), ("oci", &self.oci), ("mcpb", &self.mcpb)];
        all.into_iter().find_map(|(kind, name)| Some((kind, name.as_deref()?)))
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let sources = [&self.npm, &self.pypi, &self.oci, &self.mcpb];
        if sources.iter().filter(|source| source.is_some()).count() != 1 {
            problems.push("expected exactly one of 'npm', 'pypi', 'oci' and 'mcpb'".into());
        }
        let Some((kind, name)) = self.source() else { return problems };
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            problems.push(format!("'{kind}' must have 1 to {MAX_NAME} characters"));
        }
        match &self.version {
            Some(version) if !is_exact(version) => problems.push(format!(
                "'{version}' is not an exact version such as 1.2.3; ranges and tags such as \
                 'latest' are not accepted"
            )),
            None if kind != "oci" => {
                problems.push("'version' is required: the exact version, such as 1.2.3".into());
            }
            _ => {}
        }
        match &self.digest {
            None if matches!(kind, "oci" | "mcpb") => {
                problems.push(format!("'digest' is required for '{kind}': sha256:…"));
            }
            Some(digest) if !is_digest(digest, kind) => problems.push(match kind {
                "npm" => format!("'{digest}' is not a digest; expected npm's 'sha512-…'"),
                _ => format!("'{digest}' is not a digest; expected 'sha256:' and 64 digits"),
            }),
            _ => {}
        }
        let may = |allowed: &[&str]| allowed.contains(&kind);
        if let Some(url) = &self.registry {
            problems.extend(registry_problem("registry", url));
            if !may(&["npm", "pypi"]) {
                problems.push(format!("'registry' does not apply to '{kind}'"));
            }
        }
        if self.entry.is_some() && !may(&["npm", "pypi"]) {
            problems.push(format!("'entry' does not apply to '{kind}'"));
        }
        if !self.user_config.is_empty() && !may(&["mcpb"]) {
            problems.push("'user_config' applies to 'mcpb' only".into());
        }
        if self.user_config.len() > MAX_USER_CONFIG {
            problems.push(format!("'user_config' has more than {MAX_USER_CONFIG} values"));
        }
        if kind == "oci" && name.rsplit('/').next().is_some_and(|last| last.contains([':', '@'])) {
            problems.push("'oci' is the image's name without tag; 'digest' identifies it".into());
        }
        problems
    }
}

impl PackagesSettings {
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        [("npm", &self.npm), ("pypi", &self.pypi)]
            .into_iter()
            .filter_map(|(key, url)| Some((key, registry_problem(key, url.as_ref()?)?)))
            .collect()
    }
}

fn registry_problem(key: &str, url: &url::Url) -> Option<String> {
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (!is_trustworthy(url) || !bare || url.password().is_some()).then(|| {
        format!("'{key}' must be an https:// URL (http:// on loopback only) without user or query")
    })
}

/// One version, and no range, wildcard or tag: a digit first, then what versions of npm and Python consist of.
fn is_exact(version: &str) -> bool {
    let part = |part: &str| !matches!(part, "x" | "X" | "*");
    version.len() <= MAX_VERSION
        && version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-!_".contains(&byte))
        && version.split('.').all(part)
}

fn is_digest(digest: &str, kind: &str) -> bool {
    if kind == "npm" {
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        return digest
            .strip_prefix("sha512-")
            .is_some_and(|text| text.len() == 88 && text.bytes().all(base64));
    }
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest
        .strip_prefix("sha256:")
        .is_some_and(|text| text.len() == 64 && text.bytes().all(hexadecimal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npm(version: &str) -> PackageSettings {
        let (npm, version) = (Some("x".into()), Some(version.into()));
        PackageSettings { npm, version, ..PackageSettings::default() }
    }

    #[test]
    fn only_exact_versions_are_accepted() {
        for (version, good) in [
            ("1.2.3", true),
            ("2025.8.21", true),
            ("1.0.0-rc.1+build", true),
            ("1!2.0.post1", true),
            ("latest", false),
            ("^1.2.3", false),
            ("~1.2", false),
            (">=1", false),
            ("1.x", false),
            ("1.*", false),
            ("1.2 || 3", false),
            ("1.2.3 - 2", false),
            ("", false),
        ] {
            assert_eq!(npm(version).problems().is_empty(), good, "{version}");
        }
    }

    #[test]
    fn a_package_has_one_source_and_the_keys_of_its_kind() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let default = PackageSettings::default();
        let version = Some("1.0.0".to_owned());
        for (package, said) in [
            (default.clone(), "exactly one"),
            (PackageSettings { pypi: Some("y".into()), ..npm("1.0.0") }, "exactly one"),
            (PackageSettings { npm: Some("x".into()), ..default.clone() }, "'version' is required"),
            (
                PackageSettings { oci: Some("a/b".into()), ..default.clone() },
                "'digest' is required",
            ),
            (
                PackageSettings { mcpb: Some("x.mcpb".into()), version, ..default.clone() },
                "'digest' is required",
            ),
            (
                PackageSettings {
                    oci: Some("a/b:latest".into()),
                    digest: Some(digest.clone()),
                    ..default.clone()
                },
                "without tag",
            ),
            (PackageSettings { digest: Some(digest), ..npm("1.0.0") }, "npm's 'sha512-"),
            (
                PackageSettings {
                    registry: Some("http://a.example/".parse().unwrap()),
                    ..npm("1.0.0")
                },
                "https://",
            ),
            (
                PackageSettings {
                    user_config: [("a".into(), UserValue::Switch(true))].into(),
                    ..npm("1.0.0")
                },
                "'mcpb' only",
            ),
        ] {
            let problems = package.problems();
            assert!(problems.iter().any(|why| why.contains(said)), "{said}: {problems:?}");
        }
    }
}
