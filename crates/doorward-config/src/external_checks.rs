//! External checks: HTTP services that the gateway asks about calls, their results, and definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use doorward_core::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::defaults::is_default;
use super::{ApprovalSettings, BreakerSettings, ByteSize, Period, Secret, problem_of};

/// External checks, by name.
pub type ExternalChecks = BTreeMap<String, ExternalCheck>;

/// Most checks of a gateway, and the longest that one may take.
const MOST: usize = 50;
const LONGEST: Duration = Duration::from_secs(60);

/// How a check is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckForm {
    /// Doorward's own form.
    #[default]
    Doorward,
    /// The data API of Open Policy Agent: `url` is that of a document, such as `http://opa:8181/v1/data/mcp/decision`.
    Opa,
    /// The Presidio analyzer: `url` is its `/analyze`.
    Presidio,
    /// OpenAI's moderation endpoint: `url` is its `/v1/moderations`.
    Moderation,
}

/// When a check is asked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CheckWhen {
    /// Before the server is called.
    Before,
    /// Before its answer is returned.
    After,
    /// When the gateway learns the definition of a tool, prompt, resource or template, or how a server describes itself.
    Definition,
}

impl CheckWhen {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Definition => "definition",
        }
    }
}

/// What happens when a check cannot be asked, or does not answer as it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    #[default]
    Refuse,
    Allow,
}

/// How much of arguments or of an answer a check receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendPart {
    /// With secrets masked, as in audit records.
    Masked,
    Whole,
    None,
}

/// What a check receives. Default: `masked`, and `whole` for `presidio`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SendSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<SendPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<SendPart>,
}

/// What is done about what Presidio finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PresidioAction {
    /// Add the classes to the call's data only.
    Report,
    /// Replace it, such as by `[EMAIL]`.
    #[default]
    Mask,
    Refuse,
    /// Hold the call for approval.
    Hold,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PresidioSettings {
    pub language: String,
    /// Entities to look for. Default: all that the analyzer knows.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub entities: BTreeSet<String>,
    /// Lowest score, in hundredths, of what counts.
    pub score: u8,
    pub action: PresidioAction,
}

impl Default for PresidioSettings {
    fn default() -> Self {
        Self {
            language: "en".into(),
            entities: BTreeSet::new(),
            score: 50,
            action: PresidioAction::Mask,
        }
    }
}

/// What is done about flagged content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModerationAction {
    /// Add a label for each category, such as `moderation.violence`.
    Label,
    #[default]
    Refuse,
    /// Hold the call for approval.
    Hold,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModerationSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Categories that count, as patterns such as `self-harm*`. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Pattern>,
    pub action: ModerationAction,
}

/// One external check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalCheck {
    /// Where it is asked, by POST. Redirects are not followed.
    pub url: Url,
    #[serde(default, skip_serializing_if = "is_default")]
    pub form: CheckForm,
    #[serde(default = "before")]
    pub when: BTreeSet<CheckWhen>,
    /// Tools, prompts and resources, as patterns of `server/name` or `server/uri`. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Pattern>,
    /// Checks are asked in this order; those with the same number at the same time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: u16,
    /// How long it may take to answer.
    #[serde(default = "two_seconds")]
    pub timeout: Period,
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    #[serde(default, skip_serializing_if = "is_default")]
    pub send: SendSettings,
    /// Signs requests as Standard Webhooks are: `whsec_` and 24 to 64 bytes in base64, or a text of at least 24
    /// characters. Default: not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Headers to send. Write secrets as `${env:NAME}` or `${file:PATH}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Connect to public addresses only, whatever the name in `url` resolves to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_only: bool,
    /// Maximum size of a request. A call that needs a larger one counts as a failure of the check.
    #[serde(default = "a_mebibyte")]
    pub max_request: ByteSize,
    /// Maximum size of an answer.
    #[serde(default = "a_mebibyte")]
    pub max_answer: ByteSize,
    /// Requests at a time. More count as failures of the check.
    #[serde(default = "hundreds")]
    pub concurrency: usize,
    /// When a check that fails is not asked any more for a while.
    #[serde(default, skip_serializing_if = "is_default")]
    pub breaker: BreakerSettings,
    /// Who approves what the check holds, where its answer does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSettings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presidio: Option<PresidioSettings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moderation: Option<ModerationSettings>,
}

fn before() -> BTreeSet<CheckWhen> {
    [CheckWhen::Before].into()
}

