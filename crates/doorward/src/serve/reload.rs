//! Reads the configuration again: at SIGHUP, and when its file changes. A file that is wrong is
//! refused with its reasons, and what runs goes on as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_gateway::Gateway;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::cli::Serve;
use crate::config;

/// Editors write a file in several steps; what they do within this time is one change.
const SETTLE: Duration = Duration::from_millis(50);

/// Watches a configuration file while it lives.
pub struct Watch {
    wake: mpsc::Sender<Cause>,
    /// Stops watching when dropped.
    _watcher: Option<notify::RecommendedWatcher>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Asked,
    Changed,
}

impl Watch {
    pub fn start(gateway: &Arc<Gateway>, options: &Serve) -> Self {
        let (wake, causes) = mpsc::channel(1);
        let Some(path) = options.config.clone() else {
            tokio::spawn(nothing_to_read(causes));
            return Self { wake, _watcher: None };
        };
        let watcher = if options.no_watch { None } else { watch(&path, wake.clone()) };
        tokio::spawn(follow(gateway.clone(), path, options.clone(), causes));
        Self { wake, _watcher: watcher }
    }

    pub fn reload_now(&self) {
        // One that waits already does for both.
        let _ = self.wake.try_send(Cause::Asked);
    }
}

async fn nothing_to_read(mut causes: mpsc::Receiver<Cause>) {
    while causes.recv().await.is_some() {
        tracing::warn!("asked to read the configuration again, but none was given at the start");
    }
}

/// Watches the folder: editors and configuration maps replace the file rather than write into it.
fn watch(path: &Path, wake: mpsc::Sender<Cause>) -> Option<notify::RecommendedWatcher> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?;
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What changed is found out by reading: the file may be a link to one elsewhere.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = wake.try_send(Cause::Changed);
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            tracing::warn!(%error, "the configuration file cannot be watched; use SIGHUP");
        })
        .ok()
}

async fn follow(
    gateway: Arc<Gateway>,
    path: PathBuf,
    options: Serve,
    mut causes: mpsc::Receiver<Cause>,
) {
    let mut seen = tokio::fs::read(&path).await.ok();
    while let Some(cause) = causes.recv().await {
        let now = settled(&path).await;
        // Another file of the folder has changed, or this one is being replaced.
        if cause == Cause::Changed && (now.is_none() || now == seen) {
            continue;
        }
        seen = now;
        reload(&gateway, &path, &options);
    }
}

/// The file's text once nobody writes to it any more: half a file may look like a good one.
async fn settled(path: &Path) -> Option<Vec<u8>> {
    let mut last = tokio::fs::read(path).await.ok();
    for _ in 0..20 {
        tokio::time::sleep(SETTLE).await;
        let now = tokio::fs::read(path).await.ok();
        if now == last {
            break;
        }
        last = now;
    }
    last
}

fn reload(gateway: &Gateway, path: &Path, options: &Serve) {
    let file = path.display().to_string();
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => {
            for line in report.lines() {
                tracing::error!(file, "the new configuration is refused: {line}");
            }
            return;
        }
    };
    for notice in &loaded.notices {
        tracing::warn!(file, "{notice}");
    }
    let changes = gateway.reload(super::overridden(loaded.settings, options));
    if !changes.at_restart.is_empty() {
        tracing::warn!(file, keys = ?changes.at_restart, "these keys take effect at the next start");
    }
    tracing::info!(
        file,
        added = ?changes.added,
        changed = ?changes.changed,
        removed = ?changes.removed,
        "took the new configuration"
    );
}
