//! Reloads the configuration on SIGHUP and when its file changes. An invalid file is rejected with the reasons, and the
//! previous configuration stays active.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_admin::{Reload, Reloading};
use doorward_gateway::Gateway;
use doorward_gateway::gateway::Changes;
use doorward_guards::inspection::Prepared;
use doorward_packages::{Lock, servers as packages};
use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::Serve;
use crate::config;

/// Editors write a file in several steps; steps within this time count as one change.
const SETTLE: Duration = Duration::from_millis(50);
/// How often other values that the file refers to are checked for changes: files, or secrets in a
/// vault.
const LOOK: Duration = Duration::from_secs(10);
/// How often a refused configuration is checked: a file that it names may be corrected, and not itself.
const AGAIN: Duration = Duration::from_secs(2);

/// Watches a configuration file while it lives.
pub struct Watch {
    wake: Arc<Notify>,
    /// Requested by a signal: the file is then read even if it seems unchanged.
    asked: Arc<AtomicBool>,
    /// Both end when dropped.
    _watcher: Option<notify::RecommendedWatcher>,
    _following: AbortOnDropHandle<()>,
}

impl Watch {
    /// `text` is the text of the running configuration; `changeable` says whether it refers to
    /// values that may change.
    pub fn start(gateway: &Arc<Gateway>, options: &Serve, text: String, changeable: bool) -> Self {
        let wake = Arc::new(Notify::new());
        let asked = Arc::new(AtomicBool::new(false));
        let Some(path) = options.config.clone() else {
            let following = AbortOnDropHandle::new(tokio::spawn(nothing_to_read(wake.clone())));
            return Self { wake, asked, _watcher: None, _following: following };
        };
        let watcher = if options.no_watch { None } else { watch(&path, wake.clone()) };
        // It may have changed before it was watched.
        wake.notify_one();
        let follow = Follow {
            gateway: gateway.clone(),
            path,
            options: options.clone(),
            changeable,
            wake: wake.clone(),
            asked: asked.clone(),
        };
        let following = AbortOnDropHandle::new(tokio::spawn(follow.run(text)));
        Self { wake, asked, _watcher: watcher, _following: following }
    }

    pub fn reload_now(&self) {
        self.asked.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

async fn nothing_to_read(wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        tracing::warn!(
            "cannot reload the configuration: the gateway was started without a configuration file"
        );
    }
}

/// Watches the folder: editors and Kubernetes config maps replace the file rather than write into
/// it.
fn watch(path: &Path, wake: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?.to_owned();
    let name = path.file_name()?.to_owned();
    let lock = Lock::beside(&path).file_name()?.to_owned();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // The folder may change constantly. Config maps change the link `..data`, through which the
        // file is linked; reading the file shows whether it has changed.
        let concerns = |path: &PathBuf| {
            path.file_name().is_none_or(|it| {
                it == name || it == lock || it.as_encoded_bytes().starts_with(b"..")
            })
        };
        if event.is_ok_and(|event| {
            !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(concerns))
        }) {
            wake.notify_one();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot watch the configuration file; reload it with SIGHUP");
        })
        .ok()
}

struct Follow {
    gateway: Arc<Gateway>,
    path: PathBuf,
    options: Serve,
    changeable: bool,
    wake: Arc<Notify>,
    asked: Arc<AtomicBool>,
}

impl Follow {
    async fn run(self, text: String) {
        let lock = tokio::fs::read(Lock::beside(&self.path)).await.unwrap_or_default();
        let mut seen = Some((text.into_bytes(), lock));
        let mut changeable = self.changeable;
        let mut refused = false;
        loop {
            let looks = changeable && !self.options.no_watch;
            let again = tokio::select! {
                () = self.wake.notified() => false,
                () = tokio::time::sleep(AGAIN), if refused && !self.options.no_watch => {
                    if !self.is_usable().await {
                        continue;
                    }
                    true
                }
                () = tokio::time::sleep(LOOK), if looks => {
                    self.look().await;
                    continue;
                }
            };
            let now = settled(&self.path).await;
            let asked = self.asked.swap(false, Ordering::AcqRel);
            // Another file of the folder has changed, or this one is being replaced.
            if !asked && !again && (now.is_none() || now == seen) {
                continue;
            }
            seen = now;
            let reloaded = reload(&self.gateway, &self.path, &self.options).await;
            refused = reloaded.is_none();
            changeable = reloaded.unwrap_or(changeable);
        }
    }

    /// Whether the file can be applied by now.
    async fn is_usable(&self) -> bool {
        match load(&self.path).await {
            Ok(loaded) => prepare(&loaded, &self.options).await.is_ok(),
            Err(_) => false,
        }
    }

