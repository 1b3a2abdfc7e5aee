//! Flow rules: which labels a conversation carries, because of what it was returned.
//!
//! The stages of calls and the admin API use [`Flow`]. A mark is set before the content that it is for reaches the client,
//! and is never lost before its time: what is not known counts as marked with every label.

mod carrier;
mod marks;
mod rules;
mod unknown;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_config::{ServerSettings, Settings};
use doorward_core::share::Bounds;
use doorward_store::SharedMarks;
use parking_lot::RwLock;

pub use self::carrier::{About, Caller, Carrier, Key, Kind};
pub use self::marks::Origin;
use self::marks::{Known, Marks};
use self::rules::Rules;
pub use self::unknown::Unknown;
use self::unknown::UnknownCallers;
use crate::shared::{self, Away};

/// What the shared store holds, and what comes of its absence, for the log.
const WHAT: &str = "flow labels";
const SO: &str = "";

/// How often ended marks are dropped.
const SWEEP: Duration = Duration::from_secs(10);

/// What a conversation carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    pub labels: BTreeSet<String>,
    /// Why it is not known what it carries, which counts as every label.
    pub unknown: Option<Unknown>,
}

/// The shared store is unavailable, and labels must not be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// A label of a conversation, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedMark {
    pub label: String,
    pub origin: Option<Origin>,
    /// How long it still holds; `None`: as long as the session.
    pub left: Option<Duration>,
}

/// A conversation, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub about: About,
    pub marks: Vec<ReportedMark>,
    /// Why it counts as carrying every label, if it does.
    pub unknown: Option<Unknown>,
    pub cleared: bool,
}

/// What conversations carry, at this gateway or at all that share a store.
#[derive(Debug)]
pub struct Flow {
    rules: ArcSwap<Rules>,
    /// Apart from the settings, which cost more to look at: every call asks.
    is_on: AtomicBool,
    marks: RwLock<Marks>,
    bounds: Bounds,
    shared: Option<SharedMarks>,
    away: Away,
    /// Since when marks are kept here.
    began: Instant,
    unknown: UnknownCallers,
    swept: RwLock<Instant>,
}

impl Flow {
    /// Must be called within the runtime that connections shall live on.
    pub fn new(settings: &Settings) -> Self {
        let bounds = settings.limits.shared(settings.limits.conversations);
        let shared = settings.flow.shared.as_ref();
        let (began, namespace) = (Instant::now(), settings.flow.namespace.as_deref());
        let rules = Rules::of(settings, settings.servers.values());
        Self {
            is_on: AtomicBool::new(rules.is_on()),
            rules: ArcSwap::from_pointee(rules),
            marks: RwLock::new(Marks::new(bounds)),
            bounds,
            shared: shared.and_then(|url| shared::open(url, namespace, WHAT)),
            away: Away::new(WHAT, SO),
            began,
            unknown: UnknownCallers::default(),
            swept: RwLock::new(began),
        }
    }