fn two_seconds() -> Period {
    Period(Duration::from_secs(2))
}

fn a_mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn hundreds() -> usize {
    256
}

impl ExternalCheck {
    /// How much of the arguments (`Before`) or the answer (`After`) it receives. Definitions are not the data of anybody.
    pub fn sends(&self, when: CheckWhen) -> SendPart {
        let usual = match self.form {
            CheckForm::Presidio => SendPart::Whole,
            _ => SendPart::Masked,
        };
        let said = match when {
            CheckWhen::Before => self.send.arguments,
            CheckWhen::After => self.send.result,
            CheckWhen::Definition => Some(SendPart::Whole),
        };
        said.unwrap_or(usual)
    }

    /// The bytes of the key that signs requests.
    pub fn key(&self) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        super::webhooks::key_of(self.secret.as_ref()?)
    }

    /// Whether it is asked about a tool, prompt or resource of a server.
    pub fn concerns(&self, server: &str, name: &str) -> bool {
        if self.targets.is_empty() {
            return true;
        }
        let whole = format!("{server}/{name}");
        self.targets.iter().any(|pattern| pattern.matches(&whole))
    }

    /// Whether it is asked about anything of a server: tasks do not say which tool they belong to.
    pub fn concerns_any_of(&self, server: &str) -> bool {
        self.targets.is_empty()
            || self.targets.iter().any(|pattern| match pattern.0.split_once('/') {
                Some((part, _)) if part.contains('*') => true,
                Some((part, _)) => part == server,
                None => pattern.0.contains('*'),
            })
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut wrong = |key, why: &str| problems.push((key, why.to_owned()));
        if let Some(why) = problem_of(&self.url, self.public_only) {
            wrong("url", &why);
        }
        if self.when.is_empty() {
            wrong("when", "expected one or more of 'before', 'after' and 'definition'");
        }
        if self.timeout.0.is_zero() || self.timeout.0 > LONGEST {
            wrong("timeout", "must be between 1ms and 60s");
        }
        if self.concurrency == 0 {
            wrong("concurrency", "must be at least 1");
        }
        if self.secret.as_ref().is_some_and(|secret| super::webhooks::key_of(secret).is_none()) {
            wrong("secret", super::webhooks::KEY_EXPECTED);
        }
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            let owned = ["host", "content-length", "content-type", "transfer-encoding", "accept"];
            if http::HeaderName::try_from(&name).is_err()
                || owned.contains(&name.as_str())
                || name.starts_with("webhook-")
            {
                wrong("headers", &format!("'{name}' is not a header that can be set"));
            }
            if http::HeaderValue::try_from(value.expose()).is_err() {
                wrong("headers", &format!("the value of '{name}' is not a valid header value"));
            }
        }
        for why in self.breaker.problems() {
            wrong("breaker", why);
        }
        if let Some(approval) = &self.approval {
            for (key, why) in approval.problems() {
                wrong("approval", &format!("'{key}' {why}"));
            }
        }
        self.form_problems(&mut wrong);
        problems
    }

    fn form_problems(&self, wrong: &mut impl FnMut(&'static str, &str)) {
        let other = [
            ("presidio", self.presidio.is_some(), CheckForm::Presidio),
            ("moderation", self.moderation.is_some(), CheckForm::Moderation),
        ];
        for (key, is_set, form) in other {
            if is_set && self.form != form {
                wrong(key, &format!("requires 'form: {key}'"));
            }
        }
        let presidio = self.presidio.clone().unwrap_or_default();
        let moderation = self.moderation.clone().unwrap_or_default();
        let holds = match self.form {
            CheckForm::Presidio => presidio.action == PresidioAction::Hold,
            CheckForm::Moderation => moderation.action == ModerationAction::Hold,
            CheckForm::Doorward | CheckForm::Opa => false,
        };
        let key = if self.form == CheckForm::Presidio { "presidio" } else { "moderation" };
        if holds && self.when.contains(&CheckWhen::After) {
            wrong(key, "'hold' is for 'when: [before]': what a server has done cannot be held");
        }
        if holds && self.when.contains(&CheckWhen::Before) && self.approval.is_none() {
            wrong(key, "'hold' requires 'approval', which names the approvers");
        }
        let withholds = match self.form {
            CheckForm::Presidio => {
                matches!(presidio.action, PresidioAction::Refuse | PresidioAction::Hold)
            }
            CheckForm::Moderation => moderation.action != ModerationAction::Label,
            CheckForm::Doorward | CheckForm::Opa => true,
        };
        if self.when.contains(&CheckWhen::Definition) && !withholds {
            wrong(key, "'when: definition' requires 'action: refuse' or 'action: hold'");
        }
        if presidio.score > 100 {
            wrong("presidio", "'score' must be at most 100");
        }
        let reads_texts = matches!(self.form, CheckForm::Presidio | CheckForm::Moderation);
        for when in &self.when {
            let sends = self.sends(*when);
            if reads_texts && sends == SendPart::None {
                wrong("send", "the check reads texts: expected 'whole' or 'masked'");
            }
            let masks = self.form == CheckForm::Presidio && presidio.action == PresidioAction::Mask;
            if masks && sends == SendPart::Masked {
                wrong("send", "'mask' of Presidio requires 'whole'");
            }
        }
    }
}