    /// Reloads the configuration if values that it refers to have changed.
    async fn look(&self) {
        let loaded = match load(&self.path).await {
            Ok(loaded) => loaded,
            Err(report) => {
                for line in report.lines() {
                    tracing::error!("cannot read a file or secret of the configuration: {line}");
                }
                return;
            }
        };
        let mut settings = super::overridden(loaded.settings, &self.options);
        packages::prepare(&mut settings, Some(&self.path)).await;
        if settings != **self.gateway.settings() {
            tracing::info!("a file, secret or package of the configuration has changed");
            reload(&self.gateway, &self.path, &self.options).await;
        }
    }
}

/// Reads a configuration on a separate thread: a vault may take a while.
async fn load(path: &Path) -> Result<config::Loaded, config::Report> {
    let own = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || config::load(&own)).await;
    let loaded =
        loaded.unwrap_or_else(|error| Err(config::Report::unreadable(path, error.to_string())))?;
    let locked = packages::check_locked(&loaded.settings, Some(path));
    locked.map_err(|problems| config::Report::unreadable(path, problems.join("; ")))?;
    Ok(loaded)
}

/// The text of the file and of its lock file, once both have stopped changing: half a file may look
/// valid.
async fn settled(path: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let read = async || {
        let lock = tokio::fs::read(Lock::beside(path)).await.unwrap_or_default();
        Some((tokio::fs::read(path).await.ok()?, lock))
    };
    let mut last = read().await;
    for _ in 0..20 {
        tokio::time::sleep(SETTLE).await;
        let now = read().await;
        if now == last {
            break;
        }
        last = now;
    }
    last
}

/// Returns whether the new configuration refers to values that may change; `None` if it was
/// refused.
async fn reload(gateway: &Gateway, path: &Path, options: &Serve) -> Option<bool> {
    let file = path.display().to_string();
    match take(gateway, path, options).await {
        Ok((_, changeable)) => Some(changeable),
        Err(report) => {
            for line in report.lines() {
                tracing::error!(
                    file,
                    "the new configuration is invalid; the previous one stays active: {line}"
                );
            }
            None
        }
    }
}

/// Checks the settings of inspection before anything is applied: a configuration is applied as a whole or not at all.
async fn prepare(loaded: &config::Loaded, options: &Serve) -> Result<Prepared, config::Report> {
    let settings = super::overridden(loaded.settings.clone(), options);
    let prepared = tokio::task::spawn_blocking(move || super::inspection::prepare(&settings)).await;
    match prepared {
        Ok(prepared) => prepared.map_err(|bad| super::inspection::report(loaded, bad)),
        Err(error) => Err(loaded.report(vec![config::Problem {
            path: vec!["inspection".into()],
            problem: error.to_string(),
        }])),
    }
}

/// Applies the current file.
async fn take(
    gateway: &Gateway,
    path: &Path,
    options: &Serve,
) -> Result<(Changes, bool), config::Report> {
    let file = path.display().to_string();
    let loaded = load(path).await?;
    for notice in &loaded.notices {
        tracing::warn!(file, "{notice}");
    }
    let inspection = prepare(&loaded, options).await?;
    let changeable = loaded.changeable;
    let mut settings = super::overridden(loaded.settings, options);
    let ready = packages::prepare(&mut settings, Some(path)).await;
    let changes = gateway.reload(settings);
    super::inspection::put(gateway, inspection, &gateway.settings());
    if !changes.at_restart.is_empty() {
        tracing::warn!(file, keys = ?changes.at_restart, "these settings take effect after a \
            restart");
    }
    tracing::info!(
        file,
        added = ?changes.added,
        changed = ?changes.changed,
        removed = ?changes.removed,
        "configuration reloaded"
    );
    Ok((changes, changeable || !ready))
}

/// Reloads the configuration for administrators.
#[derive(Debug)]
pub struct Reloader {
    gateway: Arc<Gateway>,
    path: PathBuf,
    options: Serve,
}

impl Reloader {
    /// `None` if there is no file to read.
    pub fn of(gateway: &Arc<Gateway>, options: &Serve) -> Option<Arc<dyn Reload>> {
        let path = options.config.clone()?;
        Some(Arc::new(Self { gateway: gateway.clone(), path, options: options.clone() }))
    }
}

fn all(report: &config::Report) -> String {
    report.lines().collect::<Vec<_>>().join("\n")
}

impl Reload for Reloader {
    fn reload(&self) -> Reloading<Changes> {
        let (gateway, path, options) =
            (self.gateway.clone(), self.path.clone(), self.options.clone());
        Box::pin(async move {
            let taken = take(&gateway, &path, &options).await;
            taken.map(|(changes, _)| changes).map_err(|report| all(&report))
        })
    }

    fn check(&self) -> Reloading<()> {
        let (path, options) = (self.path.clone(), self.options.clone());
        Box::pin(async move {
            let loaded = load(&path).await.map_err(|report| all(&report))?;
            prepare(&loaded, &options).await.map(drop).map_err(|report| all(&report))
        })
    }
}
