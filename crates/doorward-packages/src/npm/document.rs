//! What an npm registry says of a package: all its versions, and of each what it needs and where it is.

use std::collections::BTreeMap;

use nodejs_semver::{Range, Version};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use url::Url;

use crate::error::{Error, Result};
use crate::fetch;

/// The short form, which has no readme; registries that do not know it send the long one.
const ACCEPT: &str = "application/vnd.npm.install-v1+json, application/json;q=0.8";

/// All versions of a package. A version is parsed when it is needed: some packages have thousands.
#[derive(Debug, Deserialize)]
pub struct Document {
    name: String,
    #[serde(default, rename = "dist-tags")]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    versions: BTreeMap<String, Box<RawValue>>,
}

/// One version, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    pub name: String,
    pub version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub dependencies: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub optional_dependencies: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub peer_dependencies: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub peer_dependencies_meta: BTreeMap<String, PeerMeta>,
    #[serde(default, alias = "bundledDependencies", deserialize_with = "or_default")]
    pub bundle_dependencies: Bundled,
    #[serde(default, deserialize_with = "or_default")]
    pub os: Words,
    #[serde(default, deserialize_with = "or_default")]
    pub cpu: Words,
    #[serde(default, deserialize_with = "or_default")]
    pub libc: Words,
    #[serde(default, deserialize_with = "or_default")]
    engines: Engines,
    #[serde(default)]
    deprecated: serde_json::Value,
    #[serde(default, deserialize_with = "or_default")]
    has_install_script: bool,
    #[serde(default, deserialize_with = "or_default")]
    scripts: BTreeMap<String, serde_json::Value>,
    pub dist: Dist,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct PeerMeta {
    #[serde(default)]
    pub optional: bool,
}

/// Dependencies that are in the package's own archive.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Bundled {
    All(bool),
    Some(Vec<String>),
}

impl Default for Bundled {
    fn default() -> Self {
        Self::All(false)
    }
}

/// A word, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Words {
    One(String),
    Some(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

/// Old packages write a list, or a text.
#[derive(Debug, Clone, Default)]
struct Engines(Option<String>);

impl<'de> Deserialize<'de> for Engines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.get("node").and_then(|node| node.as_str()).map(str::to_owned)))
    }
}

/// The archive, and what vouches for it.
#[derive(Debug, Clone, Deserialize)]
pub struct Dist {
    pub tarball: Url,
    #[serde(default)]
    pub integrity: Option<String>,
    #[serde(default)]
    pub signatures: Vec<crate::lock::Signature>,
    #[serde(default)]
    pub attestations: Option<Attestations>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Attestations {
    pub url: Url,
    #[serde(default)]
    pub provenance: Option<serde_json::Value>,
}

/// `null` is what is not there.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Bundled {
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Some(names) => names.iter().any(|one| one == name),
        }
    }
}

impl Words {
    /// Whether a list such as `["linux", "!arm"]` admits a value.
    pub fn admits(&self, value: &str) -> bool {
        let words = match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Some(words) => words,
        };
        let named = words.iter().any(|word| word == value || word == "any");
        let excluded = words.iter().any(|word| word.strip_prefix('!') == Some(value));
        let only_exclusions = words.iter().all(|word| word.starts_with('!'));
        !excluded && (named || only_exclusions)
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Some(words) if words.is_empty())
    }
}

impl Release {
    /// Whether it runs on no machine but some.
    pub fn depends_on_machine(&self) -> bool {
        !self.os.is_empty() || !self.cpu.is_empty() || !self.libc.is_empty()
    }

    /// Scripts that npm would run when it installs the package.
    pub fn has_install_scripts(&self) -> bool {
        let names = ["preinstall", "install", "postinstall"];
        self.has_install_script || names.iter().any(|name| self.scripts.contains_key(*name))
    }

    fn is_deprecated(&self) -> bool {
        match &self.deprecated {
            serde_json::Value::String(why) => !why.is_empty(),
            serde_json::Value::Bool(deprecated) => *deprecated,
            _ => false,
        }
    }

    fn suits(&self, node: &Version) -> bool {
        let range = self.engines.0.as_deref().map(Range::parse);
        range.is_none_or(|range| range.is_ok_and(|range| range.satisfies(node)))
    }
}

impl Document {
    /// Asks the registry.
    ///
    /// # Errors
    /// If it cannot be reached, does not have the package, or answers with something else.
    pub async fn fetch(registry: &Url, name: &str) -> Result<Self> {
        let url = fetch::below(registry, &name.replace('/', "%2f"))?;
        let body = fetch::document(&url, ACCEPT).await?;
        let body = body.ok_or_else(|| {
            Error::unsupported(format!("the registry {registry} has no package '{name}'"))
        })?;
        let document: Self = serde_json::from_slice(&body)
            .map_err(|error| Error::Unreachable { url: url.into(), why: error.to_string() })?;
        if document.name != name {
            let why = format!("the registry has '{}' under the name '{name}'", document.name);
            return Err(Error::refused(why));
        }
        Ok(document)
    }

