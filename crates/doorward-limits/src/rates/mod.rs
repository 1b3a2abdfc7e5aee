//! Rate limits: rates, windows, quotas and concurrency. A call must be within all limits that apply to it, and counts
//! for all or for none.
//!
//! A single gateway counts in memory. Several count together in a shared store, from which each reserves a few calls in
//! advance (a *lease*, at most a fiftieth of the limit), so that few calls need the store.

mod limited;
pub mod measure;
mod rule;
mod shared;
mod uses;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use doorward_store::Store;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use smallvec::SmallVec;
use tokio::sync::Notify;

pub use self::limited::{Limited, Nearest};
pub use self::rule::Subject;
pub use self::uses::{Measured, Use};

use self::measure::{Measure, Moment};
use self::rule::{Rule, renewed};
use self::shared::{Asked, SharedCounts};
use crate::Observer;
use doorward_config::{RateSettings, Settings};

/// Delay after a call ends, so that several places are returned to the shared store at once.
const TOGETHER: Duration = Duration::from_millis(20);
/// Timeout for storing quotas in the database.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Limiter {
    rules: ArcSwap<Vec<Arc<Rule>>>,
    zone: ArcSwap<TimeZone>,
    shared: ArcSwapOption<SharedCounts>,
    settings: ArcSwap<RateSettings>,
    freed: Arc<Notify>,
    /// The calendar for one second, given as seconds since 1970.
    calendar: ArcSwap<(i64, Moment)>,
    began: Instant,
}

/// The counts of a call. Its concurrency is counted until this is dropped.
#[derive(Debug, Default)]
pub struct Taken(SmallVec<[Held; 2]>);

#[derive(Debug)]
struct Held {
    rule: Arc<Rule>,
    key: String,
    weight: u64,
    /// Whether it was counted against a lease, not in this process alone.
    leased: bool,
}

impl Held {
    /// Takes back all its counts, or only its concurrency.
    fn undo(&self, all: bool) {
        self.rule.with(&self.key, |entry| {
            for (at, measure) in entry.measures.iter().enumerate() {
                if !all && !measure.is_concurrent() {
                    continue;
                }
                match (self.leased, measure.is_concurrent()) {
                    (true, true) => {
                        let lease = &mut entry.leases[at];
                        lease.running = lease.running.saturating_sub(self.weight);
                        self.rule.freed.notify_one();
                    }
                    (true, false) => entry.leases[at].left += self.weight,
                    (false, _) => entry.counts[at].give_back(*measure, self.weight),
                }
            }
        });
    }
}

impl Taken {
    /// Takes back all counts.
    fn undo(&mut self) {
        self.0.drain(..).for_each(|held| held.undo(true));
    }

    /// The call proceeds. Only concurrency has to be taken back at its end.
    fn proceed(&mut self) {
        self.0.retain(|held| held.rule.of_calls_at_a_time);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|held| held.undo(false));
    }
}

/// The result of counting a call.
pub enum Outcome {
    Taken(Taken),
    Refused(Box<Limited>),
    /// The shared store must be asked with [`Limiter::ask`].
    Ask(Asked),
}

impl Limiter {
    pub fn new(settings: &Settings) -> Self {
        let limiter = Self {
            rules: ArcSwap::default(),
            zone: ArcSwap::from_pointee(TimeZone::UTC),
            shared: ArcSwapOption::empty(),
            settings: ArcSwap::default(),
            freed: Arc::default(),
            calendar: ArcSwap::default(),
            began: Instant::now(),
        };
        limiter.take(settings);
        limiter
    }

    /// Applies new settings. Unchanged limits retain their counts.
    pub fn take(&self, settings: &Settings) {
        let own = &settings.rate_limits;
        // Invalid rules were rejected with the settings.
        let wanted =
            own.rules.keys().filter_map(|name| Some((name.clone(), own.whole(name).ok()?)));
        let rules = renewed(&self.rules.load(), wanted.collect(), &self.freed);
        self.zone.store(Arc::new(TimeZone::get(&settings.policy.zone).unwrap_or(TimeZone::UTC)));
        let before = self.settings.swap(Arc::new(own.clone()));
        if before.shared != own.shared || before.namespace != own.namespace {
            let counts =
                own.shared.as_ref().map(|url| SharedCounts::open(url, own.namespace.as_deref()));
            self.shared.store(match counts {
                Some(Ok(counts)) => Some(Arc::new(counts)),
                Some(Err(why)) => {
                    tracing::error!("the shared limit store is unavailable: {why}");
                    None
                }
                None => None,
            });
        }
        self.rules.store(Arc::new(rules));
    }

    pub fn is_empty(&self) -> bool {
        self.rules.load().is_empty()
    }

