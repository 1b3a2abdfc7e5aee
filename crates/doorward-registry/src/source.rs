//! Other registries as sources: their entries become proposals of servers.
//!
//! A registry is read page by page within limits. Most readings request only what was updated since the one before; once
//! a day all of it is read, which finds what was removed without a notice. An entry with a remote endpoint becomes a
//! proposal, which can name a URL and nothing that runs here; all others are skipped, with the reason. What is done about
//! an entry is decided by pure functions ([`decide`]); [`import`] does it in the store.

mod decide;
mod entry;
mod fetch;
mod import;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_config::{RegistrySettings, Settings};
use doorward_store::{Actor, Error, RegistryRead, Store, now};
use tokio_util::sync::CancellationToken;

pub use self::fetch::Counts;
use self::fetch::Read;
use self::import::Import;

/// How often is checked whether a registry is due.
const CHECK: Duration = Duration::from_secs(1);
/// How long a gateway has for one reading, in seconds: requests take 10 minutes at most. If it ends in the meantime, the
/// others wait as long.
const BUSY: i64 = 15 * 60;
/// How often a registry is read as a whole, in seconds.
const WHOLE: i64 = 24 * 60 * 60;
/// Longest problem that is stored, in characters.
const LONGEST_PROBLEM: usize = 500;

/// Reads the registries of the configuration when they are due, until the gateway closes.
pub async fn run(store: Store, settings: impl Fn() -> Arc<Settings>, closing: CancellationToken) {
    let mut checks = tokio::time::interval(CHECK);
    checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    while closing.run_until_cancelled(checks.tick()).await.is_some() {
        let settings = settings();
        if settings.registries.is_empty() {
            continue;
        }
        let checking = check(&store, &settings);
        let Some(checked) = closing.run_until_cancelled(checking).await else { return };
        if let (Err(error), false) = (&checked, failing) {
            tracing::warn!(%error, "registries cannot be read because the store fails");
        }
        failing = checked.is_err();
    }
}

async fn check(store: &Store, settings: &Settings) -> Result<(), Error> {
    let reads = store.registry_reads().await?;
    let known: BTreeMap<&str, &RegistryRead> =
        reads.iter().map(|read| (read.registry.as_str(), read)).collect();
    for (name, registry) in &settings.registries {
        if known.get(name.as_str()).is_some_and(|read| read.due.max(read.busy) > now()) {
            continue;
        }
        let interval = i64::try_from(registry.interval.0.as_secs()).unwrap_or(i64::MAX);
        let (next, busy) = (now().saturating_add(interval), now().saturating_add(BUSY));
        if let Some(last) = store.claim_registry(name, next, busy).await? {
            let reading = read(store, settings, name, registry, last);
            let patience = Duration::from_secs(BUSY.unsigned_abs());
            match tokio::time::timeout(patience, reading).await {
                Ok(read) => read?,
                Err(_) => {
                    tracing::warn!(registry = name, "a reading was given up: it took too long");
                }
            }
        }
    }
    Ok(())
}

/// Who proposes what a registry has.
pub fn actor(registry: &str) -> Actor {
    Actor { via: "gateway", name: format!("registry {registry}"), address: None }
}

async fn read(
    store: &Store,
    settings: &Settings,
    name: &str,
    registry: &RegistrySettings,
    last: RegistryRead,
) -> Result<(), Error> {
    // With another selection of entries, or from elsewhere, all are read again.
    let RegistrySettings { url, include, exclude, search, .. } = registry;
    let read_with = serde_json::json!([url, include, exclude, search]).to_string();
    let is_same = last.settings == read_with;
    let is_whole = !is_same || last.since.is_empty() || now().saturating_sub(last.whole) >= WHOLE;
    let began = now();
    let since = if is_whole { "" } else { last.since.as_str() };
    let read = fetch::all(registry, since).await;
    let import = Import { store: &store.acting(actor(name)), settings, registry, name };
    // What is absent from a selection that has changed may be there still.
    let detects_absent = is_whole && is_same && last.whole > 0 && read.problem.is_none();
    let imported = match import.all(&read).await {
        Ok(problem) if detects_absent => import.absent(&read).await.map(|it| problem.or(it)),
        imported => imported,
    };
    let problem = match &imported {
        Ok(problem) => read.problem.clone().or_else(|| problem.clone()),
        Err(_) => Some("it was read, but the store has failed".into()),
    };
    let mut next = RegistryRead { problem: String::new(), ..last };
    if problem.is_none() {
        let Read { newest, .. } = &read;
        next.since = match (newest, is_whole) {
            (Some(newest), _) => newest.clone(),
            (None, true) => String::new(),
            (None, false) => next.since,
        };
        next.settings = read_with;
        next.done = Some(now());
        if is_whole {
            next.whole = began;
        }
    }
    if let Some(why) = &problem {
        tracing::warn!(registry = name, why, "a registry could not be read to its end");
        next.problem = why.chars().take(LONGEST_PROBLEM).collect();
    } else {
        let Counts { pages, entries, .. } = &read.counts;
        tracing::info!(registry = name, pages, entries, is_whole, "read a registry");
    }
    next.counts = serde_json::to_string(&read.counts)?;
    store.end_registry(&next).await?;
    imported.map(|_| ())
}
