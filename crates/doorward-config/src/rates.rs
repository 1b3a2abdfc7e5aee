//! Rate limits: rates, windows, quotas and concurrency.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Period, Secret};
use doorward_core::pattern::Pattern;

/// Longest chain of rules that inherit from each other.
const MAX_EXTENDS: usize = 8;

/// A number per time: `20/s`, `100/5m`, `1000/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u64,
    pub per: Period,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected a number and a time, such as 20/s or 100/5m, not '{text}'");
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.trim().parse().map_err(|_| wrong())?;
        let per = per.trim();
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) {
            per.to_owned()
        } else {
            format!("1{per}")
        };
        let per: Period = per.parse().map_err(|_| wrong())?;
        if count == 0 || per.0.is_zero() {
            return Err(wrong());
        }
        Ok(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = self.per.to_string();
        let per =
            per.strip_prefix('1').filter(|unit| !unit.starts_with(|c: char| c.is_ascii_digit()));
        match per {
            Some(unit) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, self.per),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ ?/ ?[0-9]*(ms|s|m|h|d)$",
            "description": "A number per time, such as 20/s or 100/5m."
        })
    }
}

/// What a rule counts separately.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Tenant,
    /// Each team of the caller.
    Team,
    /// The user, or the agent or service account if there is no user.
    User,
    /// The agent, if there is one.
    Agent,
    Key,
    Server,
    /// The tool, prompt or resource of a server.
    Tool,
    Address,
}

/// What happens to calls while the shared store is unavailable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreAway {
    /// Each gateway counts separately.
    #[default]
    Open,
    /// Calls are refused.
    Closed,
}

/// Rate limits and quotas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateSettings {
    /// Valkey or Redis in which several gateways count together: `redis://HOST:PORT`, or `rediss://…` with TLS.
    /// Default: each gateway counts separately.
    pub shared: Option<Secret>,
    /// Prefix of the keys in the shared store.
    pub namespace: Option<String>,
    /// Send modern clients the headers `RateLimit-Policy` and `RateLimit` with every response to a call, for the
    /// limit that is closest to being reached. Default: only with refused calls.
    pub headers: bool,
    /// The limits, by name. A call must be within all limits that apply to it.
    pub rules: BTreeMap<String, RuleSettings>,
}

/// One limit. It has at least one measure: `rate`, `window`, `sliding`, `daily`, `monthly`, `concurrency`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// Another rule from which to inherit the settings that are absent here.
    pub extends: Option<String>,
    /// What to count separately. When empty, all calls are counted together. A call that lacks one of these is
    /// not counted.
    pub per: Option<Vec<Dimension>>,
    /// Calls to count. Default: all.
    pub only: Option<Only>,
    /// Sustained rate (token bucket).
    pub rate: Option<Rate>,
    /// How many calls may come at once after a pause. Default: the number in `rate`.
    pub burst: Option<u64>,
    /// Maximum number of calls in each fixed window.
    pub window: Option<Rate>,
    /// Maximum number of calls in each sliding window.
    pub sliding: Option<Rate>,
    /// Maximum number of calls a day, in the time zone of policies.
    pub daily: Option<u64>,
    /// Maximum number of calls a month.
    pub monthly: Option<u64>,
    /// Maximum number of concurrent calls.
    pub concurrency: Option<u64>,
    /// Tools that count more than once, as `server/tool`; `*` matches any characters.
    pub weights: BTreeMap<Pattern, u64>,
    /// Different measures for some, by what is counted separately: a tenant's name, or `acme/alice` for two
    /// dimensions.
    pub overrides: BTreeMap<String, Measures>,
    /// Do not refuse calls; only log and count those that would be refused.
    pub dry_run: Option<bool>,
    /// What to do while the shared store is unavailable. Default: `open`.
    pub store_away: Option<StoreAway>,
}

/// What is measured, and the maximum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Measures {
    pub rate: Option<Rate>,
    pub burst: Option<u64>,
    pub window: Option<Rate>,
    pub sliding: Option<Rate>,
    pub daily: Option<u64>,
    pub monthly: Option<u64>,
    pub concurrency: Option<u64>,
}

impl Measures {
    /// These, with absent ones taken from others.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            rate: self.rate.or(others.rate),
            // A burst belongs to its rate.
            burst: self.burst.or(if self.rate.is_some() { None } else { others.burst }),
            window: self.window.or(others.window),
            sliding: self.sliding.or(others.sliding),
            daily: self.daily.or(others.daily),
            monthly: self.monthly.or(others.monthly),
            concurrency: self.concurrency.or(others.concurrency),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self { burst: self.burst, ..Self::default() }
    }
}

/// Calls that a rule applies to: those that match all of these settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Only {
    pub tenants: BTreeSet<String>,
    pub teams: BTreeSet<String>,
    pub users: BTreeSet<String>,
    pub agents: BTreeSet<String>,
    /// IDs of keys.
    pub keys: BTreeSet<String>,
    pub servers: BTreeSet<String>,
    /// As `server/tool`; `*` matches any characters.
    pub tools: BTreeSet<Pattern>,
    /// `true`: calls that can change something; `false`: calls that only read.
    pub write: Option<bool>,
}

