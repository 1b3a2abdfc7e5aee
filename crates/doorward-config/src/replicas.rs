//! The replicas of a server, and what happens to sessions when one is lost.

use std::collections::BTreeSet;
use std::path::PathBuf;

use doorward_core::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// One source of replicas: exactly one of `url`, `dns` and `file`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicaSettings {
    /// One replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// Each address of the URL's host is a replica. The name is resolved again every few seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Url>,
    /// Each line of the file is the URL of a replica; `#` begins a comment. The file is read again when it
    /// changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    #[serde(skip_serializing_if = "super::defaults::is_default")]
    pub group: ReplicaGroup,
    /// Where these replicas process data, such as `eu`. Default: the server's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Classes of data that may be sent to these replicas. Default: those of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_classes: Option<BTreeSet<Pattern>>,
}

/// Priority of these replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaGroup {
    #[default]
    Primary,
    /// Use only while no primary replica is available.
    Secondary,
}

/// What happens when a caller's session with the server is lost, alone or with its replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LostSession {
    /// Open another session without an error.
    #[default]
    Renew,
    /// Return an error once. The next call opens another session.
    Error,
}

impl ReplicaSettings {
    pub(super) fn problem(&self, public_only: bool) -> Option<String> {
        let named = [self.url.is_some(), self.dns.is_some(), self.file.is_some()];
        if named.iter().filter(|set| **set).count() != 1 {
            return Some("expected one of 'url', 'dns' and 'file' in each".into());
        }
        let url = self.url.as_ref().or(self.dns.as_ref())?;
        if self.dns.is_some() && doorward_core::address::address_of(url).is_some() {
            return Some(format!("{url} names an address; 'dns' looks up a name"));
        }
        problem_of(url, public_only)
    }
}

/// Why a URL cannot be used. Credentials in it are not repeated.
pub fn problem_of(url: &Url, public_only: bool) -> Option<String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Some("put credentials into 'headers', not into the URL".into());
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Some(format!("'{url}' is not an http:// or https:// URL"));
    }
    let address = doorward_core::address::address_of(url).filter(|_| public_only);
    if address.is_some_and(|address| !doorward_core::address::is_public(address)) {
        return Some(format!("{url} names an address that is not public"));
    }
    None
}