    /// The last error of the shared store, if it is unavailable.
    pub fn trouble(&self) -> Option<String> {
        self.shared.load().as_ref().and_then(|shared| shared.trouble())
    }

    fn now(&self) -> Moment {
        let nanos = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX / 4);
        let rules = self.rules.load();
        if rules.iter().all(|rule| {
            rule.settings.daily.is_none()
                && rule.settings.monthly.is_none()
                && rule.settings.overrides.is_empty()
        }) {
            return Moment { nanos, ..Moment::default() };
        }
        let now = Timestamp::now();
        // Day and month do not change within a second.
        let (second, stored) = **self.calendar.load();
        if second == now.as_second() {
            return Moment { nanos, ..stored };
        }
        let fresh = calendar(nanos, now, &self.zone.load());
        self.calendar.store(Arc::new((now.as_second(), fresh)));
        fresh
    }

    /// Counts a call against all limits that apply.
    pub fn count(&self, subject: &Subject<'_>, observer: &impl Observer) -> Outcome {
        let rules = self.rules.load();
        let now = self.now();
        let shared = self.shared.load();
        let mut taken = Taken::default();
        let mut asked = Asked::new(now);
        for rule in rules.iter() {
            let weight = rule.weight(subject);
            for key in rule.keys(subject) {
                if let Some(shared) = &*shared {
                    shared.prepare(rule, key, weight, now, &mut taken, &mut asked);
                    continue;
                }
                match local(rule, &key, weight, now) {
                    Ok(()) => {
                        let rule = rule.clone();
                        taken.0.push(Held { rule, key, weight, leased: false });
                    }
                    Err((measure, retry)) => {
                        observer.limit_hit(&rule.name, rule.dry);
                        if rule.dry {
                            tracing::info!(limit = &*rule.name, key, "would be refused");
                            continue;
                        }
                        taken.undo();
                        return Outcome::Refused(Box::new(Limited::of(rule, measure, retry)));
                    }
                }
            }
        }
        if asked.is_empty() {
            taken.proceed();
            Outcome::Taken(taken)
        } else {
            Outcome::Ask(asked.with(taken))
        }
    }

    /// Whether the remaining amount is reported in headers.
    pub fn reports_remaining(&self) -> bool {
        self.settings.load().headers && !self.is_empty()
    }

    /// The limit with the smallest remaining share among those that apply to a call. Called after the call was
    /// counted.
    pub fn nearest(&self, subject: &Subject<'_>) -> Option<Nearest> {
        let (rules, now) = (self.rules.load(), self.now());
        let is_shared = self.shared.load().is_some();
        let mut nearest: Option<Nearest> = None;
        for rule in rules.iter().filter(|rule| !rule.dry) {
            for key in rule.keys(subject) {
                rule.with(&key, |entry| {
                    for at in 0..entry.measures.len() {
                        let measure = entry.measures[at];
                        if measure.is_concurrent() {
                            continue;
                        }
                        let left = if is_shared {
                            shared::left(entry, at, now)
                        } else {
                            entry.counts[at].left(measure, now)
                        };
                        let this = Nearest { rule: rule.name.clone(), measure, left };
                        if nearest.as_ref().is_none_or(|other| this.share() < other.share()) {
                            nearest = Some(this);
                        }
                    }
                });
            }
        }
        nearest
    }

    /// Requests from the shared store what a call needs.
    pub async fn ask(&self, asked: Asked, observer: &impl Observer) -> Result<Taken, Box<Limited>> {
        // The shared store may have been removed from the configuration in the meantime.
        let Some(shared) = self.shared.load_full() else { return Ok(Taken::default()) };
        let mut taken = shared.ask(asked, observer).await?;
        taken.proceed();
        Ok(taken)
    }

    /// Returns concurrency to the shared store soon after calls end, because other gateways may wait for it.
    pub async fn give_back_places(&self) {
        self.freed.notified().await;
        tokio::time::sleep(TOGETHER).await;
        if let Some(shared) = self.shared.load_full() {
            let rules = self.rules.load_full();
            let rules = rules.iter().filter(|rule| rule.of_calls_at_a_time);
            shared.settle(&rules.cloned().collect::<Vec<_>>(), self.now()).await;
        }
    }

    /// Restores stored quotas.
    pub async fn resume(&self, store: &Store) -> Result<(), doorward_store::Error> {
        let rules = self.rules.load_full();
        for stored in store.quota_counts().await? {
            if let Some(rule) = rules.iter().find(|rule| *rule.name == *stored.rule) {
                rule.resume(&stored);
            }
        }
        Ok(())
    }

    /// Stores quotas that have changed, unless they are in a shared store.
    pub async fn store_quotas(&self, store: &Store) {
        if self.shared.load().is_some() {
            return;
        }
        let unsaved: Vec<_> =
            self.rules.load_full().iter().flat_map(|rule| rule.unsaved()).collect();
        if !unsaved.is_empty()
            && !matches!(
                tokio::time::timeout(PATIENCE, store.put_quota_counts(&unsaved)).await,
                Ok(Ok(()))
            )
        {
            tracing::debug!("quotas were not stored");
        }
    }

    /// Removes expired counts and returns unused leases.
    pub async fn maintain(&self) {
        let now = self.now();
        let rules = self.rules.load_full();
        match self.shared.load_full() {
            Some(shared) => shared.settle(&rules, now).await,
            None => rules.iter().for_each(|rule| rule.sweep(now, |_, _| {})),
        }
    }
}

