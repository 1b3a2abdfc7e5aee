//! The gateway as an authorization server in front of an OpenID provider.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credential::client_problem;
use super::identity::issuer_problem;
use super::{Period, Secret, VouchesFor};

/// Clients log in at the gateway, and their users at the provider: for providers that know neither
/// client id metadata documents nor dynamic registration. Needs a store and a `store_key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServerSettings {
    /// A name of one's own: a user is `<name>:<subject>`, a client that acts for them
    /// `<name>:<client id>`.
    #[serde(default = "own_name")]
    pub name: String,
    /// Where users sign in.
    pub provider: LoginProvider,
    /// How long access tokens are good; an hour at most.
    #[serde(default = "access_tokens")]
    pub access_tokens: Period,
    /// How long a login lasts, as long as its client comes back with its refresh token.
    #[serde(default = "sessions")]
    pub sessions: Period,
    /// Clients may be known by the URL of a document that describes them.
    #[serde(default = "yes")]
    pub metadata_documents: bool,
    /// Hosts whose documents are fetched, and no others; these may be on private addresses, too. With a port
    /// (`apps.internal:8443`), that one alone. When empty, all that are public.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub document_hosts: Vec<String>,
    /// Clients may register themselves (RFC 7591).
    #[serde(default = "yes")]
    pub dynamic_registration: bool,
    /// Schemes, beside https and http on loopback, to which clients that bring their own redirect URIs
    /// may have users sent, such as `cursor`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redirect_schemes: BTreeSet<String>,
    /// Clients that are known beforehand, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<String, ClientSettings>,
}

/// An OpenID provider, and the gateway as its client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginProvider {
    /// Its identifier, to the letter.
    pub issuer: String,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// A private key in PEM form, in the place of a secret (`private_key_jwt`, RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's id, as the provider knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// What the provider is asked for. With `offline_access` it is asked again, each time a client
    /// comes back, whether the user is still welcome.
    #[serde(default = "scopes")]
    pub scopes: BTreeSet<String>,
    /// The provider is asked for what it says of a user apart from the ID token (UserInfo), where it
    /// has an endpoint for that: with many, groups are told there only.
    #[serde(default = "yes")]
    pub user_info: bool,
    #[serde(default)]
    pub claims: ProviderClaims,
    /// The tenant of everybody who signs in here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// For which teams, roles and tenants its word is taken. All others that it names are its own:
    /// `<name>:<team>`.
    #[serde(default, skip_serializing_if = "VouchesFor::is_empty")]
    pub vouches_for: VouchesFor,
    /// Takes e-mail addresses for users though the provider does not say that they are verified: for
    /// providers at which nobody chooses their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trust_email: bool,
}

/// What in an ID token, or in what the provider says of a user (UserInfo), says who they are. A dot goes
/// into an object: `realm_access.roles`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderClaims {
    pub user: String,
    pub teams: String,
    pub roles: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// A client that is known beforehand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// What users are told it is called.
    pub name: String,
    /// Where users may be sent back to, to the letter; on loopback the port may differ (RFC 8252).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// What it shows when it fetches tokens; without one it is a public client. With one it may also
    /// ask about tokens (RFC 7662).
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

impl AuthorizationServerSettings {
    /// What is wrong, with the key below `identity.authorization_server`.
    pub(super) fn problems(&self) -> Vec<(Vec<String>, String)> {
        let mut problems = Vec::new();
        let mut wrong = |path: &[&str], problem: &str| {
            problems.push((path.iter().map(|part| (*part).to_owned()).collect(), problem.into()));
        };
        if self.name.is_empty()
            || !self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            wrong(&["name"], "is letters, digits and '-'");
        }
        let provider = &self.provider;
        if let Some(why) = issuer_problem(&provider.issuer) {
            wrong(&["provider", "issuer"], why);
        }
        if let Some(why) =
            client_problem(provider.client_secret.as_ref(), provider.private_key.as_ref())
        {
            wrong(&["provider"], &why);
        }
        if !provider.scopes.contains("openid") {
            wrong(&["provider", "scopes"], "must hold 'openid': else nobody learns who signs in");
        }
        if provider.claims.user.is_empty() {
            wrong(&["provider", "claims", "user"], "must name a claim");
        }
        for (list, why) in provider.vouches_for.problems() {
            wrong(&["provider", "vouches_for", list], &why);
        }
        let minute = Duration::from_secs(60);
        if !(minute..=60 * minute).contains(&self.access_tokens.0) {
            wrong(&["access_tokens"], "must be from a minute to an hour");
        }
        if self.sessions.0 < self.access_tokens.0 || self.sessions.0 > 365 * 24 * 60 * minute {
            wrong(&["sessions"], "must be as long as 'access_tokens' at least, and a year at most");
        }
        for scheme in &self.redirect_schemes {
            if crate::redirect_uri::is_dangerous_scheme(scheme) {
                wrong(
                    &["redirect_schemes"],
                    &format!("'{}' is not for clients", scheme.escape_debug()),
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
                    "a client's id is made of visible ASCII characters, and no URL",
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
