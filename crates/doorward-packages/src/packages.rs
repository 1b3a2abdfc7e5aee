//! What the gateway and its commands do with packages: lock them, and prepare them to be run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use doorward_config::{
    Confinement, PackageSettings, PackagesSettings, Program, ServerSettings, VerifiedFolder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use url::Url;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::lock::{Artifact, Lock, Locked, RegistryKey, reference};
use crate::mcpb::{Kind, Manifest};
use crate::npm::{self, Node};
use crate::pypi::{self, Interpreter, Resolver};
use crate::unpack::{Bounds, Unpacker};
use crate::{fetch, mcpb, oci, registry, tree};

/// Downloads at a time.
const AT_A_TIME: usize = 8;
/// All archives of one package together.
const MAX_DOWNLOADS: u64 = 1 << 30;
/// The gateway's own is not theirs to read, which programs such as git take for an error; one that is not there is fine.
const HOME: &str = "/nonexistent";

/// Packages on this machine.
#[derive(Debug, Clone)]
pub struct Packages {
    settings: PackagesSettings,
    folder: Folder,
    /// Where the configuration is, for relative paths.
    beside: PathBuf,
}

/// A package that was locked.
#[derive(Debug)]
pub struct NewlyLocked {
    pub locked: Locked,
    /// The registry's keys, for the lock file.
    pub keys: Option<(Url, Vec<RegistryKey>)>,
}

/// Archives on their way to a folder.
struct Contents {
    artifacts: Vec<Artifact>,
    bytes: HashMap<Digest, Bytes>,
    kind: ArchiveKind,
}

enum ArchiveKind {
    Npm,
    Pypi,
    Bundle(Box<Manifest>),
}

impl Packages {
    /// `beside` is the folder of the configuration; `folder` where packages are stored if the settings do not say.
    ///
    /// # Errors
    /// If the folder for packages cannot be created.
    pub fn open(settings: &PackagesSettings, beside: &Path, folder: &Path) -> Result<Self> {
        let folder = settings.folder.as_ref().map_or(folder.to_owned(), |own| beside.join(own));
        let folder = Folder::open(&folder)?;
        Ok(Self { settings: settings.clone(), folder, beside: beside.to_owned() })
    }

    /// Resolves a package with all its dependencies, verifies and unpacks it.
    ///
    /// # Errors
    /// If it cannot be resolved, or something of it is refused.
    pub async fn lock(&self, package: &PackageSettings, before: &Lock) -> Result<NewlyLocked> {
        let reference = reference(package);
        let locking = async {
            match package.source() {
                Some(("npm", name)) => self.lock_npm(package, name, before).await,
                Some(("pypi", name)) => self.lock_pypi(package, name, before).await,
                Some(("mcpb", place)) => self.lock_mcpb(package, place).await,
                Some(("oci", _)) => self.lock_oci(package).await,
                _ => Err(Error::unsupported("no package")),
            }
        };
        let mut new = locking.await.map_err(|error| error.about(&reference))?;
        new.locked.package = reference;
        Ok(new)
    }

    async fn lock_npm(
        &self,
        package: &PackageSettings,
        name: &str,
        before: &Lock,
    ) -> Result<NewlyLocked> {
        let registry = registry::npm(package, &self.settings).await?;
        let node = self.node().await?;
        let version = package.version.as_deref().unwrap_or_default();
        let resolved = npm::resolve(&registry, name, version, &node.machine, before).await?;
        expect(package, &resolved.artifacts)?;
        let bytes = download(&resolved.artifacts, &registry, HashMap::new()).await?;
        let artifacts = resolved.artifacts;
        let path = artifacts[0].path.clone();
        let contents = Contents { artifacts: artifacts.clone(), bytes, kind: ArchiveKind::Npm };
        let (digest, place) = self.unpack(contents, None).await?;
        let locked = Locked {
            registry: Some(registry.clone()),
            platform: resolved.depends_on_machine.then(|| node.machine.name()),
            digest,
            programs: npm::programs(&place, &path)?,
            artifacts,
            notices: resolved.notices,
            ..Locked::default()
        };
        let keys = (!resolved.keys.is_empty()).then_some((registry, resolved.keys));
        checked(package, locked, name, keys)
    }

