//! Counts that are shared with other gateways through a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use doorward_store::{Back, CountKind, Counters, Given, Want};

use super::measure::{Left, Measure, Moment};
use super::rule::{Entry, Rule};
use super::{Held, Limited, Taken, local};
use crate::Observer;
use doorward_config::Secret;
use doorward_core::CallId;

/// At most one of this many parts of a limit is reserved in advance, so that each gateway leaves at most a
/// fiftieth unused.
const PART: u64 = 50;
/// If the store is asked again within this time, in nanoseconds, more is reserved.
const SOON: u64 = 100_000_000;
/// How long the store is not contacted after a failure, in nanoseconds.
const AWAY: u64 = 1_000_000_000;
/// An unused reservation of a quota is returned after this time, in nanoseconds.
const IDLE: u64 = 5_000_000_000;

#[derive(Debug)]
pub struct SharedCounts {
    counters: Counters,
    /// The time until which the store is not contacted, in nanoseconds since the limiter was created.
    away_until: AtomicU64,
    trouble: ArcSwapOption<String>,
}

/// What a call needs from the shared store.
pub struct Asked {
    now: Moment,
    wants: Vec<Want>,
    /// For each want, the index of its rule in `rules` and of the rule's measure.
    places: Vec<(usize, usize)>,
    rules: Vec<(Arc<Rule>, String, u64)>,
    taken: Taken,
}

impl Asked {
    pub fn new(now: Moment) -> Self {
        let (wants, places, rules, taken) = Default::default();
        Self { now, wants, places, rules, taken }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn with(self, taken: Taken) -> Self {
        Self { taken, ..self }
    }
}

impl SharedCounts {
    pub fn open(url: &Secret, namespace: Option<&str>) -> Result<Self, String> {
        let instance = format!("{:08x}-{}", CallId::run(), std::process::id());
        let counters = Counters::open(url.expose(), namespace.unwrap_or("doorward"), &instance)?;
        let (away_until, trouble) = Default::default();
        Ok(Self { counters, away_until, trouble })
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.load().as_ref().map(ToString::to_string)
    }

    /// Counts a call against the leases. What they do not cover is added to `asked`.
    pub fn prepare(
        &self,
        rule: &Arc<Rule>,
        key: String,
        weight: u64,
        now: Moment,
        taken: &mut Taken,
        asked: &mut Asked,
    ) {
        let wants = rule.with(&key, |entry| {
            let enough = (0..entry.measures.len()).all(|at| has(entry, at, weight, now));
            if enough {
                for at in 0..entry.measures.len() {
                    spend(entry, at, weight);
                }
                return None;
            }
            // Measures with a sufficient lease are not counted yet: they are counted with the others.
            let mut wants = Vec::new();
            for at in 0..entry.measures.len() {
                if !has(entry, at, weight, now) {
                    wants.push((at, want(rule, &key, entry, at, weight, now)));
                }
            }
            Some(wants)
        });
        match wants {
            None => taken.0.push(Held { rule: rule.clone(), key, weight, leased: true }),
            Some(wants) => {
                let place = asked.rules.len();
                asked.rules.push((rule.clone(), key, weight));
                for (at, want) in wants {
                    asked.places.push((place, at));
                    asked.wants.push(want);
                }
            }
        }
    }

