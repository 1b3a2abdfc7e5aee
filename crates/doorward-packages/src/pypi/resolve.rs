//! Finds one version of each Python package that all its users accept: the newest first, and back where that leads
//! nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use pep440_rs::{Version, VersionSpecifiers};
use url::Url;

use super::index::{self, Wheel, Wheels};
use super::interpreter::Interpreter;
use super::requirement::Requirement;
use super::wheel::Metadata;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::lock::{Artifact, Lock};
use crate::{fetch, provenance};

/// Packages in all, and versions that are tried.
const MAX_PACKAGES: usize = 1_000;
const MAX_TRIES: usize = 2_000;

/// A package with all its dependencies.
#[derive(Debug)]
pub struct Resolved {
    /// The package itself first.
    pub artifacts: Vec<Artifact>,
    /// What was downloaded on the way, by digest.
    pub downloaded: HashMap<Digest, Bytes>,
}

/// What is decided, and what is asked for, at one point of the search.
#[derive(Debug, Clone, Default)]
struct State {
    pins: BTreeMap<String, Arc<Wheel>>,
    wants: BTreeMap<String, Want>,
    /// In the order in which they were first asked for.
    order: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Want {
    versions: Vec<(VersionSpecifiers, String)>,
    extras: BTreeSet<String>,
}

/// A decision that can be taken back.
struct Decision {
    before: State,
    name: String,
    others: std::vec::IntoIter<Arc<Wheel>>,
}

pub struct Resolver<'a> {
    index: &'a Url,
    python: &'a Interpreter,
    projects: HashMap<String, Arc<Wheels>>,
    metadata: HashMap<Digest, Arc<Metadata>>,
    downloaded: HashMap<Digest, Bytes>,
}

impl<'a> Resolver<'a> {
    pub fn new(index: &'a Url, python: &'a Interpreter) -> Self {
        let (projects, metadata) = (HashMap::new(), HashMap::new());
        Self { index, python, projects, metadata, downloaded: HashMap::new() }
    }

    /// Resolves `name` or `name[extra]`, which has exactly this version.
    ///
    /// # Errors
    /// If something cannot be resolved, or is refused.
    pub async fn resolve(mut self, name: &str, version: &str, before: &Lock) -> Result<Resolved> {
        let exact = Version::from_str(version)
            .map_err(|_| Error::unsupported(format!("'{version}' is not a version (PEP 440)")))?;
        let mut root = Requirement::parse(name)?;
        root.versions = VersionSpecifiers::from_str(&format!("=={exact}"))
            .map_err(|error| Error::unsupported(error.to_string()))?;
        let main = root.name.clone();
        let mut state = State::default();
        let mut decisions: Vec<Decision> = Vec::new();
        let mut failed = self.want(&mut state, &[root], "the configuration").await.err();
        let mut tries = 0;
        loop {
            if let Some(why) = failed.take() {
                // Only what depends on a decision goes away with another one.
                if !matches!(why, Error::Unsupported(_)) {
                    return Err(why);
                }
                let next = loop {
                    let Some(decision) = decisions.last_mut() else { return Err(why) };
                    match decision.others.next() {
                        Some(wheel) => {
                            break (decision.before.clone(), decision.name.clone(), wheel);
                        }
                        None => decisions.pop(),
                    };
                };
                let (before, name, wheel) = next;
                state = before;
                failed = self.pin(&mut state, &name, wheel).await.err();
            } else {
                let open = state.order.iter().find(|name| !state.pins.contains_key(*name));
                let Some(name) = open.cloned() else { break };
                match self.candidates(&state, &name).await {
                    Ok(candidates) => {
                        let mut others = candidates.into_iter();
                        let Some(first) = others.next() else { continue };
                        let before = state.clone();
                        decisions.push(Decision { before, name: name.clone(), others });
                        failed = self.pin(&mut state, &name, first).await.err();
                    }
                    Err(error) => failed = Some(error),
                }
            }
            tries += 1;
            if tries > MAX_TRIES {
                let why = format!("no set of versions was found in {MAX_TRIES} attempts");
                return Err(failed.unwrap_or_else(|| Error::unsupported(why)));
            }
        }
        self.finish(&state, &main, before).await
    }

    /// The wheels of a package that all its users accept, the newest first. At least one.
    async fn candidates(&mut self, state: &State, name: &str) -> Result<Vec<Arc<Wheel>>> {
        let wheels = self.project(name).await?;
        let versions = &state.wants[name].versions;
        let accepted = |version: &Version| versions.iter().all(|(it, _)| it.contains(version));
        let exact = versions.iter().any(|(it, _)| {
            it.iter().any(|one| matches!(one.operator().to_string().as_str(), "==" | "==="))
        });
        let asked_early = versions
            .iter()
            .any(|(it, _)| it.iter().any(pep440_rs::VersionSpecifier::any_prerelease));
        let within = || {
            let all = wheels.by_version.values().rev();
            all.filter(|wheel| accepted(&wheel.version) && (!wheel.is_yanked || exact))
        };
        let is_early = |wheel: &&Wheel| wheel.version.any_prerelease();
        let mut found: Vec<&Wheel> =
            within().filter(|wheel| asked_early || !is_early(wheel)).collect();
        if found.is_empty() {
            found = within().collect();
        }
        if !found.is_empty() {
            return Ok(found.into_iter().cloned().map(Arc::new).collect());
        }
        let users: Vec<String> =
            versions.iter().map(|(it, user)| format!("'{it}' by {user}")).collect();
        let source = wheels.only_source.iter().find(|version| accepted(version));
        let why = match source {
            Some(version) => format!(
                "{name} {version} has a source distribution and no wheel for this machine; to \
                 install one is to run its code, so only wheels are used"
            ),
            None => "no wheel for this machine is of such a version".into(),
        };
        Err(Error::unsupported(format!("{name} ({}): {why}", users.join(", "))))
    }