/// Counts in this process alone, for all measures of a rule or for none.
fn local(rule: &Rule, key: &str, weight: u64, now: Moment) -> Result<(), (Measure, Duration)> {
    rule.with(key, |entry| {
        for at in 0..entry.measures.len() {
            let measure = entry.measures[at];
            if let Err(retry) = entry.counts[at].take(measure, weight, now) {
                for back in 0..at {
                    entry.counts[back].give_back(entry.measures[back], weight);
                }
                return Err((measure, retry));
            }
        }
        Ok(())
    })
}

/// Converts a timestamp to the calendar of a time zone.
fn calendar(nanos: u64, now: Timestamp, zone: &TimeZone) -> Moment {
    let local = now.to_zoned(zone.clone());
    let date = local.date();
    let first = date.first_of_month();
    let until = |date: Option<jiff::civil::Date>| {
        let begins = date.and_then(|date| date.to_zoned(zone.clone()).ok());
        let millis = begins.map_or(0, |it| it.timestamp().as_millisecond() - now.as_millisecond());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0).max(1))
    };
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = date.since((jiff::Unit::Day, epoch)).map_or(0, |span| span.get_days());
    let months = i32::from(date.year() - 1970) * 12 + i32::from(date.month()) - 1;
    let next_month = first.checked_add(jiff::Span::new().months(1)).ok();
    Moment {
        nanos,
        day: u32::try_from(days).unwrap_or(0),
        month: u32::try_from(months).unwrap_or(0),
        day_ends: until(date.tomorrow().ok()),
        month_ends: until(next_month),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_those_of_the_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| calendar(0, text.parse().unwrap(), &zone);
        let (before, after) = (at("2026-10-31T22:59:59Z"), at("2026-10-31T23:00:00Z"));
        assert_eq!((before.day + 1, before.month + 1), (after.day, after.month));
        assert_eq!(before.day_ends, Duration::from_secs(1));
        assert_eq!(before.month_ends, Duration::from_secs(1));
        // The day on which the clocks are set back is an hour longer.
        assert_eq!(at("2026-10-24T22:00:00Z").day_ends, Duration::from_secs(25 * 3600));
    }

    /// Concurrent calls against several limits, some of which are released: no limit is ever exceeded, and in the end
    /// each is used completely.
    #[test]
    fn concurrent_calls_exceed_no_limit() {
        use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

        let rule = |text: &str| serde_json::from_str(text).unwrap();
        let settings = Settings {
            rate_limits: RateSettings {
                rules: [
                    ("few".to_owned(), rule(r#"{"concurrency": 3}"#)),
                    ("all".to_owned(), rule(r#"{"window": "500/1h"}"#)),
                    ("each".to_owned(), rule(r#"{"per": ["user"], "daily": 150}"#)),
                ]
                .into(),
                ..RateSettings::default()
            },
            ..Settings::default()
        };
        let limiter = Limiter::new(&settings);
        let teams = Default::default();
        let (running, most) = (AtomicI64::new(0), AtomicI64::new(0));
        let passed: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let (limiter, teams) = (&limiter, &teams);
                let (running, most, passed) = (&running, &most, &passed);
                scope.spawn(move || {
                    let user = format!("u{}", thread % 4);
                    let subject = Subject {
                        tenant: None,
                        teams,
                        user: &user,
                        agent: None,
                        key: None,
                        server: None,
                        tool: None,
                        address: None,
                        write: false,
                    };
                    for _ in 0..4_000 {
                        if let Outcome::Taken(taken) = limiter.count(&subject, &()) {
                            most.fetch_max(
                                running.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            passed[thread % 4].fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            drop(taken);
                        } else {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        let passed: Vec<u64> = passed.into_iter().map(AtomicU64::into_inner).collect();
        assert!(passed.iter().all(|each| *each <= 150), "{passed:?}");
        // Refused calls did not count.
        assert_eq!(passed.iter().sum::<u64>(), 500, "{passed:?}");
    }
}
