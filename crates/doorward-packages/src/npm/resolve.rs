//! Finds all dependencies of a package, and one version of each that all its users accept where there is one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use nodejs_semver::Version;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::document::{Document, Release};
use super::layout::{Layout, Met, Need};
use super::signature;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::lock::{Artifact, Lock, RegistryKey};
use crate::{fetch, provenance};

/// Requests to a registry at a time.
const AT_A_TIME: usize = 8;

/// The machine that packages are resolved for.
#[derive(Debug, Clone)]
pub struct Machine {
    pub node: Version,
    /// As Node names them: `linux`, `x64`, `glibc`.
    pub os: String,
    pub cpu: String,
    pub libc: String,
}

/// A package with all its dependencies.
#[derive(Debug)]
pub struct Resolved {
    /// The package itself first.
    pub artifacts: Vec<Artifact>,
    pub notices: Vec<String>,
    /// Whether another machine would need other archives.
    pub depends_on_machine: bool,
    pub keys: Vec<RegistryKey>,
}

struct Resolver<'a> {
    registry: &'a Url,
    machine: &'a Machine,
    /// What was locked before.
    before: &'a Lock,
    keys: Vec<RegistryKey>,
    documents: HashMap<String, Arc<Document>>,
    layout: Layout,
    chosen: Vec<(String, Release)>,
    notices: BTreeSet<String>,
    depends_on_machine: bool,
}

/// Resolves a package, which has exactly this version.
///
/// # Errors
/// If something cannot be resolved, or is refused.
pub async fn resolve(
    registry: &Url,
    name: &str,
    version: &str,
    machine: &Machine,
    before: &Lock,
) -> Result<Resolved> {
    if !super::is_name(name) {
        return Err(Error::unsupported(format!("'{name}' is not a name of an npm package")));
    }
    let mut keys = signature::keys(registry).await?;
    // A key that was there stays known: what it has signed is still signed.
    for key in before.keys.get(registry).into_iter().flatten() {
        if !keys.iter().any(|other| other.keyid == key.keyid) {
            keys.push(key.clone());
        }
    }
    let mut resolver = Resolver {
        registry,
        machine,
        before,
        keys,
        documents: HashMap::new(),
        layout: Layout::default(),
        chosen: Vec::new(),
        notices: BTreeSet::new(),
        depends_on_machine: false,
    };
    resolver.run(name, version).await?;
    resolver.finish().await
}