    /// Takes other settings, with the servers in use. The shared store stays the one of the start.
    pub fn take<'a>(
        &self,
        settings: &Settings,
        servers: impl Iterator<Item = &'a ServerSettings> + Clone,
    ) {
        let rules = Rules::of(settings, servers);
        let is_on = rules.is_on();
        self.rules.store(Arc::new(rules));
        self.is_on.store(is_on, Ordering::Release);
    }

    /// Whether there are flow rules.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Whether reading a list may bring a label.
    pub fn lists_bring(&self) -> bool {
        self.rules.load().lists_bring
    }

    /// The conversation of a caller.
    pub fn carrier(&self, caller: &Caller<'_>) -> Carrier {
        Carrier::of(caller, self.rules.load().separation())
    }

    /// What a conversation carries, where that is known without asking the shared store.
    pub fn carried_now(&self, carrier: &Carrier) -> Option<Carried> {
        if self.shared.is_some() && carrier.kind != Kind::Session {
            return None;
        }
        let (rules, now) = (self.rules.load(), Instant::now());
        let known = self.marks.read().of(carrier, now);
        let young = (carrier.kind != Kind::Session).then(|| self.young(&rules, now)).flatten();
        Some(self.noted(carrier, carried(&rules, known, young), now))
    }

    /// The same, wherever it is stored.
    pub async fn carried(&self, carrier: &Carrier) -> Carried {
        let shared = match (&self.shared, self.carried_now(carrier)) {
            (_, Some(carried)) => return carried,
            (None, None) => return Carried::default(),
            (Some(shared), None) => shared,
        };
        let read = shared.read(&carrier.key.name(), &carrier.whole.name()).await;
        self.away.note(read.as_ref().err());
        let (rules, now) = (self.rules.load(), Instant::now());
        // Marks that were set while the store was away.
        let mut known = self.marks.read().of(carrier, now);
        match read {
            Ok(stored) => {
                known.labels.extend(stored.marks.into_iter().map(|(label, ..)| label));
                known.exceeded |= stored.exceeded;
                known.cleared |= stored.cleared;
                let left = rules.lasts().saturating_sub(stored.age);
                let young = (!left.is_zero()).then_some(left);
                self.noted(carrier, carried(&rules, known, young), now)
            }
            Err(_) if rules.is_closed_when_away() => {
                Carried { labels: rules.known.clone(), unknown: Some(Unknown::Away) }
            }
            Err(_) => {
                let young = self.young(&rules, now);
                self.noted(carrier, carried(&rules, known, young), now)
            }
        }
    }

    /// How long labels from before the start may still count.
    fn young(&self, rules: &Rules, now: Instant) -> Option<Duration> {
        let left = (self.began + rules.lasts()).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn noted(&self, carrier: &Carrier, carried: Carried, now: Instant) -> Carried {
        if let Some(Unknown::Start(left)) = carried.unknown {
            self.unknown.note(carrier, left, now);
        }
        carried
    }

    /// Marks a conversation with labels, where the shared store need not be asked. Returns whether that is done.
    pub fn bring_now(&self, carrier: &Carrier, labels: &BTreeSet<String>, origin: &Origin) -> bool {
        if labels.is_empty() {
            return true;
        }
        if self.shared.is_some() && carrier.kind != Kind::Session {
            return false;
        }
        self.bring_here(carrier, labels, origin);
        true
    }

    /// Marks a conversation with labels, before it is returned what they are for.
    ///
    /// # Errors
    /// The shared store does not answer: then nothing may be returned, unless settings allow it.
    pub async fn bring(
        &self,
        carrier: &Carrier,
        labels: &BTreeSet<String>,
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        if self.bring_now(carrier, labels, origin) {
            return Ok(());
        }
        let Some(shared) = &self.shared else { return Ok(()) };
        let lasts = self.rules.load().lasts();
        let about = serde_json::to_string(&carrier.about()).unwrap_or_default();
        let text = serde_json::to_string(&origin.clone().bounded()).unwrap_or_default();
        let pairs: Vec<(&str, &str)> = labels.iter().map(|label| (&**label, &*text)).collect();
        let (own, whole) = (carrier.key.name(), carrier.whole.name());
        let most = self.bounds.share;
        let done = shared.bring((&own, &whole), &about, lasts, most, &pairs).await;
        self.away.note(done.as_ref().err());
        match done {
            Ok(()) => Ok(()),
            Err(why) if self.rules.load().is_closed_when_away() => Err(Unavailable(why)),
            Err(_) => {
                self.bring_here(carrier, labels, origin);
                Ok(())
            }
        }
    }

    fn bring_here(&self, carrier: &Carrier, labels: &BTreeSet<String>, origin: &Origin) {
        let lasts = self.rules.load().lasts();
        let mut marks = self.marks.write();
        marks.bring(carrier, labels, origin, lasts, Instant::now());
    }

    /// Whether what inspection finds in results has labels.
    pub fn reads_results(&self) -> bool {
        self.rules.load().reads_results()
    }

    /// The labels of what inspection has found in a result.
    pub fn labels_of(
        &self,
        findings: &BTreeSet<String>,
        data: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        self.rules.load().labels_of(findings, data)
    }

    /// Everything that is stored, by caller.
    ///
    /// # Errors
    /// The shared store does not answer.
    pub async fn report(&self) -> Result<Vec<Report>, Unavailable> {
        let now = Instant::now();
        let mut all: Vec<Report> = self
            .marks
            .read()
            .list(now)
            .into_iter()
            .map(|one| {
                let marks = one.marks.into_iter().map(|mark| ReportedMark {
                    label: mark.label.into(),
                    origin: Some((*mark.origin).clone()),
                    left: mark.until.map(|until| until.saturating_duration_since(now)),
                });
                let (unknown, cleared) = (one.exceeded.then_some(Unknown::Bounds), one.cleared);
                Report { about: (*one.about).clone(), marks: marks.collect(), unknown, cleared }
            })
            .collect();
        if let Some(shared) = &self.shared {
            let stored = shared.list().await;
            self.away.note(stored.as_ref().err());
            for (_, stored) in stored.map_err(Unavailable)? {
                let Ok(about) = serde_json::from_str::<About>(&stored.about) else { continue };
                let marks = stored.marks.into_iter().map(|(label, origin, left)| ReportedMark {
                    label,
                    origin: serde_json::from_str(&origin).ok(),
                    left: Some(left),
                });
                let unknown = stored.exceeded.then_some(Unknown::Bounds);
                let marks = marks.collect();
                all.push(Report { about, marks, unknown, cleared: stored.cleared });
            }
        }
        for (about, left) in self.unknown.list(now) {
            let unknown = Some(Unknown::Start(left));
            match all.iter_mut().find(|one| one.about == *about) {
                Some(known) if known.cleared => {}
                Some(known) => known.unknown = known.unknown.or(unknown),
                None => {
                    let about = (*about).clone();
                    all.push(Report { about, marks: Vec::new(), unknown, cleared: false });
                }
            }
        }
        let key = |one: &Report| (one.about.principal.clone(), one.about.name.clone());
        all.sort_by_key(key);
        Ok(all)
    }

    /// Clears the conversations that are meant, and the callers without a session that are named, whose labels may not be
    /// known. Returns what was cleared, with the labels that it had.
    ///
    /// # Errors
    /// The shared store does not answer.
    pub async fn clear(
        &self,
        is_meant: impl Fn(&About) -> bool,
        callers: &[(Arc<str>, Option<String>)],
    ) -> Result<Vec<(About, Vec<String>)>, Unavailable> {
        let (keeps, now) = (self.rules.load().lasts(), Instant::now());
        let is_named = |about: &About| callers.iter().any(|(name, _)| **name == *about.principal);
        let mut done: Vec<(About, Vec<String>)> = {
            let mut marks = self.marks.write();
            let cleared = marks.clear_those(keeps, now, &is_meant);
            cleared.into_iter().map(|(about, had)| ((*about).clone(), had)).collect()
        };
        if let Some(shared) = &self.shared {
            let stored = shared.list().await;
            self.away.note(stored.as_ref().err());
            for (key, stored) in stored.map_err(Unavailable)? {
                let Ok(about) = serde_json::from_str::<About>(&stored.about) else { continue };
                if is_meant(&about) {
                    shared.clear(&key, &stored.about, keeps).await.map_err(Unavailable)?;
                    done.push((about, stored.marks.into_iter().map(|(label, ..)| label).collect()));
                }
            }
        }
        for (principal, tenant) in callers {
            let whole = Carrier::whole_of(principal, tenant.as_deref());
            let about = whole.about();
            if done.iter().any(|(known, _)| *known == about) {
                continue;
            }
            match &self.shared {
                Some(shared) => {
                    let text = serde_json::to_string(&about).unwrap_or_default();
                    shared.clear(&whole.key.name(), &text, keeps).await.map_err(Unavailable)?;
                }
                None => drop(self.marks.write().clear(&whole, keeps, now)),
            }
            done.push((about, Vec::new()));
        }
        self.unknown.forget(|about| is_meant(about) || is_named(about));
        Ok(done)
    }

    /// Drops what has ended, from time to time. Labels of sessions end with them.
    pub fn maintain(&self, is_open: impl Fn(&str) -> bool) {
        let now = Instant::now();
        if now.saturating_duration_since(*self.swept.read()) < SWEEP {
            return;
        }
        *self.swept.write() = now;
        self.unknown.sweep(now);
        if !self.marks.read().is_empty() {
            self.marks.write().sweep(now, is_open);
        }
    }
}

/// What is known, and whether it is all.
fn carried(rules: &Rules, known: Known, young: Option<Duration>) -> Carried {
    let young = young.filter(|_| !known.cleared && !rules.assumes_clean()).map(Unknown::Start);
    let unknown = known.exceeded.then_some(Unknown::Bounds).or(young);
    let mut labels = known.labels;
    if unknown.is_some() {
        labels.extend(rules.known.iter().cloned());
    }
    Carried { labels, unknown }
}

#[cfg(test)]
mod tests;