/// Problems of all checks, by path.
pub(super) fn problems_of(checks: &ExternalChecks) -> Vec<(Vec<&str>, String)> {
    let mut problems = Vec::new();
    if checks.len() > MOST {
        let why = format!("there are {}; the maximum is {MOST}", checks.len());
        problems.push((vec!["checks"], why));
    }
    for (name, check) in checks {
        let valid = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !valid {
            let why = "a check's name is 1 to 64 letters, digits, '-', '_' and '.'";
            problems.push((vec!["checks", name], why.into()));
        }
        let of_check = check.problems().into_iter();
        problems.extend(of_check.map(|(key, why)| (vec!["checks", name.as_str(), key], why)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(more: &str) -> ExternalCheck {
        serde_json::from_str(&format!(r#"{{"url": "https://check.example/"{more}}}"#)).unwrap()
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (more, keys) in [
            ("", &[][..]),
            (r#", "url": "ftp://x/""#, &["url"]),
            (r#", "url": "http://10.0.0.1/", "public_only": true"#, &["url"]),
            (r#", "when": []"#, &["when"]),
            (r#", "timeout": "2m""#, &["timeout"]),
            (r#", "secret": "short""#, &["secret"]),
            (r#", "headers": {"Host": "x"}"#, &["headers"]),
            (r#", "headers": {"Webhook-Id": "x"}"#, &["headers"]),
            (r#", "presidio": {}"#, &["presidio"]),
            (r#", "form": "presidio", "presidio": {"action": "hold"}"#, &["presidio"]),
            (r#", "form": "presidio", "send": {"arguments": "masked"}"#, &["send"]),
            (r#", "form": "moderation", "send": {"arguments": "none"}"#, &["send"]),
            (
                r#", "form": "opa", "approval": {"approvers": ["role:lead"], "ttl": "1s"}"#,
                &["approval"],
            ),
            (
                r#", "form": "moderation", "when": ["after"], "moderation": {"action": "hold"},
                    "approval": {"approvers": ["role:lead"]}"#,
                &["moderation"],
            ),
            (r#", "form": "presidio", "when": ["definition"]"#, &["presidio"]),
            (
                r#", "form": "moderation", "when": ["definition"], "moderation": {"action": "label"}"#,
                &["moderation"],
            ),
            (
                r#", "form": "presidio", "when": ["definition"], "presidio": {"action": "hold"}"#,
                &[],
            ),
            (
                r#", "form": "moderation", "moderation": {"action": "hold"},
                    "approval": {"approvers": ["role:lead"]}"#,
                &[],
            ),
        ] {
            let text = match more.strip_prefix(", \"url\"") {
                Some(rest) => format!("{{\"url\"{rest}}}"),
                None => format!("{{\"url\": \"https://check.example/\"{more}}}"),
            };
            let check: ExternalCheck = serde_json::from_str(&text).unwrap();
            let found: Vec<_> = check.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(found, keys, "{more}");
        }
    }

    #[test]
    fn a_check_is_for_what_its_patterns_match() {
        let some = check(r#", "targets": ["mail/send*", "files/*"]"#);
        assert!(some.concerns("mail", "send_all") && !some.concerns("mail", "read"));
        assert!(some.concerns_any_of("mail") && !some.concerns_any_of("other"));
        assert!(check("").concerns("a", "b") && check("").concerns_any_of("a"));
        assert!(check(r#", "targets": ["*send"]"#).concerns_any_of("mail"));
    }
}
