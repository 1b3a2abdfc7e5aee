//! Webhooks: where events are sent that people must hear of.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::choice::{Choice, a_day, first_pause};
use super::{Period, Secret};
use crate::secret::is_redacting;
use doorward_core::pattern::Pattern;

/// Events, as far as they have settings of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// Refused callers and denied calls of one gateway within a minute, from which on `refusals.high` is reported: at
    /// most once in ten minutes. 0 reports none.
    pub refusals_per_minute: u32,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { refusals_per_minute: 100 }
    }
}

/// What a webhook is posted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFormat {
    /// The event as JSON, signed.
    #[default]
    Json,
    /// A message for an incoming webhook of Slack.
    Slack,
    /// A message for a workflow of Microsoft Teams that is started by a webhook.
    Teams,
}

impl WebhookFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Teams => "teams",
        }
    }
}

/// A URL whose path may be a secret, as those of Slack and Teams are.
fn shown_url<S: serde::Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = if is_redacting() { without_path(url) } else { url.to_string() };
    serializer.serialize_str(&shown)
}

/// A URL without what may be secret.
fn without_path(url: &Url) -> String {
    format!("{}/…", url.origin().ascii_serialization())
}

/// One receiver of events. Requests are signed as Standard Webhooks are (`webhook-id`, `webhook-timestamp`,
/// `webhook-signature`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where events are posted. Redirects are not followed.
    #[serde(serialize_with = "shown_url")]
    pub url: Url,
    /// What is posted: the event as JSON, or a message for people.
    #[serde(default)]
    pub format: WebhookFormat,
    /// Key of the signature: `whsec_` and 24 to 64 bytes in base64, or a text of at least 24 characters. Required for events
    /// as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Kinds of events, as patterns such as `stop.*`. Default: all.
    #[serde(default = "everything")]
    pub kinds: Vec<Pattern>,
    /// Only events of these tenants, as patterns, and events of no tenant. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Pattern>,
    /// Only events of these servers, as patterns, and events of no server. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Pattern>,
    /// Pause after the first failed attempt. It doubles with each further one, up to an hour.
    #[serde(default = "first_pause")]
    pub retry_pause: Period,
    /// How long an event is tried before it is given up.
    #[serde(default = "a_day")]
    pub retry_for: Period,
}

fn everything() -> Vec<Pattern> {
    vec![Pattern("*".into())]
}

pub(super) const KEY_EXPECTED: &str =
    "expected 'whsec_' and 24 to 64 bytes in base64, or 24 to 512 characters";

/// The bytes of a key that signs requests; `None` if it could be guessed.
pub(super) fn key_of(secret: &Secret) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let text = secret.expose();
    let bytes = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => text.as_bytes().to_vec(),
    };
    let longest = if text.starts_with("whsec_") { 64 } else { 512 };
    (24..=longest).contains(&bytes.len()).then(|| zeroize::Zeroizing::new(bytes))
}

impl WebhookSettings {
    /// Whether it wants an event. What belongs to no tenant or server is for all.
    pub fn wants(&self, kind: &str, tenant: Option<&str>, server: Option<&str>) -> bool {
        self.choice().wants(kind, tenant, server)
    }

    fn choice(&self) -> Choice<'_> {
        Choice {
            kinds: &self.kinds,
            tenants: &self.tenants,
            servers: &self.servers,
            retry_pause: self.retry_pause,
            retry_for: self.retry_for,
        }
    }

    /// The URL as administrators see it: its path may be a secret unless the events are signed.
    pub fn shown_url(&self) -> String {
        match self.format {
            WebhookFormat::Json => self.url.to_string(),
            WebhookFormat::Slack | WebhookFormat::Teams => without_path(&self.url),
        }
    }

    /// The bytes of the key.
    pub fn key(&self) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        key_of(self.secret.as_ref()?)
    }

    /// Problems, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !matches!(self.url.scheme(), "http" | "https") || self.url.host().is_none() {
            problems.push(("url", "expected an http:// or https:// URL".into()));
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            problems.push(("url", "must not contain a user or password".into()));
        }
        let is_message = self.format != WebhookFormat::Json;
        if is_message && self.secret.is_some() {
            let why = format!("messages in the format '{}' are not signed", self.format.as_str());
            problems.push(("secret", why));
        }
        if !is_message && self.key().is_none() {
            problems.push(("secret", KEY_EXPECTED.into()));
        }
        problems.extend(self.choice().problems());
        problems
    }
}

/// Receivers of events, by name.
pub type Webhooks = BTreeMap<String, WebhookSettings>;

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(more: &str) -> WebhookSettings {
        let text = format!(
            r#"{{"url": "https://hooks.example/x", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" {more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn events_are_chosen_by_kind_tenant_and_server() {
        let all = webhook("");
        assert!(all.wants("stop.set", None, Some("mail")) && all.problems().is_empty());
        let some = webhook(
            r#", "kinds": ["stop.*", "server.down"], "tenants": ["acme"], "servers": ["mail*"]"#,
        );
        for (kind, tenant, server, wants) in [
            ("stop.set", None, None, true),
            ("stop.lifted", Some("acme"), Some("mail-2"), true),
            ("stop.set", Some("other"), None, false),
            ("stop.set", None, Some("files"), false),
            ("server.up", None, None, false),
        ] {
            assert_eq!(some.wants(kind, tenant, server), wants, "{kind} {tenant:?} {server:?}");
        }
    }

    #[test]
    fn a_key_that_could_be_guessed_is_refused() {
        for (secret, good) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true),
            ("a text of at least twenty-four characters", true),
            ("short", false),
            ("whsec_c2hvcnQ=", false),
            ("whsec_!!!", false),
        ] {
            let one = WebhookSettings { secret: Some(Secret(secret.into())), ..webhook("") };
            assert_eq!(one.key().is_some(), good, "{secret}");
        }
        let wrong = webhook(r#", "kinds": ["stops"], "retry_pause": "1ms""#);
        let keys: Vec<_> = wrong.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["kinds", "retry_pause"]);
    }

    #[test]
    fn the_address_of_a_message_is_a_secret() {
        let text = r#"{"url": "https://hooks.slack.com/services/T0/B0/x", "format": "slack"}"#;
        let slack: WebhookSettings = serde_json::from_str(text).unwrap();
        assert!(slack.problems().is_empty());
        assert_eq!(slack.shown_url(), "https://hooks.slack.com/…");
        let shown = crate::secret::redacted(&slack).to_string();
        assert!(!shown.contains("services") && shown.contains("hooks.slack.com"), "{shown}");
        assert!(serde_json::to_string(&slack).unwrap().contains("/services/T0/B0/x"));
        let signed = WebhookSettings { secret: webhook("").secret, ..slack.clone() };
        assert_eq!(signed.problems()[0].0, "secret");
        let json = WebhookSettings { format: WebhookFormat::Json, ..slack };
        assert_eq!(json.problems()[0].0, "secret");
    }
}
