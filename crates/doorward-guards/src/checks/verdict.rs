//! What a check says, whatever its form, and how the answers of Doorward's own form and of Open Policy Agent are read.

use std::collections::BTreeSet;

use bytes::Bytes;
use doorward_config::ApprovalSettings;
use doorward_config::labels::is_label;
use doorward_mcp::display::harmless_line;
use doorward_mcp::json::{Limits, Names, scan_object};
use doorward_mcp::{Object, Value};

use super::texts::Edit;

/// Bounds of an answer: depth of its JSON, characters of a reason, and labels.
const DEPTH: usize = 64;
const LONGEST_REASON: usize = 300;
const MOST_LABELS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Allow,
    Refuse,
    Change,
    Hold,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
            Self::Change => "change",
            Self::Hold => "hold",
        }
    }
}

/// How arguments or an answer are changed.
#[derive(Debug, Clone)]
pub enum Change {
    Patch(Object),
    Texts(Vec<Edit>),
}

/// The answer of a check.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub action: Action,
    /// Empty where the check gives none; one line, bounded, without characters that hide.
    pub reason: String,
    pub change: Option<Change>,
    pub labels: BTreeSet<String>,
    /// Classes of data that were found.
    pub data: BTreeSet<String>,
    /// Who approves, as the answer or the settings say.
    pub approval: Option<ApprovalSettings>,
}

impl Verdict {
    pub fn new(action: Action) -> Self {
        Self {
            action,
            reason: String::new(),
            change: None,
            labels: BTreeSet::new(),
            data: BTreeSet::new(),
            approval: None,
        }
    }

    pub fn because(mut self, reason: &str) -> Self {
        self.reason = cleaned(reason);
        self
    }
}

/// A text of a check as it is passed on: one line, bounded, and nothing that hides or reorders text.
pub fn cleaned(text: &str) -> String {
    let short: String = text.trim().chars().take(LONGEST_REASON).collect();
    harmless_line(&short).into_owned()
}

/// The answer of Doorward's own form. The error says what is wrong with it, for the log.
pub fn read(text: &Bytes) -> Result<Verdict, String> {
    let limits = Limits { depth: DEPTH, names: Names::StrictEnvelope };
    let answer = scan_object(text, limits).map_err(|fault| format!("no JSON object: {fault}"))?;
    of_object(&answer)
}

/// The answer of Open Policy Agent's data API: `result` is a boolean, or an object with `allow` or with the members of
/// Doorward's own form. A document that is undefined has none: what no policy allows is refused.
pub fn read_opa(text: &Bytes) -> Result<Verdict, String> {
    let limits = Limits { depth: DEPTH, names: Names::StrictEnvelope };
    let answer = scan_object(text, limits).map_err(|fault| format!("no JSON object: {fault}"))?;
    let Some(result) = answer.get("result") else {
        return Ok(Verdict::new(Action::Refuse).because("the policy is undefined for this call"));
    };
    if let Some(allowed) = result.as_bool() {
        return Ok(Verdict::new(if allowed { Action::Allow } else { Action::Refuse }));
    }
    let result = result.as_object().ok_or("'result' is neither a boolean nor an object")?;
    let Some(allowed) = result.get("allow") else { return of_object(&result) };
    if result.contains("action") {
        return Err("'result' has both 'allow' and 'action'".into());
    }
    let allowed = allowed.as_bool().ok_or("'allow' is not a boolean")?;
    let mut whole = result.into_owned();
    whole.remove("allow");
    let action = match (allowed, whole.contains("patch")) {
        (true, false) => "allow",
        (true, true) => "change",
        (false, _) => "refuse",
    };
    if !allowed {
        whole.remove("patch");
    }
    whole.set("action", action);
    of_object(&whole)
}

fn of_object(answer: &Object) -> Result<Verdict, String> {
    let action = match answer.string("action").as_deref() {
        Some("allow") => Action::Allow,
        Some("refuse") => Action::Refuse,
        Some("change") => Action::Change,
        Some("hold") => Action::Hold,
        Some(_) => return Err("'action' is none of allow, refuse, change and hold".into()),
        None => return Err("'action' is missing".into()),
    };
    let change = match (action, answer.get("patch")) {
        (Action::Change, Some(patch)) => {
            let patch = patch.as_object().ok_or("'patch' is not an object")?;
            Some(Change::Patch(patch.into_owned()))
        }
        (Action::Change, None) => return Err("'change' without 'patch'".into()),
        (_, Some(_)) => return Err(format!("'{}' with 'patch'", action.as_str())),
        (_, None) => None,
    };
    let reason = match answer.get("reason") {
        None => String::new(),
        Some(reason) if reason.is_null() => String::new(),
        Some(reason) => cleaned(&reason.as_str().ok_or("'reason' is not a string")?),
    };
    let labels = words(answer, "labels")?;
    let data = words(answer, "data")?;
    let approval = approval(answer)?;
    if approval.is_some() && action != Action::Hold {
        return Err(format!("'{}' with 'approvers'", action.as_str()));
    }
    Ok(Verdict { action, reason, change, labels, data, approval })
}

