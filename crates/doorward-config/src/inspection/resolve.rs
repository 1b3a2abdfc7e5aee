//! What settings of inspection come to for one target, and what is wrong with them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    DataAction, DataInspection, DefinitionInspection, InspectionException, InspectionSettings,
    InvisibleAction, MessageInspection, SuspiciousAction,
};

/// The longest time that a call is held, and that a token can be turned back.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl MessageInspection {
    /// These settings, with absent ones taken from others.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            invisible: self.invisible.or(others.invisible),
            suspicious: self.suspicious.or(others.suspicious),
            threshold: self.threshold.or(others.threshold),
            data: self.data.or(&others.data),
        }
    }

    /// What happens to suspicious texts.
    pub fn suspicious(&self) -> SuspiciousAction {
        self.suspicious.unwrap_or(SuspiciousAction::Report)
    }
}

impl InspectionException {
    /// Whether it may apply to something of a server.
    pub fn may_apply_to(&self, server: &str) -> bool {
        let target = format!("{server}/");
        let is_possible = |pattern: &str| {
            let literal = pattern.split('*').next().unwrap_or_default();
            literal.starts_with(&target)
                || (literal.len() < pattern.len() && target.starts_with(literal))
        };
        self.only.iter().any(|only| is_possible(&only.0))
    }
}

impl MessageInspection {
    /// The stricter of each setting of these and, where they have it, others.
    fn strictest(&self, others: &Self) -> Self {
        Self {
            invisible: self.invisible.max(others.invisible),
            suspicious: Some(self.suspicious().max(others.or(self).suspicious())),
            threshold: match (self.threshold, others.threshold) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            data: self.data.strictest(&others.data),
        }
    }
}

impl DataInspection {
    fn strictest(&self, others: &Self) -> Self {
        let both = |of: fn(&Self) -> &BTreeMap<String, DataAction>| {
            let mut all = of(self).clone();
            for (key, action) in of(others) {
                all.entry(key.clone())
                    .and_modify(|own| *own = (*own).max(*action))
                    .or_insert(*action);
            }
            all
        };
        let usual = |data: &Self| data.default.unwrap_or(DataAction::Report);
        let default =
            if others.default.is_some() { usual(self).max(usual(others)) } else { usual(self) };
        let raise = |mut named: BTreeMap<String, DataAction>| {
            // One of the two may leave to its default what the other names.
            named.values_mut().for_each(|action| *action = (*action).max(default));
            named
        };
        Self {
            default: Some(default),
            classes: raise(both(|data| &data.classes)),
            detectors: raise(both(|data| &data.detectors)),
            fields: raise(both(|data| &data.fields)),
        }
    }

    /// These settings, with absent ones taken from others.
    pub fn or(&self, others: &Self) -> Self {
        let both = |of: fn(&Self) -> &BTreeMap<String, DataAction>| {
            of(others).iter().chain(of(self)).map(|(key, action)| (key.clone(), *action)).collect()
        };
        Self {
            default: self.default.or(others.default),
            classes: both(|data| &data.classes),
            detectors: both(|data| &data.detectors),
            fields: both(|data| &data.fields),
        }
    }

    /// All actions that are named.
    pub fn actions(&self) -> impl Iterator<Item = DataAction> {
        let named = [&self.classes, &self.detectors, &self.fields];
        self.default.into_iter().chain(named.into_iter().flat_map(BTreeMap::values).copied())
    }

    /// Nothing is looked for.
    pub fn is_off(&self) -> bool {
        self.default == Some(DataAction::Ignore)
            && self.actions().all(|action| action == DataAction::Ignore)
    }
}

impl DefinitionInspection {
    /// These settings, with absent ones taken from others.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            invisible: self.invisible.or(others.invisible),
            suspicious: self.suspicious.or(others.suspicious),
            threshold: self.threshold.or(others.threshold),
            accepted: self.accepted.union(&others.accepted).cloned().collect(),
        }
    }

    /// What happens to invisible characters.
    pub fn invisible(&self) -> InvisibleAction {
        self.invisible.unwrap_or(InvisibleAction::Strip)
    }

    /// What happens to suspicious definitions.
    pub fn suspicious(&self) -> SuspiciousAction {
        self.suspicious.unwrap_or(SuspiciousAction::Report)
    }
}

