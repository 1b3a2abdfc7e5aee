//! The lock file with pins, reloaded when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use doorward_config::Settings;
use doorward_gateway::Gateway;
use doorward_governance::pins::{LONGEST, Lock};
use doorward_packages::replace_file;
use tokio_util::task::AbortOnDropHandle;

/// The default location: beside the configuration.
const FILE: &str = "doorward.lock";
/// How often the file is checked for changes.
const EVERY: Duration = Duration::from_millis(500);

/// The lock file of a configuration that was just read.
pub fn path(settings: &Settings, config: &Path) -> PathBuf {
    let folder = config.parent().unwrap_or_else(|| Path::new(""));
    folder.join(settings.pins.file.as_deref().unwrap_or_else(|| Path::new(FILE)))
}

/// Reads a lock file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<Lock>, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    if length > LONGEST as u64 {
        return Err(wrong(format!("it is longer than {LONGEST} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Lock::read(&text).map(Some).map_err(|error| wrong(error.to_string()))
}

/// Replaces the file atomically.
pub fn write(path: &Path, lock: &Lock) -> Result<(), String> {
    replace_file(path, &lock.write()).map_err(|error| format!("{}: {error}", path.display()))
}

/// The pins of the settings' lock file; none if they name no file.
pub fn declared(settings: &Settings) -> Result<Lock, String> {
    let Some(path) = &settings.pins.file else { return Ok(Lock::default()) };
    let missing = || {
        format!("{}: there is no such file: write it with 'doorward servers pin'", path.display())
    };
    read(path)?.ok_or_else(missing)
}

/// Detects changes of the file without reading it; `None` if the settings name none.
pub type Seen = Option<(PathBuf, Option<(SystemTime, u64)>)>;

/// The current state of the file.
pub fn seen(settings: &Settings) -> Seen {
    let path = settings.pins.file.clone()?;
    let metadata = fs::metadata(&path).ok();
    let stamp = metadata.and_then(|it| Some((it.modified().ok()?, it.len())));
    Some((path, stamp))
}

/// Follows the file while the handle lives, beginning with the state before it was last read. An
/// unreadable file is refused and logged once; the previous pins stay in force.
pub fn follow(gateway: &Arc<Gateway>, mut last: Seen) -> AbortOnDropHandle<()> {
    let gateway = gateway.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let now = seen(&gateway.settings());
            if now != last {
                let settings = gateway.settings().clone();
                match tokio::task::spawn_blocking(move || declared(&settings)).await {
                    Ok(Ok(lock)) => gateway.declare_pins(&lock).await,
                    Ok(Err(why)) => {
                        tracing::error!(
                            "the file with pins cannot be used; the previous pins stay active: {why}"
                        );
                    }
                    Err(_) => continue,
                }
                last = now;
            }
            tokio::time::sleep(EVERY).await;
        }
    }))
}
