//! One limit: the calls that it applies to, and their counts.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use doorward_store::QuotaCount;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::measure::{Count, Measure, Moment};
use doorward_config::{Dimension, Measures, Only, RuleSettings, StoreAway};
use doorward_core::address::network;

/// Number of shards, to reduce lock contention.
const SHARDS: usize = 16;
/// Maximum number of counters per shard. Beyond it, all new keys share one counter.
const MOST: usize = 20_000;
pub const OTHERS: &str = "*";

/// The keys under which a call is counted. There is more than one if the caller is in several teams.
pub type Keys = SmallVec<[String; 1]>;

/// The attributes of a call that limits apply to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub tenant: Option<&'a str>,
    pub teams: &'a BTreeSet<String>,
    pub user: &'a str,
    pub agent: Option<&'a str>,
    pub key: Option<&'a str>,
    pub server: Option<&'a str>,
    pub tool: Option<&'a str>,
    pub address: Option<IpAddr>,
    pub write: bool,
}

#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    pub settings: RuleSettings,
    per: Vec<Dimension>,
    measures: Arc<[Measure]>,
    overrides: HashMap<String, Arc<[Measure]>>,
    pub dry: bool,
    pub closed_when_away: bool,
    /// Whether it, or one of its overrides, limits concurrency.
    pub of_calls_at_a_time: bool,
    /// Notified when a call ends whose concurrency other gateways may wait for.
    pub freed: Arc<Notify>,
    hasher: RandomState,
    shards: [Mutex<HashMap<String, Entry>>; SHARDS],
}

/// The counters of one key.
#[derive(Debug)]
pub struct Entry {
    pub measures: Arc<[Measure]>,
    pub counts: Vec<Count>,
    /// The last stored value of each quota.
    pub saved: Vec<(u64, u64)>,
    pub leases: Vec<Lease>,
}

/// An amount reserved in advance from the shared store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lease {
    /// The unused amount. For concurrency: the reserved amount.
    pub left: u64,
    /// For concurrency: the number of running calls.
    pub running: u64,
    /// Expiry, in nanoseconds since the limiter was created.
    pub until: u64,
    /// The additional amount to reserve with the next request.
    pub more: u64,
    pub asked: u64,
    /// The amount that remained in the shared store at the last request.
    pub rest: u64,
    /// Index of the day or month that it applies to.
    pub window: u64,
}

impl Rule {
    pub fn new(name: &str, settings: RuleSettings, freed: &Arc<Notify>) -> Self {
        let measures = compile(&settings.measures());
        let overrides = settings
            .overrides
            .iter()
            .map(|(key, other)| (key.clone(), compile(&other.or(&settings.measures()))));
        let overrides: HashMap<_, _> = overrides.collect();
        let has_concurrent = |all: &Arc<[Measure]>| all.iter().any(|it| it.is_concurrent());
        let of_calls_at_a_time = overrides.values().chain([&measures]).any(has_concurrent);
        Self {
            name: name.into(),
            per: settings.per.clone().unwrap_or_default(),
            of_calls_at_a_time,
            overrides,
            measures,
            dry: settings.dry_run.unwrap_or(false),
            closed_when_away: settings.store_away == Some(StoreAway::Closed),
            freed: freed.clone(),
            hasher: RandomState::new(),
            shards: Default::default(),
            settings,
        }
    }