    /// One version.
    ///
    /// # Errors
    /// If it is not there.
    pub fn release(&self, version: &str) -> Result<Release> {
        let name = &self.name;
        let found = self.versions.get(version).ok_or_else(|| {
            let version: String = version.chars().take(100).collect();
            Error::unsupported(format!("there is no version {version} of '{name}'"))
        })?;
        let release: Release = serde_json::from_str(found.get()).map_err(|error| {
            Error::unsupported(format!("what the registry says of {name}@{version}: {error}"))
        })?;
        if release.name != self.name || release.version != version {
            return Err(Error::refused(format!(
                "the registry has {}@{} as {name}@{version}",
                release.name, release.version
            )));
        }
        Ok(release)
    }

    /// The version that npm would choose for a range: the one tagged `latest` if it is in the range, else the highest that
    /// is not deprecated and runs on this Node.
    ///
    /// # Errors
    /// If there is none, or the range is none.
    pub fn choose(&self, range: &str, node: &Version) -> Result<Release> {
        let range = range.trim();
        if let Some(tagged) = self.tags.get(range) {
            return self.release(tagged);
        }
        let parsed = parse_range(range)
            .ok_or_else(|| Error::unsupported(format!("'{range}' is not a range of versions")))?;
        if let Some(latest) = self.tags.get("latest")
            && let Ok(version) = Version::parse(latest)
            && parsed.satisfies(&version)
            && let Ok(release) = self.release(latest)
            && !release.is_deprecated()
            && release.suits(node)
        {
            return Ok(release);
        }
        let mut within: Vec<(Version, &str)> = self
            .versions
            .keys()
            .filter_map(|text| Some((Version::parse(text).ok()?, text.as_str())))
            .filter(|(version, _)| parsed.satisfies(version))
            .collect();
        within.sort_unstable_by(|one, other| other.0.cmp(&one.0));
        let mut second = None;
        for (_, text) in within {
            let release = self.release(text)?;
            if release.suits(node) && !release.is_deprecated() {
                return Ok(release);
            }
            second.get_or_insert(release);
        }
        second.ok_or_else(|| {
            Error::unsupported(format!("no version of '{}' is in '{range}'", self.name))
        })
    }
}

/// A range as dependencies have it. An empty one is any version.
pub fn parse_range(text: &str) -> Option<Range> {
    Range::parse(if text.is_empty() { "*" } else { text }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let version = |version: &str, more: &str| {
            format!(
                r#""{version}": {{"name": "x", "version": "{version}", {more} "dist": {{"tarball": "https://r.example/x.tgz"}}}}"#
            )
        };
        let versions = [
            version("1.0.0", ""),
            version("1.1.0", ""),
            version("1.2.0", r#""deprecated": "no","#),
            version("1.3.0", r#""engines": {"node": ">=99"},"#),
            version("2.0.0", r#""engines": ["node >= 0.8"], "dependencies": null,"#),
            version("2.1.0-rc.1", ""),
        ];
        let text = format!(
            r#"{{"name": "x", "dist-tags": {{"latest": "2.0.0", "next": "2.1.0-rc.1"}}, "versions": {{{}}}}}"#,
            versions.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn versions_are_chosen_as_npm_chooses_them() {
        let (document, node) = (document(), Version::parse("20.0.0").unwrap());
        for (range, chosen) in [
            ("^1.0.0", Some("1.1.0")),
            ("~1.2.0", Some("1.2.0")),
            ("1.3.x", Some("1.3.0")),
            (">=1", Some("2.0.0")),
            ("*", Some("2.0.0")),
            ("", Some("2.0.0")),
            ("next", Some("2.1.0-rc.1")),
            ("^2.1.0-rc.0", Some("2.1.0-rc.1")),
            ("1.0.0 || 1.1.0", Some("1.1.0")),
            ("^3", None),
            ("github:a/b", None),
        ] {
            let found = document.choose(range, &node).ok().map(|release| release.version);
            assert_eq!(found.as_deref(), chosen, "{range}");
        }
    }

    #[test]
    fn lists_of_machines_are_read_as_npm_reads_them() {
        let words = |words: &[&str]| Words::Some(words.iter().map(|word| (*word).into()).collect());
        for (list, value, admitted) in [
            (words(&[]), "linux", true),
            (words(&["linux"]), "linux", true),
            (words(&["darwin", "win32"]), "linux", false),
            (words(&["!win32"]), "linux", true),
            (words(&["!linux"]), "linux", false),
            (words(&["any"]), "linux", true),
            (Words::One("linux".into()), "linux", true),
        ] {
            assert_eq!(list.admits(value), admitted, "{list:?}");
        }
    }
}