    async fn lock_pypi(
        &self,
        package: &PackageSettings,
        name: &str,
        before: &Lock,
    ) -> Result<NewlyLocked> {
        let index = registry::pypi(package, &self.settings).await?;
        let python = self.python().await?;
        let version = package.version.as_deref().unwrap_or_default();
        let resolved = Resolver::new(&index, &python).resolve(name, version, before).await?;
        expect(package, &resolved.artifacts)?;
        let bytes = download(&resolved.artifacts, &index, resolved.downloaded).await?;
        let artifacts = resolved.artifacts;
        let main = &artifacts[0];
        let file = main.url.rsplit('/').next().unwrap_or_default();
        let programs = pypi::programs(file, &bytes[&main.digest])?;
        let bare = main.name.clone();
        let contents = Contents { artifacts: artifacts.clone(), bytes, kind: ArchiveKind::Pypi };
        let (digest, _) = self.unpack(contents, None).await?;
        let locked = Locked {
            registry: Some(index),
            platform: Some(python.target.name()),
            digest,
            programs,
            artifacts,
            ..Locked::default()
        };
        checked(package, locked, &bare, None)
    }

    async fn lock_mcpb(&self, package: &PackageSettings, place: &str) -> Result<NewlyLocked> {
        let expected: Digest = package.digest.as_deref().unwrap_or_default().parse()?;
        let bytes = self.bundle(place, &expected).await?;
        let manifest = Manifest::of_bundle(&bytes)?;
        let version = package.version.as_deref().unwrap_or_default();
        if manifest.version != version {
            let why = format!("its manifest says version {}", manifest.version.escape_debug());
            return Err(Error::refused(why));
        }
        let stored = serde_json::to_value(&manifest)
            .map_err(|error| Error::unsupported(error.to_string()))?;
        let archive = Artifact {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            path: String::new(),
            url: place.to_owned(),
            digest: expected.clone(),
            signature: None,
            provenance: None,
        };
        let contents = Contents {
            artifacts: vec![archive.clone()],
            bytes: [(expected, bytes)].into(),
            kind: ArchiveKind::Bundle(Box::new(manifest.clone())),
        };
        let (digest, place) = self.unpack(contents, None).await?;
        // What is missing or wrong in the settings is found now.
        manifest.start(&place, &package.user_config)?;
        let locked = Locked {
            digest,
            manifest: Some(stored),
            artifacts: vec![archive],
            ..Locked::default()
        };
        Ok(NewlyLocked { locked, keys: None })
    }

    async fn lock_oci(&self, package: &PackageSettings) -> Result<NewlyLocked> {
        let engine = oci::engine(self.settings.container.as_deref())?;
        let (image, digest) = oci::image(package)?;
        oci::fetch(&engine, &image).await?;
        Ok(NewlyLocked { locked: Locked { digest, ..Locked::default() }, keys: None })
    }

