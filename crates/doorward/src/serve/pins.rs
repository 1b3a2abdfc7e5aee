//! The file with pins, read again when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use doorward_config::Settings;
use doorward_gateway::Gateway;
use doorward_governance::pins::{LONGEST, Lock};
use doorward_packages::replace_file;
use tokio_util::task::AbortOnDropHandle;

/// Where the pins are unless the configuration says otherwise: beside it.
const FILE: &str = "doorward.lock";
/// How often it is looked whether the file has changed.
const EVERY: Duration = Duration::from_millis(500);

/// Where a configuration that was just read has its pins.
pub fn path(settings: &Settings, config: &Path) -> PathBuf {
    let folder = config.parent().unwrap_or_else(|| Path::new(""));
    folder.join(settings.pins.file.as_deref().unwrap_or_else(|| Path::new(FILE)))
}

/// What a file pins; `None` if there is no file.
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

/// Replaces the file, whole or not at all.
pub fn write(path: &Path, lock: &Lock) -> Result<(), String> {
    replace_file(path, &lock.write()).map_err(|error| format!("{}: {error}", path.display()))
}

/// What the file of the settings pins: nothing where they name none.
pub fn declared(settings: &Settings) -> Result<Lock, String> {
    let Some(path) = &settings.pins.file else { return Ok(Lock::default()) };
    let missing = || {
        format!("{}: there is no such file: write it with 'doorward servers pin'", path.display())
    };
    read(path)?.ok_or_else(missing)
}

/// By what a change of the file is noticed without reading it; `None` where settings name no file.
pub type Seen = Option<(PathBuf, Option<(SystemTime, u64)>)>;

/// What the file looks like now.
pub fn seen(settings: &Settings) -> Seen {
    let path = settings.pins.file.clone()?;
    let metadata = fs::metadata(&path).ok();
    let stamp = metadata.and_then(|it| Some((it.modified().ok()?, it.len())));
    Some((path, stamp))
}

/// Follows the file while the handle lives, from how it looked before it was read last. What cannot be read is refused, and told once; the pins before stay in force.
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