    pub async fn ask(&self, asked: Asked, observer: &impl Observer) -> Result<Taken, Box<Limited>> {
        let Asked { now, wants, places, rules, mut taken } = asked;
        if now.nanos < self.away_until.load(Ordering::Acquire) {
            return without_store(rules, taken, now, observer);
        }
        let given = match self.counters.take(&wants).await {
            Ok(given) if given.len() == wants.len() => given,
            Ok(_) => return without_store(rules, taken, now, observer),
            Err(why) => {
                self.away_until.store(now.nanos + AWAY, Ordering::Release);
                if self.trouble.swap(Some(Arc::new(why.clone()))).is_none() {
                    tracing::error!(
                        "the shared limit store is unavailable; limits follow 'store_away': {why}"
                    );
                }
                return without_store(rules, taken, now, observer);
            }
        };
        if self.trouble.swap(None).is_some() {
            tracing::info!("the shared limit store is available again");
        }
        let refused = places.iter().zip(&given).find_map(|((place, at), given)| match given {
            Given::Refused { retry } if !rules[*place].0.dry => Some((*place, *at, *retry)),
            _ => None,
        });
        for ((place, at), given) in places.iter().zip(&given) {
            let (rule, key, _) = &rules[*place];
            match given {
                // If one measure refuses, nothing was granted by any.
                Given::Taken { count, left, good_for } if refused.is_none() => {
                    rule.with(key, |entry| {
                        credit(entry, *at, *count, *good_for, now);
                        entry.leases[*at].rest = *left;
                    });
                }
                Given::Refused { .. } => {
                    observer.limit_hit(&rule.name, rule.dry);
                    if rule.dry {
                        tracing::info!(limit = &*rule.name, key, "would be refused");
                    }
                }
                Given::Taken { .. } => {}
            }
        }
        if let Some((place, at, retry)) = refused {
            taken.undo();
            let (rule, key, _) = &rules[place];
            let measure = rule.with(key, |entry| entry.measures[at]);
            return Err(Box::new(Limited::of(rule, measure, retry)));
        }
        for (rule, key, weight) in rules {
            // The grant covers this call even if another call has used the lease in the meantime.
            rule.with(&key, |entry| {
                for at in 0..entry.measures.len() {
                    spend(entry, at, weight);
                }
            });
            taken.0.push(Held { rule, key, weight, leased: true });
        }
        Ok(taken)
    }

    /// Returns unused leases. This also tells the store that the process is alive.
    pub async fn settle(&self, rules: &[Arc<Rule>], now: Moment) {
        let mut back = Vec::new();
        for rule in rules {
            rule.sweep(now, |key, entry| {
                for at in 0..entry.measures.len() {
                    back.extend(surplus(rule, key, entry, at, now));
                }
            });
        }
        // In batches, so that other requests to the store are not delayed.
        for some in back.chunks(100) {
            if let Err(why) = self.counters.give(some).await {
                tracing::debug!("prefetched quota was not returned: {why}");
                return;
            }
        }
    }
}

fn has(entry: &Entry, at: usize, weight: u64, now: Moment) -> bool {
    let (measure, lease) = (entry.measures[at], entry.leases[at]);
    if measure.is_concurrent() {
        return lease.running + weight <= lease.left;
    }
    let same_window = window(measure, now).is_none_or(|window| window == lease.window);
    lease.left >= weight && lease.until > now.nanos && same_window
}

/// The index of the day or month, for quotas.
fn window(measure: Measure, now: Moment) -> Option<u64> {
    match measure {
        Measure::Daily { .. } => Some(now.day.into()),
        Measure::Monthly { .. } => Some(now.month.into()),
        _ => None,
    }
}

/// Takes from the lease.
fn spend(entry: &mut Entry, at: usize, weight: u64) {
    let lease = &mut entry.leases[at];
    if entry.measures[at].is_concurrent() {
        lease.running += weight;
    } else {
        lease.left = lease.left.saturating_sub(weight);
    }
}

fn credit(entry: &mut Entry, at: usize, count: u64, good_for: Duration, now: Moment) {
    let measure = entry.measures[at];
    let lease = &mut entry.leases[at];
    let window = window(measure, now).unwrap_or(0);
    let good = lease.until > now.nanos && lease.window == window;
    lease.left = if good || measure.is_concurrent() { lease.left + count } else { count };
    lease.until = now.nanos + u64::try_from(good_for.as_nanos()).unwrap_or(u64::MAX / 4);
    lease.window = window;
}

/// The remaining amount of a measure as known to this process: what the store had left at the last request, and
/// the unused lease.
pub fn left(entry: &Entry, at: usize, now: Moment) -> Left {
    let (measure, lease) = (entry.measures[at], &entry.leases[at]);
    let reset = match measure {
        Measure::Daily { .. } => now.day_ends,
        Measure::Monthly { .. } => now.month_ends,
        _ => Duration::from_nanos(lease.until.saturating_sub(now.nanos)),
    };
    Left { remaining: lease.rest.saturating_add(lease.left).min(measure.limit()), reset }
}

/// What this process knows of a measure's counter in the store: what is left, and how long ago it was told. `None` where it
/// was not told, or where what it was told of is over.
pub fn known(entry: &Entry, at: usize, now: Moment) -> Option<(Left, Duration)> {
    let (measure, lease) = (entry.measures[at], &entry.leases[at]);
    let is_over = match measure {
        Measure::Fixed { .. } => lease.until <= now.nanos,
        _ => window(measure, now).is_some_and(|window| window != lease.window),
    };
    // Nothing was ever granted.
    if is_over || (lease.until == 0 && lease.left == 0 && lease.rest == 0) {
        return None;
    }
    let known_for = Duration::from_nanos(now.nanos.saturating_sub(lease.asked));
    if measure.is_concurrent() {
        let remaining = lease.rest + lease.left.saturating_sub(lease.running);
        let remaining = remaining.min(measure.limit());
        return Some((Left { remaining, reset: Duration::ZERO }, known_for));
    }
    Some((left(entry, at, now), known_for))
}

fn store_key(rule: &Rule, key: &str, measure: Measure, window: Option<u64>) -> String {
    match window {
        Some(window) => format!("{}:{}:{window}:{key}", rule.name, measure.word()),
        None => format!("{}:{}:{key}", rule.name, measure.word()),
    }
}

fn kind(measure: Measure, now: Moment) -> CountKind {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4);
    match measure {
        Measure::Bucket { count, per, .. } => CountKind::Bucket { per: per / 1_000, count },
        Measure::Fixed { per, .. } => CountKind::Fixed { per: per / 1_000 },
        Measure::Sliding { per, .. } => CountKind::Sliding { per: per / 1_000 },
        Measure::Daily { .. } => CountKind::Quota { ends: micros(now.day_ends) },
        Measure::Monthly { .. } => CountKind::Quota { ends: micros(now.month_ends) },
        Measure::Concurrent { .. } => CountKind::Concurrent,
    }
}