impl InspectionSettings {
    /// The settings for arguments of a target, as `server/tool`. Invisible characters have their default.
    pub fn arguments_of(&self, target: &str) -> MessageInspection {
        self.message(target, |it| &it.arguments, &self.general_arguments())
    }

    /// The settings for what a target returns, as `server/tool`. Invisible characters have their default.
    pub fn results_of(&self, target: &str) -> MessageInspection {
        self.message(target, |it| &it.results, &self.general_results())
    }

    /// The settings for a definition, as `server/tool`.
    pub fn definitions_of(&self, target: &str) -> DefinitionInspection {
        self.exceptions(target)
            .fold(DefinitionInspection::default(), |own, next| own.or(&next.definitions))
            .or(&self.definitions)
    }

    /// The strictest settings for arguments of anything that a server has.
    pub fn strictest_arguments_of(&self, server: &str) -> MessageInspection {
        self.strictest(server, |it| &it.arguments, self.general_arguments())
    }

    /// The strictest settings for what anything of a server returns.
    pub fn strictest_results_of(&self, server: &str) -> MessageInspection {
        self.strictest(server, |it| &it.results, self.general_results())
    }

    /// The settings for arguments where no exception applies.
    pub fn general_arguments(&self) -> MessageInspection {
        let invisible = Some(self.arguments.invisible.unwrap_or(InvisibleAction::Report));
        MessageInspection { invisible, ..self.arguments.clone() }
    }

    /// The settings for results where no exception applies.
    pub fn general_results(&self) -> MessageInspection {
        let invisible = Some(self.results.invisible.unwrap_or(InvisibleAction::Strip));
        MessageInspection { invisible, ..self.results.clone() }
    }

    fn strictest(
        &self,
        server: &str,
        of: fn(&InspectionException) -> &MessageInspection,
        general: MessageInspection,
    ) -> MessageInspection {
        let possible = self.exceptions.iter().filter(|it| it.may_apply_to(server));
        possible.fold(general, |strict, next| strict.strictest(of(next)))
    }

    fn message(
        &self,
        target: &str,
        of: fn(&InspectionException) -> &MessageInspection,
        general: &MessageInspection,
    ) -> MessageInspection {
        self.exceptions(target)
            .fold(MessageInspection::default(), |own, next| own.or(of(next)))
            .or(general)
    }

    /// The exceptions that apply to a target, in order.
    fn exceptions<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a InspectionException> {
        let applies = |it: &&InspectionException| it.only.iter().any(|only| only.matches(target));
        self.exceptions.iter().filter(applies)
    }

    /// Whether tokens are turned back in the arguments of a target.
    pub fn turns_back(&self, target: &str) -> bool {
        self.detokenize.iter().any(|pattern| pattern.matches(target))
    }

