//! The gateway as an authorization server in front of an OpenID provider.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credential::client_problem;
use super::identity::issuer_problem;
use super::{Period, Secret, TrustedFor};

/// The built-in authorization server: clients log in at the gateway, and users at the identity provider. For
/// providers that support neither client ID metadata documents nor dynamic client registration. Requires a store
/// and a `store_key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServerSettings {
    /// Name of this authorization server. A user is `<name>:<subject>`, a client that acts on behalf of users
    /// `<name>:<client id>`.
    #[serde(default = "own_name")]
    pub name: String,
    /// The identity provider at which users sign in.
    pub provider: LoginProvider,
    /// Lifetime of access tokens; at most one hour.
    #[serde(default = "access_tokens")]
    pub access_tokens: Period,
    /// How long a login lasts, as long as its client uses its refresh token.
    #[serde(default = "sessions")]
    pub sessions: Period,
    /// Accept clients that identify themselves by the URL of a metadata document.
    #[serde(default = "yes")]
    pub metadata_documents: bool,
    /// Hosts that client metadata documents may be fetched from; these may have private addresses. With a port
    /// (`apps.internal:8443`), only that port. When empty, all public hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub document_hosts: Vec<String>,
    /// Allow clients to register themselves (RFC 7591).
    #[serde(default = "yes")]
    pub dynamic_registration: bool,
    /// URI schemes, in addition to https and http on loopback, that redirect URIs of self-registered clients may
    /// have, such as `cursor`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redirect_schemes: BTreeSet<String>,
    /// Preregistered clients, by client ID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<String, ClientSettings>,
}

/// An OpenID provider, and the gateway's registration there as a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginProvider {
    /// Issuer identifier, exactly as the provider writes it.
    pub issuer: String,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// Private key in PEM format, used instead of a secret (`private_key_jwt`, RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's ID at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Scopes to request from the provider. With `offline_access`, the provider is asked whether the user still
    /// has access each time a client refreshes its token.
    #[serde(default = "scopes")]
    pub scopes: BTreeSet<String>,
    /// Request the provider's UserInfo endpoint in addition to the ID token, if it has one. Many providers return
    /// groups only there.
    #[serde(default = "yes")]
    pub user_info: bool,
    #[serde(default)]
    pub claims: ProviderClaims,
    /// Tenant of all users who sign in here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Teams, roles and tenants that this provider may assign. All other names are prefixed: `<name>:<team>`.
    #[serde(default, skip_serializing_if = "TrustedFor::is_empty")]
    pub trusted_for: TrustedFor,
    /// Accept e-mail addresses as user names even if the provider does not say that they are verified. Only for
    /// providers at which users cannot choose their address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trust_email: bool,
}

/// Claims of the ID token, or of UserInfo, that identify the user. A dot selects a member of an object:
/// `realm_access.roles`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderClaims {
    pub user: String,
    pub teams: String,
    pub roles: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// A preregistered client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// Name of the client that is displayed to users.
    pub name: String,
    /// Redirect URIs, compared exactly; on loopback the port may differ (RFC 8252).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Client secret for the token endpoint; without one, it is a public client. A client with a secret can also
    /// introspect tokens (RFC 7662).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

fn own_name() -> String {
    "login".into()
}

fn access_tokens() -> Period {
    Period(Duration::from_secs(10 * 60))
}

fn sessions() -> Period {
    Period(Duration::from_secs(30 * 24 * 60 * 60))
}

fn yes() -> bool {
    true
}

fn scopes() -> BTreeSet<String> {
    ["openid", "profile", "email"].map(str::to_owned).into()
}

impl Default for ProviderClaims {
    fn default() -> Self {
        Self { user: "sub".into(), teams: "groups".into(), roles: "roles".into(), tenant: None }
    }
}

impl LoginProvider {
    /// Problems, with the key of each.
    pub(super) fn problems(&self) -> Vec<(Vec<&'static str>, String)> {
        let mut problems = Vec::new();
        if let Some(why) = issuer_problem(&self.issuer) {
            problems.push((vec!["issuer"], why.into()));
        }
        if let Some(why) = client_problem(self.client_secret.as_ref(), self.private_key.as_ref()) {
            problems.push((vec![], why));
        }
        if !self.scopes.contains("openid") {
            let why = "must contain 'openid', which identifies the user";
            problems.push((vec!["scopes"], why.into()));
        }
        if self.claims.user.is_empty() {
            problems.push((vec!["claims", "user"], "must name a claim".into()));
        }
        for (list, why) in self.trusted_for.problems() {
            problems.push((vec!["trusted_for", list], why));
        }
        problems
    }
}

impl AuthorizationServerSettings {
    /// Problems, with the key below `identity.authorization_server`.
    pub(super) fn problems(&self) -> Vec<(Vec<String>, String)> {
        let mut problems = Vec::new();
        let mut wrong = |path: &[&str], problem: &str| {
            problems.push((path.iter().map(|part| (*part).to_owned()).collect(), problem.into()));
        };
        if self.name.is_empty()
            || !self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            wrong(&["name"], "must consist of letters, digits and '-'");
        }
        for (path, why) in self.provider.problems() {
            let path: Vec<&str> = std::iter::once("provider").chain(path).collect();
            wrong(&path, &why);
        }
        let minute = Duration::from_secs(60);
        if !(minute..=60 * minute).contains(&self.access_tokens.0) {
            wrong(&["access_tokens"], "must be from a minute to an hour");
        }
        if self.sessions.0 < self.access_tokens.0 || self.sessions.0 > 365 * 24 * 60 * minute {
            wrong(&["sessions"], "must be at least as long as 'access_tokens', and at most a year");
        }
        for scheme in &self.redirect_schemes {
            if crate::redirect_uri::is_dangerous_scheme(scheme) {
                wrong(
                    &["redirect_schemes"],
                    &format!("'{}' is not allowed for clients", scheme.escape_debug()),
                );
            }
        }
        for (id, client) in &self.clients {
            let at = |key: &'static str| ["clients", id.as_str(), key];
            if id.is_empty()
                || id.contains("://")
                || !id.bytes().all(|byte| byte.is_ascii_graphic())
            {
                wrong(
                    &["clients", id],
                    "a client ID must consist of visible ASCII characters, and must not be a URL",
                );
            }
            if client.secret.as_ref().is_some_and(|secret| secret.expose().len() < 32) {
                wrong(&at("secret"), "must have at least 32 characters");
            }
            for uri in &client.redirect_uris {
                if let Err(why) = crate::redirect_uri::check_redirect_uri(uri, None) {
                    wrong(&at("redirect_uris"), &format!("'{}': {why}", uri.escape_debug()));
                }
            }
        }
        problems
    }
}