    /// Decides for a version, and takes over what it needs.
    async fn pin(&mut self, state: &mut State, name: &str, wheel: Arc<Wheel>) -> Result<()> {
        state.pins.insert(name.to_owned(), wheel.clone());
        let extras = state.wants[name].extras.clone();
        self.add_needs(state, name, &wheel, &extras, true).await
    }

    async fn add_needs(
        &mut self,
        state: &mut State,
        name: &str,
        wheel: &Wheel,
        extras: &BTreeSet<String>,
        with_plain: bool,
    ) -> Result<()> {
        let metadata = self.metadata(wheel).await?;
        let user = format!("{name} {}", wheel.version);
        let mut needs = Vec::new();
        for need in &metadata.requirements {
            let plain = with_plain && need.applies(&self.python.markers, "")?;
            let mut by_extra = false;
            for extra in extras {
                // What applies without an extra has been taken already.
                let markers = &self.python.markers;
                by_extra |= need.applies(markers, extra)? && !need.applies(markers, "")?;
            }
            if plain || by_extra {
                needs.push(need.clone());
            }
        }
        self.want(state, &needs, &user).await
    }

    /// Takes over requirements. What is decided already must be in them.
    async fn want(&mut self, state: &mut State, needs: &[Requirement], user: &str) -> Result<()> {
        let mut open: Vec<(Requirement, String)> =
            needs.iter().map(|need| (need.clone(), user.to_owned())).collect();
        while let Some((need, user)) = open.pop() {
            let name = &need.name;
            if !state.wants.contains_key(name) {
                if state.order.len() >= MAX_PACKAGES {
                    return Err(Error::refused(format!(
                        "it has more than {MAX_PACKAGES} dependencies"
                    )));
                }
                state.order.push(name.clone());
            }
            let want = state.wants.entry(name.clone()).or_default();
            want.versions.push((need.versions.clone(), user.clone()));
            let new: BTreeSet<String> = need
                .extras
                .iter()
                .filter(|extra| want.extras.insert((*extra).clone()))
                .cloned()
                .collect();
            let Some(pinned) = state.pins.get(name).cloned() else { continue };
            if !need.versions.contains(&pinned.version) {
                return Err(Error::unsupported(format!(
                    "{user} requires {name} {}, others {}",
                    need.versions, pinned.version
                )));
            }
            if new.is_empty() {
                continue;
            }
            let metadata = self.metadata(&pinned).await?;
            let by = format!("{name} {}", pinned.version);
            for other in &metadata.requirements {
                let markers = &self.python.markers;
                let mut applies = false;
                for extra in &new {
                    applies |= other.applies(markers, extra)? && !other.applies(markers, "")?;
                }
                if applies {
                    open.push((other.clone(), by.clone()));
                }
            }
        }
        Ok(())
    }

    async fn project(&mut self, name: &str) -> Result<Arc<Wheels>> {
        if let Some(found) = self.projects.get(name) {
            return Ok(found.clone());
        }
        let found = Arc::new(index::wheels(self.index, name, &self.python.target).await?);
        self.projects.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    async fn metadata(&mut self, wheel: &Wheel) -> Result<Arc<Metadata>> {
        if let Some(found) = self.metadata.get(&wheel.digest) {
            return Ok(found.clone());
        }
        let metadata = match &wheel.metadata {
            Some(digest) => {
                let mut url = wheel.url.clone();
                url.set_path(&format!("{}.metadata", wheel.url.path()));
                let text = fetch::artifact(&url, self.index).await?;
                digest.check(&text).map_err(|error| error.about(&wheel.file))?;
                Metadata::parse(&text)
            }
            None => {
                let bytes = fetch::artifact(&wheel.url, self.index).await?;
                wheel.digest.check(&bytes).map_err(|error| error.about(&wheel.file))?;
                let metadata = Metadata::of_wheel(&wheel.file, &bytes);
                self.downloaded.insert(wheel.digest.clone(), bytes);
                metadata
            }
        };
        let metadata = Arc::new(metadata.map_err(|error| error.about(&wheel.file))?);
        self.metadata.insert(wheel.digest.clone(), metadata.clone());
        Ok(metadata)
    }

    /// Checks what vouches for each wheel, and that none of them was another one before.
    async fn finish(self, state: &State, main: &str, before: &Lock) -> Result<Resolved> {
        let mut artifacts = Vec::new();
        for (name, wheel) in &state.pins {
            let archive = self.checked(name, wheel, before).await;
            artifacts.push(archive.map_err(|error| error.about(&wheel.file))?);
        }
        let at = artifacts.iter().position(|archive| archive.name == main).unwrap_or(0);
        artifacts[..=at].rotate_right(1);
        Ok(Resolved { artifacts, downloaded: self.downloaded })
    }

    async fn checked(&self, name: &str, wheel: &Wheel, before: &Lock) -> Result<Artifact> {
        let provenance = match &wheel.provenance {
            Some(url) => {
                Some(provenance::of_pypi(url, self.index, &wheel.file, &wheel.digest).await?)
            }
            None => None,
        };
        provenance::check_kept(before.provenance_of("pypi", name), provenance.as_ref())?;
        let archive = Artifact {
            name: name.to_owned(),
            version: wheel.version.to_string(),
            path: String::new(),
            url: wheel.url.to_string(),
            digest: wheel.digest.clone(),
            signature: None,
            provenance,
        };
        before.check_unchanged("pypi", &archive)?;
        Ok(archive)
    }
}