    /// The keys under which a call is counted; none if the limit does not apply.
    pub fn keys(&self, subject: &Subject<'_>) -> Keys {
        if self.settings.only.as_ref().is_some_and(|only| !applies_to(only, subject)) {
            return Keys::new();
        }
        let mut keys = Keys::from_iter([String::new()]);
        for dimension in &self.per {
            let one = match dimension {
                Dimension::Team => {
                    keys = keys.iter().flat_map(|key| with_each(key, subject.teams)).collect();
                    continue;
                }
                Dimension::Tool => {
                    let (Some(server), Some(tool)) = (subject.server, subject.tool) else {
                        return Keys::new();
                    };
                    keys.iter_mut().for_each(|key| append(key, server));
                    Some(Cow::Borrowed(tool))
                }
                Dimension::Tenant => subject.tenant.map(Cow::Borrowed),
                Dimension::User => Some(Cow::Borrowed(subject.user)),
                Dimension::Agent => subject.agent.map(Cow::Borrowed),
                Dimension::Key => subject.key.map(Cow::Borrowed),
                Dimension::Server => subject.server.map(Cow::Borrowed),
                // IPv6 addresses are counted by network.
                Dimension::Address => subject.address.map(|it| network(it).to_string().into()),
            };
            let Some(one) = one else { return Keys::new() };
            keys.iter_mut().for_each(|key| append(key, &one));
        }
        keys
    }

    /// The weight of a call.
    pub fn weight(&self, subject: &Subject<'_>) -> u64 {
        if self.settings.weights.is_empty() {
            return 1;
        }
        let Some(tool) = tool_name(subject) else { return 1 };
        let fitting = self.settings.weights.iter().filter(|(pattern, _)| pattern.matches(&tool));
        fitting.max_by_key(|(pattern, _)| pattern.0.len()).map_or(1, |(_, weight)| *weight)
    }

    /// Runs `look` on the counters of a key, under a lock.
    pub fn with<T>(&self, key: &str, look: impl FnOnce(&mut Entry) -> T) -> T {
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let mut shard = self.shards[at].lock();
        if let Some(entry) = shard.get_mut(key) {
            return look(entry);
        }
        let key = if shard.len() >= MOST { OTHERS } else { key };
        let entry = shard.entry(key.to_owned()).or_insert_with(|| {
            let measures = self.overrides.get(key).unwrap_or(&self.measures).clone();
            let (counts, leases) =
                (vec![Count::default(); measures.len()], vec![Lease::default(); measures.len()]);
            Entry { saved: vec![(0, 0); measures.len()], measures, counts, leases }
        });
        look(entry)
    }

    /// Quotas that have changed since they were last stored.
    pub fn unsaved(&self) -> Vec<QuotaCount> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for (key, entry) in shard.lock().iter_mut() {
                for at in 0..entry.measures.len() {
                    let (measure, now) = (entry.measures[at], entry.counts[at].to_store());
                    if measure.is_quota() && entry.saved[at] != now {
                        entry.saved[at] = now;
                        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
                        all.push(QuotaCount {
                            rule: self.name.to_string(),
                            measure: measure.word().to_owned(),
                            subject: key.clone(),
                            period: number(now.0),
                            used: number(now.1),
                        });
                    }
                }
            }
        }
        all
    }

    /// Restores a stored quota.
    pub fn resume(&self, stored: &QuotaCount) {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let (period, used) = (number(stored.period), number(stored.used));
        self.with(&stored.subject, |entry| {
            for at in 0..entry.measures.len() {
                let measure = entry.measures[at];
                if measure.is_quota() && measure.word() == stored.measure {
                    entry.counts[at] = Count::stored(period, used);
                    entry.saved[at] = (period, used);
                }
            }
        });
    }

    /// Runs `look` on all counters, and removes those that have expired.
    pub fn sweep(&self, now: Moment, mut look: impl FnMut(&str, &mut Entry)) {
        for shard in &self.shards {
            shard.lock().retain(|key, entry| {
                look(key, entry);
                let counts = entry.counts.iter().zip(entry.measures.iter());
                let idle = counts.into_iter().all(|(count, measure)| count.is_idle(*measure, now));
                let leased = entry.leases.iter().any(|it| it.running > 0 || it.until > now.nanos);
                !idle || leased
            });
        }
    }

    pub fn shards(&self) -> &[Mutex<HashMap<String, Entry>>] {
        &self.shards
    }

    /// Whether name and settings are the same, so that the counts can be retained.
    pub fn is_same(&self, name: &str, settings: &RuleSettings) -> bool {
        *self.name == *name && self.settings == *settings
    }
}