impl Resolver<'_> {
    async fn run(&mut self, name: &str, version: &str) -> Result<()> {
        Version::parse(version)
            .map_err(|_| Error::unsupported(format!("'{version}' is not a version of npm")))?;
        self.prefetch([name.to_owned()].into()).await?;
        let release = self.document(name)?.release(version)?;
        self.check_machine(&release)?;
        let need = Need::parse(name, version)?;
        let path = self.layout.place("", &need, version)?;
        // Peers last: they use what others have brought.
        let (mut needs, mut peers) = (VecDeque::new(), VecDeque::new());
        self.choose(path, release, &mut needs, &mut peers)?;
        loop {
            let names = needs.iter().chain(&peers).map(|(_, need)| need.package.clone()).collect();
            self.prefetch(names).await?;
            let Some((from, need)) = needs.pop_front().or_else(|| peers.pop_front()) else { break };
            if let Met::By(_) = self.layout.meet(&from, &need) {
                continue;
            }
            let release = match self.release_for(&need) {
                Ok(release) => release,
                Err(_) if need.is_optional => continue,
                Err(error) => return Err(error.about(&format!("which {from} depends on"))),
            };
            self.depends_on_machine |= release.depends_on_machine();
            if let Err(error) = self.check_machine(&release) {
                if need.is_optional {
                    continue;
                }
                return Err(error);
            }
            let path = self.layout.place(&from, &need, &release.version)?;
            self.choose(path, release, &mut needs, &mut peers)?;
        }
        self.layout.check()
    }

    /// Fetches the documents of packages that are not known yet, several at a time.
    async fn prefetch(&mut self, names: BTreeSet<String>) -> Result<()> {
        let registry = self.registry;
        let unknown = names.into_iter().filter(|name| !self.documents.contains_key(name));
        let unknown: Vec<String> = unknown.collect();
        let fetching = unknown.into_iter().map(|name| async move {
            let document = Document::fetch(registry, &name).await;
            Ok::<_, Error>((name, document))
        });
        let fetched: Vec<_> =
            stream::iter(fetching).buffer_unordered(AT_A_TIME).try_collect().await?;
        for (name, document) in fetched {
            match document {
                Ok(document) => {
                    self.documents.insert(name, Arc::new(document));
                }
                // Where it is optional, nobody misses it.
                Err(Error::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn document(&self, name: &str) -> Result<Arc<Document>> {
        self.documents.get(name).cloned().ok_or_else(|| {
            Error::unsupported(format!("the registry {} has no package '{name}'", self.registry))
        })
    }

    fn release_for(&self, need: &Need) -> Result<Release> {
        self.document(&need.package)?.choose(&need.range, &self.machine.node)
    }

    fn check_machine(&self, release: &Release) -> Result<()> {
        let Machine { os, cpu, libc, .. } = self.machine;
        if release.os.admits(os) && release.cpu.admits(cpu) && release.libc.admits(libc) {
            return Ok(());
        }
        let (name, version) = (&release.name, &release.version);
        Err(Error::unsupported(format!("{name}@{version} does not run on {os}-{cpu} ({libc})")))
    }

    /// Takes a release, and what it needs.
    fn choose(
        &mut self,
        path: String,
        release: Release,
        needs: &mut VecDeque<(String, Need)>,
        peers: &mut VecDeque<(String, Need)>,
    ) -> Result<()> {
        let label = format!("{}@{}", release.name, release.version);
        if release.has_install_scripts() {
            self.notices.insert(format!("{label} has install scripts, which are not run"));
        }
        let optional = release.optional_dependencies.iter().map(|(name, spec)| (name, spec, true));
        let required = release
            .dependencies
            .iter()
            .filter(|(name, _)| !release.optional_dependencies.contains_key(*name))
            .map(|(name, spec)| (name, spec, false));
        for (name, spec, is_optional) in required.chain(optional) {
            if release.bundle_dependencies.has(name) {
                continue;
            }
            match Need::parse(name, spec) {
                Ok(need) => needs.push_back((path.clone(), Need { is_optional, ..need })),
                Err(_) if is_optional => {}
                Err(error) => return Err(error.about(&label)),
            }
        }
        for (name, spec) in &release.peer_dependencies {
            let is_optional =
                release.peer_dependencies_meta.get(name).is_some_and(|meta| meta.optional);
            if !is_optional && !release.dependencies.contains_key(name) {
                let need = Need::parse(name, spec).map_err(|error| error.about(&label))?;
                peers.push_back((path.clone(), Need { is_peer: true, ..need }));
            }
        }
        self.chosen.push((path, release));
        Ok(())
    }

    /// Checks what vouches for each archive, and that none of them was another one before.
    async fn finish(self) -> Result<Resolved> {
        let releases: BTreeMap<String, &Release> = self
            .chosen
            .iter()
            .map(|(_, release)| (format!("{}@{}", release.name, release.version), release))
            .collect();
        let checks = releases.into_iter().map(|(label, release)| async {
            let checked = self.checked(release).await.map_err(|error| error.about(&label))?;
            Ok::<_, Error>((label, checked))
        });
        let checked: HashMap<String, Artifact> =
            stream::iter(checks).buffer_unordered(AT_A_TIME).try_collect().await?;
        let artifacts = self.chosen.iter().filter_map(|(path, release)| {
            let archive = checked.get(&format!("{}@{}", release.name, release.version))?;
            Some(Artifact { path: path.clone(), ..archive.clone() })
        });
        let mut artifacts: Vec<Artifact> = artifacts.collect();
        artifacts[1..].sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Resolved {
            artifacts,
            notices: self.notices.into_iter().collect(),
            depends_on_machine: self.depends_on_machine,
            keys: self.keys,
        })
    }

    async fn checked(&self, release: &Release) -> Result<Artifact> {
        let digest = Digest::of_integrity(release.dist.integrity.as_deref().unwrap_or_default())?;
        let published = match signature::needs_time(release, &self.keys) {
            true => published(self.registry, &release.name, &release.version).await?,
            false => None,
        };
        // Registries sign their own text of the digests.
        let integrity = release.dist.integrity.as_deref().unwrap_or_default();
        let signature =
            signature::of_release(release, integrity, &self.keys, published.as_deref())?;
        if signature.is_none() && self.before.was_signed("npm", &release.name) {
            return Err(Error::refused(
                "it was signed by its registry before, and is not signed now",
            ));
        }
        let was = self.before.provenance_of("npm", &release.name);
        let attested = release.dist.attestations.as_ref().filter(|it| it.provenance.is_some());
        let provenance = match attested {
            Some(attested) => {
                let name = provenance::npm_subject(&release.name, &release.version);
                Some(provenance::of_npm(&attested.url, self.registry, &name, &digest).await?)
            }
            None => None,
        };
        provenance::check_kept(was, provenance.as_ref())?;
        let archive = Artifact {
            name: release.name.clone(),
            version: release.version.clone(),
            path: String::new(),
            url: release.dist.tarball.to_string(),
            digest,
            signature,
            provenance,
        };
        self.before.check_unchanged("npm", &archive)?;
        Ok(archive)
    }
}

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    time: BTreeMap<String, TimeOrMore>,
}

/// A time; of a package that was unpublished, an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum TimeOrMore {
    Time(String),
    More(IgnoredAny),
}

/// When a version was published, which only the long document says.
async fn published(registry: &Url, name: &str, version: &str) -> Result<Option<String>> {
    let url = fetch::below(registry, &name.replace('/', "%2f"))?;
    let Some(body) = fetch::document(&url, "application/json").await? else { return Ok(None) };
    let times: Times = serde_json::from_slice(&body)
        .map_err(|error| Error::Unreachable { url: url.into(), why: error.to_string() })?;
    Ok(times.time.into_iter().find(|(key, _)| key == version).and_then(|(_, time)| match time {
        TimeOrMore::Time(time) => Some(time),
        TimeOrMore::More(_) => None,
    }))
}
