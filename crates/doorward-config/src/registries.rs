//! Other registries, whose entries are proposed as servers.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::quantity::Period;
use super::secret::Secret;
use doorward_core::pattern::Pattern;

/// A registry that has the registry API of MCP (`/v0.1/servers`). Its entries with a remote endpoint are proposed as servers;
/// nothing is served before somebody has approved it. Packages are never run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// URL of the registry, without `/v0.1`, such as `https://registry.modelcontextprotocol.io`. Redirects are not
    /// followed.
    pub url: Url,
    /// Headers to send with every request, such as a credential. Write secrets as `${env:NAME}` or `${file:PATH}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How often the registry is read: at most every hour.
    #[serde(default = "an_hour")]
    pub interval: Period,
    /// Only entries whose names match one of these patterns, such as `io.github.acme/*`. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Pattern>,
    /// No entries whose names match one of these patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Pattern>,
    /// Only entries whose names contain this text; the registry itself searches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Let the registry be on this machine or a private network, and without TLS. It does not apply to the servers that
    /// the entries name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
    /// What happens to a server in use whose entry was deleted from the registry.
    #[serde(default)]
    pub on_deleted: OnDeleted,
}

/// What happens to a server in use whose entry was deleted from its registry. A proposal that waits is withdrawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDeleted {
    /// It is taken out of use until somebody releases it.
    #[default]
    Quarantine,
    /// It stays in use, and `doorward registries entries` reports it.
    Report,
}

/// The gateway as a registry: what it serves is at `/v0.1/servers`, for each caller what they may see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OwnRegistrySettings {
    /// Servers and portals that are listed to everybody: without a credential, and to web pages of any origin. For clients
    /// that present none to a registry, such as VS Code. Their names, descriptions and URLs become public; to use them, one
    /// needs a credential as before. `*` matches any characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub public: Vec<Pattern>,
}

impl OwnRegistrySettings {
    /// Whether a server or portal is listed to everybody.
    pub fn is_public(&self, name: &str) -> bool {
        self.public.iter().any(|pattern| pattern.matches(name))
    }
}

/// Registries by name.
pub type Registries = BTreeMap<String, RegistrySettings>;

fn an_hour() -> Period {
    Period(SHORTEST)
}

const SHORTEST: Duration = Duration::from_secs(60 * 60);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const LONGEST_SEARCH: usize = 200;

impl RegistrySettings {
    /// Whether an entry of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Problems, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let url = &self.url;
        let legal = match url.scheme() {
            "https" => true,
            "http" => self.allow_private,
            _ => false,
        };
        if !legal || url.host().is_none() {
            let why = "expected an https:// URL (http:// with 'allow_private' only)";
            problems.push(("url", why.into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            problems.push(("url", "must not contain a user or password: use 'headers'".into()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            problems.push(("url", "must not contain a query or fragment".into()));
        }
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value.expose()).is_err()
            {
                problems.push(("headers", format!("'{name}' is not a valid header")));
            }
        }
        if !(SHORTEST..=LONGEST).contains(&self.interval.0) {
            problems.push(("interval", "must be 1h to 30d".into()));
        }
        if self.search.as_ref().is_some_and(|text| text.len() > LONGEST_SEARCH) {
            problems.push(("search", format!("must have at most {LONGEST_SEARCH} bytes")));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value)]

    use super::*;
    use serde_json::json;

    fn registry(more: serde_json::Value) -> RegistrySettings {
        let mut text = json!({ "url": "https://registry.example" });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_registry_is_read_hourly_at_most_and_over_tls() {
        assert!(registry(json!({})).problems().is_empty());
        assert!(
            registry(json!({ "url": "http://10.1.2.3:8080/", "allow_private": true }))
                .problems()
                .is_empty()
        );
        for (more, key) in [
            (json!({ "interval": "59m" }), "interval"),
            (json!({ "interval": "31d" }), "interval"),
            (json!({ "url": "http://registry.example" }), "url"),
            (json!({ "url": "ftp://registry.example" }), "url"),
            (json!({ "url": "https://u:p@registry.example" }), "url"),
            (json!({ "url": "https://registry.example/?a=b" }), "url"),
            (json!({ "headers": { "a b": "c" } }), "headers"),
            (json!({ "search": "x".repeat(201) }), "search"),
        ] {
            let problems = registry(more.clone()).problems();
            assert_eq!(problems.iter().map(|it| it.0).collect::<Vec<_>>(), [key], "{more}");
        }
    }

    #[test]
    fn patterns_choose_entries() {
        let some = registry(
            json!({ "include": ["io.github.acme/*", "com.acme/x"], "exclude": ["*/bad"] }),
        );
        for (name, wanted) in [
            ("io.github.acme/weather", true),
            ("io.github.acme/bad", false),
            ("com.acme/x", true),
            ("com.acme/y", false),
        ] {
            assert_eq!(some.wants(name), wanted, "{name}");
        }
        assert!(registry(json!({})).wants("a/b"));
    }
}