    /// Makes a server's package ready to run: fetches it where it is not there, and says how it is started.
    ///
    /// # Errors
    /// If it is not locked as it is configured, cannot be fetched, or is not what was locked.
    pub async fn prepare(
        &self,
        name: &str,
        server: &ServerSettings,
        lock: &Lock,
    ) -> Result<Program> {
        let package = server.package.as_deref().ok_or_else(|| Error::unsupported("no package"))?;
        let locked = lock.of(name, package)?;
        let confine = server.confine.clone().unwrap_or_default();
        if package.oci.is_some() {
            let engine = oci::engine(self.settings.container.as_deref())?;
            let (image, _) = oci::image(package)?;
            oci::fetch(&engine, &image).await?;
            return oci::program(&engine, &image, &server.args, &server.env, &confine);
        }
        let folder = self.folder.tree(&locked.digest);
        let mut env = server.env.clone();
        let (command, mut args, read) = match package.source() {
            Some(("npm", package_name)) => {
                let node = self.node().await?;
                check_platform(locked, &node.machine.name())?;
                let (_, file) = locked.program(package.entry.as_deref(), package_name)?;
                (node.executable.clone(), node.arguments(&folder.join(file)), Vec::new())
            }
            Some(("pypi", _)) => {
                let python = self.python().await?;
                check_platform(locked, &python.target.name())?;
                pypi::check_usable(&locked.artifacts, &python)?;
                let main = locked.artifacts.first().map_or("", |main| main.name.as_str());
                let (program, place) = locked.program(package.entry.as_deref(), main)?;
                let args = pypi::arguments(&folder, program, place);
                (python.executable.clone(), args, python.folders())
            }
            _ => {
                let value = locked.manifest.as_ref();
                let value =
                    value.ok_or_else(|| Error::NotLocked("its manifest is not locked".into()))?;
                let start = Manifest::of_lock(value)?.start(&folder, &package.user_config)?;
                for (name, value) in start.env {
                    env.entry(name).or_insert(value);
                }
                match start.kind {
                    Kind::Node => {
                        let node = self.node().await?;
                        let flag = node.arguments(&folder).into_iter().rev().skip(1);
                        let args = flag.chain(start.args).collect();
                        (node.executable.clone(), args, Vec::new())
                    }
                    Kind::Python => {
                        let python = self.python().await?;
                        let flags = ["-s", "-B"].map(str::to_owned);
                        let args = flags.into_iter().chain(start.args).collect();
                        (python.executable.clone(), args, python.folders())
                    }
                    Kind::Binary => (folder.join(start.command), start.args, Vec::new()),
                }
            }
        };
        self.fetch(package, locked, lock, &folder).await?;
        args.extend(server.args.iter().cloned());
        env.entry("HOME".into()).or_insert_with(|| doorward_config::Secret(HOME.into()));
        let mut confine: Confinement = confine;
        confine.read.push(folder.clone());
        confine.read.extend(read);
        let digest = locked.digest.to_string();
        confine.package = Some(VerifiedFolder { path: folder, digest });
        Ok(Program { command: command.display().to_string(), args, env, confine: Some(confine) })
    }

    /// Downloads and unpacks what is locked, unless it is there. What is there is verified when it is started.
    async fn fetch(
        &self,
        package: &PackageSettings,
        locked: &Locked,
        lock: &Lock,
        folder: &Path,
    ) -> Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let reference = reference(package);
        let fetching = async {
            let first = locked.artifacts.first();
            let first = first.ok_or_else(|| Error::NotLocked("it has no archives".into()))?;
            let (bytes, kind) = match (package.source(), &locked.registry) {
                (Some(("mcpb", place)), _) => {
                    let bytes = self.bundle(place, &first.digest).await?;
                    let kind = ArchiveKind::Bundle(Box::new(Manifest::of_bundle(&bytes)?));
                    ([(first.digest.clone(), bytes)].into(), kind)
                }
                (Some((kind, _)), Some(registry)) => {
                    let keys = lock.keys.get(registry).map_or(&[][..], Vec::as_slice);
                    for archive in &locked.artifacts {
                        let checked = npm::check_locked(archive, keys);
                        checked.map_err(|error| error.about(&archive.label()))?;
                    }
                    let bytes = download(&locked.artifacts, registry, HashMap::new()).await?;
                    let kind = if kind == "npm" { ArchiveKind::Npm } else { ArchiveKind::Pypi };
                    (bytes, kind)
                }
                _ => return Err(Error::NotLocked("its registry is not locked".into())),
            };
            let contents = Contents { artifacts: locked.artifacts.clone(), bytes, kind };
            self.unpack(contents, Some(locked.digest.clone())).await
        };
        fetching.await.map(|_| ()).map_err(|error| error.about(&reference))
    }

    async fn unpack(
        &self,
        contents: Contents,
        expected: Option<Digest>,
    ) -> Result<(Digest, PathBuf)> {
        let folder = self.folder.clone();
        let unpacking = tokio::task::spawn_blocking(move || {
            let staging = folder.stage()?;
            let mut unpacker = Unpacker::new(staging.path(), Bounds::default());
            for archive in &contents.artifacts {
                let bytes = contents.bytes.get(&archive.digest);
                let bytes = bytes.ok_or_else(|| Error::refused("an archive is missing"))?;
                let unpacked = match &contents.kind {
                    ArchiveKind::Npm => npm::unpack(&mut unpacker, staging.path(), archive, bytes),
                    ArchiveKind::Pypi => pypi::unpack(&mut unpacker, archive, bytes),
                    ArchiveKind::Bundle(manifest) => mcpb::unpack(&mut unpacker, bytes, manifest),
                };
                unpacked.map_err(|error| error.about(&archive.label()))?;
            }
            staging.finish(expected.as_ref())
        });
        unpacking.await.unwrap_or_else(|error| Err(Error::unsupported(error.to_string())))
    }

    /// A bundle's bytes, from a URL or a file.
    async fn bundle(&self, place: &str, expected: &Digest) -> Result<Bytes> {
        let bytes = if place.starts_with("https://") || place.starts_with("http://") {
            let url = Url::parse(place).map_err(|error| Error::unsupported(error.to_string()))?;
            fetch::file(&url).await?
        } else {
            let path = self.beside.join(place);
            let failed = |error: std::io::Error| Error::io(&path, &error);
            let about = tokio::fs::metadata(&path).await.map_err(failed)?;
            if about.len() > fetch::MAX_ARTIFACT as u64 {
                return Err(Error::refused("the bundle is too large"));
            }
            tokio::fs::read(&path).await.map_err(failed)?.into()
        };
        expected.check(&bytes)?;
        Ok(bytes)
    }

    async fn node(&self) -> Result<Node> {
        Node::ask(self.settings.node.as_deref().unwrap_or(Path::new("node"))).await
    }

    async fn python(&self) -> Result<Interpreter> {
        Interpreter::ask(self.settings.python.as_deref().unwrap_or(Path::new("python3"))).await
    }

    /// Whether a package is unpacked and unchanged.
    ///
    /// # Errors
    /// If it has been changed.
    pub fn is_there(&self, locked: &Locked) -> Result<bool> {
        let folder = self.folder.tree(&locked.digest);
        if !folder.is_dir() {
            return Ok(false);
        }
        tree::verify(&folder, &locked.digest).map(|()| true)
    }
}