/// The key, extended by each of the names.
fn with_each<'a>(key: &'a str, names: &'a BTreeSet<String>) -> impl Iterator<Item = String> + 'a {
    names.iter().map(move |name| {
        let mut key = key.to_owned();
        append(&mut key, name);
        key
    })
}

/// Extends a key by a name, escaping slashes.
fn append(key: &mut String, name: &str) {
    if !key.is_empty() {
        key.push('/');
    }
    if name.contains('/') {
        key.push_str(&name.replace('%', "%25").replace('/', "%2F"));
    } else {
        key.push_str(name);
    }
}

fn tool_name(subject: &Subject<'_>) -> Option<String> {
    Some(format!("{}/{}", subject.server?, subject.tool?))
}

/// Whether the limit applies to a call.
fn applies_to(only: &Only, subject: &Subject<'_>) -> bool {
    let is = |wanted: &BTreeSet<String>, said: Option<&str>| {
        wanted.is_empty() || said.is_some_and(|said| wanted.contains(said))
    };
    is(&only.tenants, subject.tenant)
        && (only.teams.is_empty() || !only.teams.is_disjoint(subject.teams))
        && is(&only.users, Some(subject.user))
        && is(&only.agents, subject.agent)
        && is(&only.keys, subject.key)
        && is(&only.servers, subject.server)
        && (only.tools.is_empty()
            || tool_name(subject).is_some_and(|tool| only.tools.iter().any(|it| it.matches(&tool))))
        && only.write.is_none_or(|write| write == subject.write)
}

fn compile(measures: &Measures) -> Arc<[Measure]> {
    let nanos =
        |rate: &doorward_config::Rate| u64::try_from(rate.per.0.as_nanos()).unwrap_or(u64::MAX / 4);
    let Measures { rate, burst, window, sliding, daily, monthly, concurrency } = measures;
    let mut all = Vec::new();
    all.extend(concurrency.map(|count| Measure::Concurrent { count }));
    all.extend(rate.map(|rate| Measure::Bucket {
        count: rate.count,
        per: nanos(&rate),
        burst: burst.unwrap_or(rate.count),
    }));
    all.extend(window.map(|rate| Measure::Fixed { count: rate.count, per: nanos(&rate) }));
    all.extend(sliding.map(|rate| Measure::Sliding { count: rate.count, per: nanos(&rate) }));
    all.extend(daily.map(|count| Measure::Daily { count }));
    all.extend(monthly.map(|count| Measure::Monthly { count }));
    all.into()
}

/// Creates the rules. Rules that have not changed are reused with their counts.
pub fn renewed(
    old: &[Arc<Rule>],
    wanted: BTreeMap<String, RuleSettings>,
    freed: &Arc<Notify>,
) -> Vec<Arc<Rule>> {
    let rules = wanted.into_iter().map(|(name, settings)| {
        let stored = old.iter().find(|rule| rule.is_same(&name, &settings));
        stored.cloned().unwrap_or_else(|| Arc::new(Rule::new(&name, settings, freed)))
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_counted_by_its_network() {
        let settings = serde_json::from_str(r#"{"per": ["address"], "rate": "3/h"}"#).unwrap();
        let rule = Rule::new("strangers", settings, &Arc::default());
        let teams = BTreeSet::new();
        let keys = |address: &str| {
            rule.keys(&Subject {
                tenant: None,
                teams: &teams,
                user: "alice",
                agent: None,
                key: None,
                server: None,
                tool: None,
                address: address.parse().ok(),
                write: false,
            })
        };
        assert_eq!(keys("2001:db8::1"), keys("2001:db8::ffff:1"));
        assert_ne!(keys("2001:db8::1"), keys("2001:db8:0:1::1"));
        assert_ne!(keys("192.0.2.1"), keys("192.0.2.2"));
    }
}
