//! Who approves calls that something other than a policy holds: inspection, or an external check.

use std::time::Duration;

use doorward_policy::{Approver, Hold};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use super::defaults::{an_hour, one};

/// Most approvers, and most people of them who must approve.
const MOST_APPROVERS: usize = 20;
const MOST_PEOPLE: u8 = 5;
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Who approves a call that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSettings {
    /// Up to 20 roles, teams and users, as `role:security`, `team:ops` or `user:dana`.
    #[schemars(with = "Vec<String>")]
    pub approvers: Vec<Approver>,
    /// How long the call waits for its approval: `10s` to `7d`.
    #[serde(default = "an_hour")]
    pub ttl: Period,
    /// How many different people must approve, 1 to 5.
    #[serde(default = "one")]
    pub people: u8,
}

impl ApprovalSettings {
    /// Keys and their problems.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.approvers.is_empty() || self.approvers.len() > MOST_APPROVERS {
            problems.push(("approvers", "must name 1 to 20 roles, teams or users"));
        }
        if self.ttl.0 < SHORTEST || self.ttl.0 > LONGEST {
            problems.push(("ttl", "must be between 10s and 7d"));
        }
        if !(1..=MOST_PEOPLE).contains(&self.people) {
            problems.push(("people", "must be 1 to 5"));
        }
        let is_user = |one: &Approver| matches!(one, Approver::User(_));
        if self.approvers.iter().all(is_user) && self.approvers.len() < usize::from(self.people) {
            problems.push(("people", "is more than 'approvers' names"));
        }
        problems
    }

    /// That a call is held until they have approved it. `by` is the source, `inspection` or `check:NAME`; the reason is for
    /// approvers and the caller, in a sentence without secrets.
    pub fn hold(&self, by: &str, reason: String) -> Hold {
        Hold {
            policy: by.to_owned(),
            reason: Some(reason),
            approvers: self.approvers.clone(),
            ttl: i64::try_from(self.ttl.0.as_secs()).unwrap_or(i64::MAX),
            people: self.people,
            remember: None,
            by_self: false,
            edit: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_approves_is_checked() {
        for (json, keys) in [
            (r#"{"approvers": ["role:lead"]}"#, &[][..]),
            (r#"{"approvers": ["user:a", "user:b"], "people": 2, "ttl": "10s"}"#, &[]),
            (r#"{"approvers": []}"#, &["approvers", "people"]),
            (r#"{"approvers": ["role:lead"], "ttl": "9s"}"#, &["ttl"]),
            (r#"{"approvers": ["role:lead"], "ttl": "8d"}"#, &["ttl"]),
            (r#"{"approvers": ["role:lead"], "people": 0}"#, &["people"]),
            (r#"{"approvers": ["role:lead"], "people": 6}"#, &["people"]),
            (r#"{"approvers": ["user:a", "user:b"], "people": 3}"#, &["people"]),
        ] {
            let settings: ApprovalSettings = serde_json::from_str(json).unwrap();
            let found: Vec<_> = settings.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(found, keys, "{json}");
        }
        let wrong = serde_json::from_str::<ApprovalSettings>(r#"{"approvers": ["lead"]}"#);
        assert!(wrong.unwrap_err().to_string().contains("expected 'role:NAME'"));
    }
}