    /// Keys below `inspection`, and their problems.
    pub fn problems(&self, has_store: bool) -> Vec<(Vec<String>, String)> {
        let mut problems = Vec::new();
        let mut wrong = |path: &[&str], why: &str| {
            problems.push((path.iter().map(|key| (*key).to_owned()).collect(), why.to_owned()));
        };
        if self.budget.0 < 1 << 10 {
            wrong(&["budget"], "must be at least 1KiB");
        }
        if self.token_ttl.0.is_zero() || self.token_ttl.0 > LONGEST {
            wrong(&["token_ttl"], "must be more than 0 and at most 7d");
        }
        if let Some(approval) = &self.approval {
            for (key, why) in approval.problems() {
                wrong(&["approval", key], why);
            }
        }
        let mut holds = false;
        let general = [("arguments", &self.arguments), ("results", &self.results)];
        let general = general.map(|(key, it)| (vec![key.to_owned()], it));
        let own = self.exceptions.iter().enumerate().flat_map(|(number, it)| {
            let at = |key: &str| vec!["exceptions".to_owned(), number.to_string(), key.to_owned()];
            [(at("arguments"), &it.arguments), (at("results"), &it.results)]
        });
        for (at, it) in general.into_iter().chain(own) {
            let at: Vec<&str> = at.iter().map(String::as_str).collect();
            let held = it.suspicious == Some(SuspiciousAction::Hold);
            if held && at.last() == Some(&"results") {
                let why = "cannot be 'hold': the tool was already called. Use 'refuse', or flow rules, \
                    which hold what the caller does next";
                wrong(&[&at[..], &["suspicious"]].concat(), why);
            }
            holds |= held && at.last() == Some(&"arguments");
            for field in it.data.fields.keys() {
                let below = field.strip_suffix("/**").unwrap_or(field);
                if !field.starts_with('/') || below.split('/').any(|part| part == "**") {
                    let why = "is a JSON pointer such as /customer/email or /items/*/email; '**' is \
                        allowed at the end";
                    wrong(&[&at[..], &["data", "fields", field]].concat(), why);
                }
            }
        }
        for (number, exception) in self.exceptions.iter().enumerate() {
            if exception.only.is_empty() {
                let at = ["exceptions", &number.to_string(), "only"];
                wrong(&at, "must have patterns such as 'github/*' or 'mail/send'");
            }
        }
        if holds && self.approval.is_none() {
            wrong(&["approval"], "is required by 'suspicious: hold': it names who approves");
        }
        if holds && !has_store {
            wrong(&["approval"], "requires a 'store', which has the approvals");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> InspectionSettings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_first_exception_that_has_a_setting_decides_it() {
        let settings = settings(serde_json::json!({
            "results": { "suspicious": "refuse", "data": { "classes": { "secret": "mask", "ip": "ignore" } } },
            "exceptions": [
                { "only": ["crm/export"], "results": { "data": { "classes": { "secret": "refuse" } } } },
                { "only": ["crm/*"], "results": { "suspicious": "report", "data": { "default": "hash", "classes": { "secret": "hash" } } } },
            ],
        }));
        let export = settings.results_of("crm/export");
        assert_eq!(export.suspicious(), SuspiciousAction::Report);
        assert_eq!(export.data.default, Some(DataAction::Hash));
        assert_eq!(export.data.classes["secret"], DataAction::Refuse);
        assert_eq!(export.data.classes["ip"], DataAction::Ignore);
        assert_eq!(export.invisible, Some(InvisibleAction::Strip));
        let other = settings.results_of("mail/read");
        assert_eq!(other.suspicious(), SuspiciousAction::Refuse);
        assert_eq!(other.data.classes["secret"], DataAction::Mask);
        assert_eq!(settings.arguments_of("mail/read").invisible, Some(InvisibleAction::Report));
    }

    #[test]
    fn what_may_be_of_any_tool_has_the_strictest_settings() {
        let settings = settings(serde_json::json!({
            "results": { "data": { "classes": { "ip": "ignore", "email": "mask" } } },
            "exceptions": [
                { "only": ["crm/export"], "results": { "invisible": "refuse", "data": { "classes": { "card": "refuse" } } } },
                { "only": ["crm*"], "results": { "invisible": "ignore", "data": { "classes": { "email": "report" } } } },
                { "only": ["mail/*"], "results": { "suspicious": "refuse" } },
            ],
        }));
        let crm = settings.strictest_results_of("crm");
        assert_eq!(crm.invisible, Some(InvisibleAction::Refuse));
        assert_eq!(crm.suspicious(), SuspiciousAction::Report);
        assert_eq!(crm.data.classes["card"], DataAction::Refuse);
        assert_eq!(crm.data.classes["email"], DataAction::Mask);
        assert_eq!(settings.strictest_results_of("mail").suspicious(), SuspiciousAction::Refuse);
        assert_eq!(settings.strictest_results_of("web").invisible, Some(InvisibleAction::Strip));
    }

    #[test]
    fn problems_name_their_keys() {
        let settings = settings(serde_json::json!({
            "budget": "1B",
            "token_ttl": "8d",
            "results": { "suspicious": "hold" },
            "arguments": { "suspicious": "hold", "data": { "fields": { "a": "mask", "/**/b": "mask", "/a/**": "mask" } } },
            "exceptions": [{}],
        }));
        let keys: Vec<String> =
            settings.problems(false).into_iter().map(|(path, _)| path.join(".")).collect();
        assert_eq!(
            keys,
            [
                "budget",
                "token_ttl",
                "arguments.data.fields./**/b",
                "arguments.data.fields.a",
                "results.suspicious",
                "exceptions.0.only",
                "approval",
                "approval"
            ]
        );
    }
}
