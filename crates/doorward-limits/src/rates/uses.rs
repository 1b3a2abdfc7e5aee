//! The present use of limits, for administrators.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_config::{Dimension, RuleSettings};

use super::Limiter;
use super::measure::{Left, Measure};
use super::rule::{Entry, Rule};
use super::shared;

/// What is used of one limit, for one of what it counts separately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    pub rule: Arc<str>,
    /// What is counted, as overrides name it: `acme/alice`. Empty where all calls are counted together, `*` for those that
    /// there was no separate counter for.
    pub subject: String,
    /// The dimensions of the subject and their values. None for `*`.
    pub names: Vec<(Dimension, String)>,
    pub measures: Vec<Measured>,
}

/// One measure of a limit, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    pub measure: Measure,
    pub left: Left,
    /// How long ago the shared store said so; `None` if this process counts itself.
    pub known_for: Option<Duration>,
}

impl Measured {
    pub fn used(&self) -> u64 {
        self.measure.limit().saturating_sub(self.left.remaining)
    }
}

impl Limiter {
    /// What is used of all limits, in the order of their names and subjects, from `after` on. Nothing is said of subjects
    /// that have used nothing. Holds at most `most` of those that are `wanted` at a time, whatever is counted.
    pub fn uses(
        &self,
        after: Option<(&str, &str)>,
        most: usize,
        wanted: impl Fn(&RuleSettings, &Use) -> bool,
    ) -> Vec<Use> {
        let (rules, now) = (self.rules.load(), self.now());
        let is_shared = self.shared.load().is_some();
        let mut found: Vec<Use> = Vec::new();
        for rule in rules.iter() {
            let room = most - found.len();
            let after = match after {
                Some((name, _)) if *rule.name < *name => continue,
                Some((name, subject)) if *rule.name == *name => Some(subject),
                _ => None,
            };
            if room == 0 {
                break;
            }
            let mut first: BTreeMap<String, Use> = BTreeMap::new();
            rule.each(|subject, entry| {
                let is_full = first.len() >= room;
                let is_later =
                    is_full && first.keys().next_back().is_some_and(|it| *subject > **it);
                if after.is_some_and(|after| subject <= after) || is_later {
                    return;
                }
                let measures = (0..entry.measures.len()).map(|at| {
                    let measure = entry.measures[at];
                    let known = if is_shared { shared::known(entry, at, now) } else { None };
                    let known_for = known.map(|(_, known_for)| known_for);
                    let own = || entry.counts[at].left(measure, now);
                    let left = known.map_or_else(own, |(left, _)| left);
                    Measured { measure, left, known_for }
                });
                let measures: Vec<Measured> = measures.collect();
                if measures.iter().all(|measured| measured.used() == 0) {
                    return;
                }
                let one = Use {
                    rule: rule.name.clone(),
                    subject: subject.to_owned(),
                    names: rule.names(subject),
                    measures,
                };
                if wanted(&rule.settings, &one) {
                    first.insert(subject.to_owned(), one);
                    if first.len() > room {
                        first.pop_last();
                    }
                }
            });
            found.extend(first.into_values());
        }
        found
    }
}

impl Rule {
    /// Runs `look` on all counters.
    fn each(&self, mut look: impl FnMut(&str, &Entry)) {
        for shard in self.shards() {
            shard.lock().iter().for_each(|(key, entry)| look(key, entry));
        }
    }

    /// The dimensions of a key and their values.
    fn names(&self, key: &str) -> Vec<(Dimension, String)> {
        let mut parts = key.split('/').map(|part| part.replace("%2F", "/").replace("%25", "%"));
        let mut names = Vec::new();
        for dimension in self.settings.per.iter().flatten() {
            let one = match dimension {
                Dimension::Tool => {
                    parts.next().zip(parts.next()).map(|(server, tool)| format!("{server}/{tool}"))
                }
                _ => parts.next(),
            };
            match one {
                Some(one) => names.push((*dimension, one)),
                // It is counted with others.
                None => return Vec::new(),
            }
        }
        if key == super::rule::OTHERS { Vec::new() } else { names }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use doorward_config::Settings;

    use super::super::{Outcome, Subject};
    use super::*;

    fn limiter(rules: &str) -> Limiter {
        let settings: Settings =
            serde_json::from_str(&format!(r#"{{"rate_limits": {{"rules": {rules}}}}}"#)).unwrap();
        Limiter::new(&settings)
    }

    fn call(limiter: &Limiter, tenant: &str, user: &str) -> bool {
        let teams = BTreeSet::new();
        let subject = Subject {
            tenant: Some(tenant),
            teams: &teams,
            user,
            agent: None,
            key: None,
            server: Some("mail"),
            tool: Some("send"),
            address: None,
            write: true,
        };
        matches!(limiter.count(&subject, &()), Outcome::Taken(_))
    }

    #[test]
    fn what_is_used_is_told_by_limit_and_subject_in_order() {
        let rules = r#"{
            "b": {"per": ["tenant", "user"], "window": "5/h"},
            "a": {"daily": 10},
            "c": {"per": ["tool"], "monthly": 3},
            "none": {"per": ["team"], "daily": 1}
        }"#;
        let limiter = limiter(rules);
        for (tenant, user) in [("acme", "z"), ("acme", "a/b"), ("acme", "z")] {
            assert!(call(&limiter, tenant, user));
        }
        let all = limiter.uses(None, 100, |_, _| true);
        let told: Vec<(&str, &str, u64)> =
            all.iter().map(|it| (&*it.rule, it.subject.as_str(), it.measures[0].used())).collect();
        let expected =
            [("a", "", 3), ("b", "acme/a%2Fb", 1), ("b", "acme/z", 2), ("c", "mail/send", 3)];
        assert_eq!(told, expected);
        assert_eq!(all[1].names[1], (Dimension::User, "a/b".into()));
        assert_eq!(all[3].names, [(Dimension::Tool, "mail/send".into())]);
        assert!(all[2].measures[0].left.reset <= Duration::from_secs(3_600));
        // The pages together are the same, whatever their size.
        for size in 1..5 {
            let (mut seen, mut after) = (Vec::new(), None::<(String, String)>);
            loop {
                let from = after.as_ref().map(|(rule, subject)| (rule.as_str(), subject.as_str()));
                let page = limiter.uses(from, size, |_, _| true);
                let Some(last) = page.last() else { break };
                after = Some((last.rule.to_string(), last.subject.clone()));
                seen.extend(page);
            }
            let names = |all: &[Use]| {
                all.iter().map(|it| (it.rule.clone(), it.subject.clone())).collect::<Vec<_>>()
            };
            assert_eq!(names(&seen), names(&all), "{size}");
        }
        let near = limiter.uses(None, 100, |_, it| it.measures[0].left.remaining == 0);
        assert_eq!(near.len(), 1);
    }
}