/// The request to the store for one measure. The more frequent the requests, the more is reserved in advance.
fn want(rule: &Rule, key: &str, entry: &mut Entry, at: usize, weight: u64, now: Moment) -> Want {
    let measure = entry.measures[at];
    let limit = measure.limit();
    let lease = &mut entry.leases[at];
    let most = limit / PART;
    let soon = now.nanos.saturating_sub(lease.asked) < SOON;
    lease.more = if soon { (lease.more * 2).max(1) } else { lease.more / 2 }.min(most);
    lease.asked = now.nanos;
    Want {
        key: store_key(rule, key, measure, window(measure, now)),
        kind: kind(measure, now),
        limit,
        weight,
        more: lease.more,
        dry: rule.dry,
    }
}

/// The amount that one measure returns to the store.
fn surplus(rule: &Rule, key: &str, entry: &mut Entry, at: usize, now: Moment) -> Option<Back> {
    let measure = entry.measures[at];
    let lease = &mut entry.leases[at];
    let back = |count| Back {
        key: store_key(rule, key, measure, window(measure, now)),
        kind: kind(measure, now),
        count,
    };
    if measure.is_concurrent() {
        if lease.left == 0 {
            return None;
        }
        let count = lease.left.saturating_sub(lease.running);
        lease.left -= count;
        lease.until = if lease.left > 0 { now.nanos + IDLE } else { 0 };
        // Even a return of zero tells the store that the running calls are alive.
        return Some(back(count));
    }
    let idle = now.nanos.saturating_sub(lease.asked) > IDLE;
    let window = window(measure, now)?;
    if !idle || lease.left == 0 || lease.window != window {
        return None;
    }
    let count = std::mem::take(&mut lease.left);
    lease.until = 0;
    Some(back(count))
}

/// The store is unavailable: each rule either refuses the call or counts locally.
fn without_store(
    rules: Vec<(Arc<Rule>, String, u64)>,
    mut taken: Taken,
    now: Moment,
    observer: &impl Observer,
) -> Result<Taken, Box<Limited>> {
    for (rule, key, weight) in rules {
        let refused = if rule.closed_when_away {
            let measure = rule.with(&key, |entry| entry.measures.first().copied());
            measure.map(|measure| Limited {
                away: true,
                ..Limited::of(&rule, measure, Duration::from_secs(1))
            })
        } else {
            match local(&rule, &key, weight, now) {
                Ok(()) => {
                    taken.0.push(Held { rule, key, weight, leased: false });
                    continue;
                }
                Err((measure, retry)) => Some(Limited::of(&rule, measure, retry)),
            }
        };
        let Some(refused) = refused else { continue };
        observer.limit_hit(&rule.name, rule.dry);
        if !rule.dry {
            taken.undo();
            return Err(Box::new(refused));
        }
    }
    Ok(taken)
}