/// The package itself has the digest that the configuration says.
fn expect(package: &PackageSettings, artifacts: &[Artifact]) -> Result<()> {
    let (Some(digest), Some(main)) = (&package.digest, artifacts.first()) else { return Ok(()) };
    if digest.parse::<Digest>()? == main.digest {
        return Ok(());
    }
    Err(Error::refused(format!("its digest is {}, and 'digest' is {digest}", main.digest)))
}

/// It has the program that is to be run.
fn checked(
    package: &PackageSettings,
    locked: Locked,
    name: &str,
    keys: Option<(Url, Vec<RegistryKey>)>,
) -> Result<NewlyLocked> {
    locked.program(package.entry.as_deref(), name)?;
    Ok(NewlyLocked { locked, keys })
}

fn check_platform(locked: &Locked, here: &str) -> Result<()> {
    match &locked.platform {
        Some(platform) if platform != here => {
            let why = format!("'{}' is locked for {platform}, and this is {here}", locked.package);
            Err(Error::NotLocked(why))
        }
        _ => Ok(()),
    }
}

/// Downloads archives, several at a time, and checks their digests.
async fn download(
    artifacts: &[Artifact],
    registry: &Url,
    mut there: HashMap<Digest, Bytes>,
) -> Result<HashMap<Digest, Bytes>> {
    let mut missing: Vec<Artifact> =
        artifacts.iter().filter(|archive| !there.contains_key(&archive.digest)).cloned().collect();
    missing.sort_by(|one, other| one.digest.cmp(&other.digest));
    missing.dedup_by(|one, other| one.digest == other.digest);
    let all = missing.into_iter().map(|archive| (archive, registry.clone()));
    let fetching = all.map(|(archive, registry)| async move {
        let about = |error: Error| error.about(&archive.label());
        let url = Url::parse(&archive.url).map_err(|error| Error::refused(error.to_string()));
        let bytes = fetch::artifact(&url.map_err(about)?, &registry).await.map_err(about)?;
        archive.digest.check(&bytes).map_err(about)?;
        Ok::<_, Error>((archive.digest.clone(), bytes))
    });
    let mut downloads = stream::iter(fetching).buffer_unordered(AT_A_TIME);
    let mut sum: u64 = there.values().map(|bytes| bytes.len() as u64).sum();
    while let Some((digest, bytes)) = downloads.try_next().await? {
        sum += bytes.len() as u64;
        if sum > MAX_DOWNLOADS {
            return Err(Error::refused(format!(
                "its archives have more than {MAX_DOWNLOADS} bytes"
            )));
        }
        there.insert(digest, bytes);
    }
    Ok(there)
}
