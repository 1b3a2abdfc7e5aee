//! Packages of all servers of a configuration: where they are stored, and how they become programs.

use std::path::{Path, PathBuf};

use doorward_config::{Launch, Settings};
use futures_util::future::join_all;

use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::packages::Packages;

/// Where packages are stored unless the settings say otherwise: in the user's data folder; root's is nobody's to read,
/// and packages run as other users.
fn default_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    if let Some(data) = set("XDG_DATA_HOME") {
        return Ok(PathBuf::from(data).join("doorward/packages"));
    }
    if nix::unistd::Uid::effective().is_root() {
        return Ok("/var/lib/doorward/packages".into());
    }
    let home = set("HOME").ok_or_else(|| {
        Error::Missing("there is no HOME for packages; set 'packages.folder'".into())
    })?;
    Ok(PathBuf::from(home).join(".local/share/doorward/packages"))
}

/// The packages of a configuration file.
///
/// # Errors
/// If the folder for packages cannot be created.
pub fn open(settings: &Settings, config: &Path) -> Result<Packages> {
    let beside = config.parent().unwrap_or(Path::new(""));
    Packages::open(&settings.packages, beside, &default_folder()?)
}

fn has_packages(settings: &Settings) -> bool {
    settings.active().any(|(_, server)| server.package.is_some())
}

/// Checks that the lock file lists every package as it is configured.
///
/// # Errors
/// What it does not list: a line for each.
pub fn check_locked(settings: &Settings, config: Option<&Path>) -> Result<(), Vec<String>> {
    let Some(config) = config.filter(|_| has_packages(settings)) else { return Ok(()) };
    let lock = Lock::read(&Lock::beside(config)).map_err(|error| vec![error.to_string()])?;
    let packages =
        settings.active().filter_map(|(name, server)| Some((name, server.package.as_deref()?)));
    let problems: Vec<String> = packages
        .filter_map(|(name, package)| Some((name, lock.of(name, package).err()?)))
        .map(|(name, error)| format!("servers.{name}.package: {error}"))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Makes the packages of all servers ready to run: those that are not there are downloaded. One that cannot be run says
/// why in its state, and the others are served. Returns whether all are ready.
pub async fn prepare(settings: &mut Settings, config: Option<&Path>) -> bool {
    let Some(config) = config.filter(|_| has_packages(settings)) else { return true };
    let opened = open(settings, config)
        .and_then(|packages| Ok((packages, Lock::read(&Lock::beside(config))?)));
    let opened = opened.map_err(|error| error.to_string());
    let servers =
        settings.servers.iter_mut().filter(|(_, it)| it.package.is_some() && !it.disabled);
    let preparing = servers.map(|(name, server)| {
        let opened = &opened;
        async move {
            let prepared = match opened {
                Ok((packages, lock)) => {
                    let prepared = packages.prepare(name, server, lock).await;
                    prepared.map_err(|error| error.to_string())
                }
                Err(why) => Err(why.clone()),
            };
            if let Err(why) = &prepared {
                tracing::error!(server = %name, "the server's package cannot be run: {why}");
            }
            let is_ready = prepared.is_ok();
            server.launch = Some(match prepared {
                Ok(program) => Launch::Ready(Box::new(program)),
                Err(why) => Launch::Failed(why),
            });
            is_ready
        }
    });
    join_all(preparing).await.into_iter().all(|is_ready| is_ready)
}
