//! The console, the portal for users, and how people sign in to both.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{IssuerSettings, LoginProvider, Period, is_trustworthy};

/// The name under which the provider of the built-in authorization server is offered.
pub const GATEWAY_LOGIN: &str = "gateway";

/// The web application for administrators, on the admin listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Serve it at `/console/`.
    pub enabled: bool,
    /// URL under which browsers reach the admin listener, without a path: OpenID providers send people back to it.
    /// Default: the address of `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
}

/// The web application for users, on the listener of clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserPortalSettings {
    /// Serve it at `/portal/`. Its URL is that of `public_url`.
    pub enabled: bool,
    /// Let users create API keys for themselves.
    pub self_service_keys: bool,
    /// How long such a key is valid at most; at most a year.
    pub key_lifetime: Period,
}

/// How people sign in to the console and the portal. API keys need no configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoginSettings {
    /// OpenID providers, by name, in addition to that of `authorization_server`. A user is `<name>:<subject>`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, LoginProvider>,
    /// How long a session lasts; at most a week.
    pub lifetime: Period,
    /// A session ends if it was not used for so long.
    pub idle: Period,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { enabled: true, url: None }
    }
}

impl Default for UserPortalSettings {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { enabled: true, self_service_keys: false, key_lifetime: Period(30 * day) }
    }
}

impl Default for LoginSettings {
    fn default() -> Self {
        let hour = Duration::from_secs(60 * 60);
        Self { providers: BTreeMap::new(), lifetime: Period(12 * hour), idle: Period(hour) }
    }
}

/// The problems of both faces.
pub(super) fn problems(
    console: &ConsoleSettings,
    portal: &UserPortalSettings,
) -> Vec<(&'static str, &'static str, String)> {
    let all = console.problems().into_iter().map(|(key, problem)| ("console", key, problem));
    let portal = portal.problems().into_iter().map(|(key, problem)| ("portal", key, problem));
    all.chain(portal).collect()
}

impl ConsoleSettings {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let bare =
            |url: &Url| url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match &self.url {
            Some(url) if !is_trustworthy(url) || !bare(url) => {
                let why = "expected an https:// URL without a path (http:// on loopback only)";
                vec![("url", why.into())]
            }
            _ => Vec::new(),
        }
    }
}

impl UserPortalSettings {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let minute = Duration::from_secs(60);
        if (minute..=366 * 24 * 60 * minute).contains(&self.key_lifetime.0) {
            return Vec::new();
        }
        vec![("key_lifetime", "must be from a minute to a year".into())]
    }
}

impl LoginSettings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Problems, with the path below `identity.login`. `issuers` are those whose tokens are accepted, and `own` is the name
    /// and provider of the built-in authorization server: users of one name must be those of one issuer.
    pub(super) fn problems(
        &self,
        issuers: &BTreeMap<String, IssuerSettings>,
        own: Option<(&str, &str)>,
    ) -> Vec<(Vec<String>, String)> {
        let mut problems = Vec::new();
        let mut wrong = |path: &[&str], problem: String| {
            problems.push((path.iter().map(|part| (*part).to_owned()).collect(), problem));
        };
        let minute = Duration::from_secs(60);
        if !(minute..=7 * 24 * 60 * minute).contains(&self.lifetime.0) {
            wrong(&["lifetime"], "must be from a minute to a week".into());
        }
        if self.idle.0 < Duration::from_secs(1) || self.idle.0 > self.lifetime.0 {
            wrong(&["idle"], "must be from a second to 'lifetime'".into());
        }
        for (name, provider) in &self.providers {
            if name.is_empty()
                || name == GATEWAY_LOGIN
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                let why = "a provider's name must consist of letters, digits and '-', and must not be 'gateway'";
                wrong(&["providers", name], why.into());
            }
            let declared = issuers.get(name).map(|issuer| issuer.issuer.as_str());
            let own = own.filter(|(own, _)| own == name).map(|(_, issuer)| issuer);
            if declared.into_iter().chain(own).any(|other| other != provider.issuer) {
                let why =
                    "another issuer has the same name, so their users would have the same names";
                wrong(&["providers", name], why.into());
            }
            for (path, why) in provider.problems() {
                wrong(&[&["providers", name.as_str()], path.as_slice()].concat(), why);
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    fn problems(json: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(json).unwrap();
        settings.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn users_of_two_issuers_do_not_share_a_name() {
        let provider = |issuer: &str| serde_json::json!({ "issuer": issuer, "client_id": "x", "client_secret": "y" });
        let with = |issuer: &str| {
            problems(serde_json::json!({ "identity": {
                "issuers": { "corp": { "issuer": "https://id.example" } },
                "login": { "providers": { "corp": provider(issuer) } },
            } }))
        };
        assert!(with("https://id.example").is_empty());
        let wrong = with("https://other.example");
        assert!(
            wrong.len() == 1 && wrong[0].contains("identity.login.providers.corp"),
            "{wrong:?}"
        );
        let reserved = problems(serde_json::json!({ "identity": {
            "login": { "providers": { "gateway": provider("https://id.example") } },
        } }));
        assert_eq!(reserved.len(), 1, "{reserved:?}");
    }

    #[test]
    fn sessions_and_urls_have_bounds() {
        for (json, wrong) in [
            (serde_json::json!({ "identity": { "login": { "lifetime": "8d" } } }), "lifetime"),
            (serde_json::json!({ "identity": { "login": { "idle": "13h" } } }), "idle"),
            (serde_json::json!({ "portal": { "key_lifetime": "400d" } }), "portal.key_lifetime"),
            (serde_json::json!({ "console": { "url": "http://gw.example" } }), "console.url"),
            (serde_json::json!({ "console": { "url": "https://gw.example/x" } }), "console.url"),
        ] {
            let found = problems(json);
            assert!(found.len() == 1 && found[0].contains(wrong), "{wrong}: {found:?}");
        }
        assert!(
            problems(serde_json::json!({ "console": { "url": "https://gw.example" } })).is_empty()
        );
    }
}