/// Labels and classes: short words of a few characters.
fn words(answer: &Object, name: &str) -> Result<BTreeSet<String>, String> {
    let Some(list) = answer.get(name).filter(|list| !list.is_null()) else {
        return Ok(BTreeSet::new());
    };
    let list = list.as_array().ok_or_else(|| format!("'{name}' is not an array"))?;
    if list.len() > MOST_LABELS {
        return Err(format!("'{name}' has more than {MOST_LABELS} items"));
    }
    let word = |value: &Value| {
        let text = value.as_str().filter(|text| is_label(text));
        text.map(std::borrow::Cow::into_owned)
            .ok_or_else(|| format!("an item of '{name}' is not a valid label"))
    };
    list.iter().map(word).collect()
}

/// Who approves, as an answer says.
fn approval(answer: &Object) -> Result<Option<ApprovalSettings>, String> {
    if !answer.contains("approvers") {
        let stray = ["ttl", "people"].into_iter().find(|name| answer.contains(name));
        return stray.map_or(Ok(None), |stray| Err(format!("'{stray}' without 'approvers'")));
    }
    let mut said = Object::new();
    for name in ["approvers", "ttl", "people"] {
        if let Some(value) = answer.get(name) {
            said.set(name, value.clone());
        }
    }
    let read = serde_json::from_slice::<ApprovalSettings>(&said.to_bytes());
    let wrong = "expected 'approvers' such as [\"role:lead\"], 'ttl' such as \"30m\", and 'people'";
    let approval = read.map_err(|_| wrong)?;
    match approval.problems().first() {
        None => Ok(Some(approval)),
        Some((key, why)) => Err(format!("'{key}' {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Result<Verdict, String> {
        read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn opa(text: &str) -> Result<Verdict, String> {
        read_opa(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn answers_that_could_be_read_in_two_ways_are_none() {
        for text in [
            "",
            "[]",
            "null",
            "true",
            "\"allow\"",
            "{}",
            "{\"action\":\"allow\"} x",
            r#"{"action":"allow","action":"refuse"}"#,
            r#"{"action":"maybe"}"#,
            r#"{"Action":"allow"}"#,
            r#"{"action":true}"#,
            r#"{"action":"change"}"#,
            r#"{"action":"change","patch":[]}"#,
            r#"{"action":"allow","patch":{}}"#,
            r#"{"action":"allow","labels":"x"}"#,
            r#"{"action":"allow","labels":["a b"]}"#,
            r#"{"action":"allow","labels":[""]}"#,
            r#"{"action":"allow","reason":1}"#,
            r#"{"action":"allow","approvers":["role:x"]}"#,
            r#"{"action":"hold","approvers":["lead"]}"#,
            r#"{"action":"hold","approvers":[]}"#,
            r#"{"action":"hold","approvers":["role:a"],"people":9}"#,
            r#"{"action":"hold","approvers":["role:a"],"ttl":"1s"}"#,
            r#"{"action":"hold","approvers":["role:a,role:b"]}"#,
            r#"{"action":"hold","approvers":["user:a"],"people":2}"#,
            r#"{"action":"hold","approvers":"role:a"}"#,
            r#"{"action":"hold","ttl":"1h"}"#,
        ] {
            assert!(own(text).is_err(), "{text}");
        }
        let deep = format!("{{\"action\":\"allow\",\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(own(&deep).is_err());
        let many: Vec<String> = (0..30).map(|number| format!("\"l{number}\"")).collect();
        assert!(own(&format!("{{\"action\":\"allow\",\"labels\":[{}]}}", many.join(","))).is_err());
    }

    #[test]
    fn an_answer_says_what_is_to_be_done() {
        let refused = own("{\"action\":\"refuse\",\"reason\":\"a\\u001b[31m\\nb\"}").unwrap();
        assert_eq!((refused.action, refused.reason.as_str()), (Action::Refuse, "a\\u{1b}[31m\\nb"));
        let long = own(&format!("{{\"action\":\"refuse\",\"reason\":\"{}\"}}", "x".repeat(9_000)));
        assert_eq!(long.unwrap().reason.len(), LONGEST_REASON);
        let changed = own(r#"{"action":"change","patch":{"a":null},"labels":["pii"]}"#).unwrap();
        assert!(matches!(changed.change, Some(Change::Patch(_))) && changed.labels.contains("pii"));
        let held = own(r#"{"action":"hold","approvers":["role:lead"],"ttl":"30m","people":2}"#);
        let approval = held.unwrap().approval.unwrap();
        assert_eq!(approval.approvers[0].to_string(), "role:lead");
        assert_eq!((approval.ttl.0.as_secs(), approval.people), (1_800, 2));
    }

    #[test]
    fn what_no_policy_allows_is_refused() {
        for (text, action) in [
            (r#"{"result":true}"#, Action::Allow),
            (r#"{"result":false,"decision_id":"x"}"#, Action::Refuse),
            (r#"{"decision_id":"x"}"#, Action::Refuse),
            (r#"{"result":{"allow":true}}"#, Action::Allow),
            (r#"{"result":{"allow":false,"reason":"no","patch":{}}}"#, Action::Refuse),
            (r#"{"result":{"allow":true,"patch":{"a":1}}}"#, Action::Change),
            (r#"{"result":{"action":"hold"}}"#, Action::Hold),
        ] {
            assert_eq!(opa(text).unwrap().action, action, "{text}");
        }
        for text in [
            r#"{"result":"yes"}"#,
            r#"{"result":null}"#,
            r#"{"result":[]}"#,
            r#"{"result":{}}"#,
            r#"{"result":{"allow":"true"}}"#,
            r#"{"result":{"allow":true,"action":"allow"}}"#,
        ] {
            assert!(opa(text).is_err(), "{text}");
        }
    }
}