impl RuleSettings {
    pub fn measures(&self) -> Measures {
        Measures {
            rate: self.rate,
            burst: self.burst,
            window: self.window,
            sliding: self.sliding,
            daily: self.daily,
            monthly: self.monthly,
            concurrency: self.concurrency,
        }
    }

    /// This rule, with absent settings taken from another.
    fn or(&self, other: &Self) -> Self {
        let Measures { rate, burst, window, sliding, daily, monthly, concurrency } =
            self.measures().or(&other.measures());
        let weights = other.weights.clone().into_iter().chain(self.weights.clone());
        let overrides = other.overrides.clone().into_iter().chain(self.overrides.clone());
        Self {
            extends: other.extends.clone(),
            per: self.per.clone().or_else(|| other.per.clone()),
            only: self.only.clone().or_else(|| other.only.clone()),
            rate,
            burst,
            window,
            sliding,
            daily,
            monthly,
            concurrency,
            weights: weights.collect(),
            overrides: overrides.collect(),
            dry_run: self.dry_run.or(other.dry_run),
            store_away: self.store_away.or(other.store_away),
        }
    }
}

impl RateSettings {
    /// A rule with everything that it inherits. The error describes the problem.
    pub fn whole(&self, name: &str) -> Result<RuleSettings, String> {
        let mut whole = self.rules.get(name).cloned().unwrap_or_default();
        let mut seen = vec![name.to_owned()];
        while let Some(extends) = whole.extends.take() {
            let other =
                self.rules.get(&extends).ok_or_else(|| format!("there is no rule '{extends}'"))?;
            if seen.contains(&extends) || seen.len() == MAX_EXTENDS {
                return Err(format!(
                    "'{extends}' inherits from itself, or the chain of rules is too long"
                ));
            }
            whole = whole.or(other);
            seen.push(extends);
        }
        Ok(whole)
    }

    /// Keys below `rate_limits`, and their problems.
    pub fn problems(&self) -> Vec<(Vec<&str>, String)> {
        let mut problems: Vec<(Vec<&str>, String)> = Vec::new();
        if let Some(shared) = &self.shared
            && let Err(why) = doorward_store::SharedValues::check(shared.expose())
        {
            problems.push((vec!["shared"], why));
        }
        for name in self.rules.keys() {
            let whole = match self.whole(name) {
                Ok(whole) => whole,
                Err(why) => {
                    problems.push((vec!["rules", name, "extends"], why));
                    continue;
                }
            };
            let mut wrong = |key: &'static str, why: &str| {
                problems.push((vec!["rules", name, key], why.into()));
            };
            let fits = |name: &str| {
                !name.is_empty()
                    && name.len() <= 64
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            };
            if !fits(name) {
                wrong("", "a limit's name must have 1 to 64 letters, digits, '-', '_' and '.'");
            }
            let measures = whole.measures();
            if measures.is_empty() && whole.overrides.is_empty() {
                wrong(
                    "",
                    "has no measure: set 'rate', 'window', 'sliding', 'daily', 'monthly' or \
                        'concurrency'",
                );
            }
            if measures.burst.is_some() && measures.rate.is_none() {
                wrong("burst", "has no effect without a 'rate'");
            }
            let zero = [measures.burst, measures.daily, measures.monthly, measures.concurrency];
            if zero.contains(&Some(0)) {
                wrong("", "must not be 0: to deny all calls, use a policy");
            }
            let longest = Duration::from_secs(31 * 24 * 60 * 60);
            let rates = [measures.rate, measures.window, measures.sliding];
            if rates.iter().flatten().any(|rate| rate.per.0 > longest) {
                wrong("", "a window must be at most 31 days");
            }
            if whole.weights.values().any(|weight| *weight == 0) {
                wrong("weights", "a weight must be at least 1");
            }
            if !whole.overrides.is_empty() && whole.per.as_ref().is_none_or(Vec::is_empty) {
                wrong(
                    "overrides",
                    "requires 'per': overrides apply to values that are counted separately",
                );
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown_as_people_write_them() {
        for text in ["20/s", "100/5m", "1/d", "7/250ms"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", "20", "/s", "0/s", "20/", "20/0s", "x/s", "20/y"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_takes_from_another_what_it_does_not_say() {
        let rule = |extends: Option<&str>, rate: Option<&str>, daily| RuleSettings {
            extends: extends.map(Into::into),
            rate: rate.map(|rate| rate.parse().unwrap()),
            daily,
            ..RuleSettings::default()
        };
        let settings = RateSettings {
            rules: [
                ("base".to_owned(), rule(None, Some("10/s"), Some(5))),
                ("more".to_owned(), rule(Some("base"), Some("20/s"), None)),
                ("round".to_owned(), rule(Some("about"), None, None)),
                ("about".to_owned(), rule(Some("round"), None, None)),
            ]
            .into(),
            ..RateSettings::default()
        };
        let more = settings.whole("more").unwrap();
        assert_eq!((more.rate.unwrap().count, more.daily), (20, Some(5)));
        assert!(settings.whole("round").is_err());
    }
}
