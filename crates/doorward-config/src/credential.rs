//! How the gateway authenticates to a server. Callers never receive any of it.

use std::collections::BTreeSet;

use jsonwebtoken::EncodingKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Period, Secret, is_trustworthy};

/// The gateway's credential for a server; exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialSettings {
    /// User name and password (RFC 7617).
    Basic(Basic),
    /// Access tokens that the gateway fetches with client credentials (RFC 6749 section 4.4).
    Client(Box<ClientCredentials>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub user: String,
    pub password: Secret,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// Authorization server whose metadata contains the token endpoint. It is always configured here: an MCP
    /// server cannot choose where the gateway sends its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Token endpoint, if the issuer publishes no metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<Url>,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// Private key in PEM format, used instead of a secret (`private_key_jwt`, RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's ID at the authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// Resource that tokens are requested for (RFC 8707). Default: the server's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// User-provided credentials for a server: each user, agent, team or tenant has one, encrypted in the store
/// (`doorward credentials`). The gateway's own credential is then only used to discover what the server offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Personal {
    /// Header that carries the credential.
    pub header: String,
    /// Prefix before the credential in the header; `null` for none.
    pub scheme: Option<String>,
    /// Refuse callers who have not provided a credential. Otherwise the gateway's own credential is used for
    /// them.
    pub required: bool,
}

/// Delegation: the gateway calls the server on behalf of users. Each user consents once, in a browser, at the
/// server's own authorization server. Requires a store and a `store_key`. The gateway's own credential, or its
/// own grant (`doorward credentials connect`), is only used to discover what the server offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delegation {
    /// Scopes to request from users. When empty, the scopes that the server says it needs.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// The authorization server. Default: discovered from the server's metadata (RFC 9728).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Allow authorization servers on any port of the server's host, even if that host is on this machine or on a
    /// private network. Only for hosts on which nothing else trusts the gateway. Otherwise they must be at the
    /// server's own origin or at a public address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same_host: bool,
    /// The gateway's client ID and secret there, if it was registered manually. When absent, the gateway uses its
    /// client ID metadata document or registers itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// Private key in PEM format, used instead of a secret (`private_key_jwt`, RFC 7523).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's ID at the authorization server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// An authorization server, and the gateway's registration there as a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenClient {
    /// Authorization server whose metadata contains the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Token endpoint, if the issuer publishes no metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<Url>,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// Private key in PEM format, used instead of a secret (`private_key_jwt`, RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's ID at the authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// Token exchange: a caller's token is exchanged for one that is valid at the server (RFC 8693), at a configured
/// authorization server, usually the identity provider. Callers without a token, such as those with API keys, are
/// refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub at: TokenClient,
    /// Audience to request: the provider's name for the server. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Resource that tokens are requested for (RFC 8707). Default: the server's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// The server's own authorization server, if it accepts identity assertions (ID-JAG) of the identity
    /// provider: the exchanged assertion is exchanged there for an access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<TokenClient>,
}

/// Identify the caller to the server in a token that the gateway signs; the gateway publishes its public keys.
/// Requires a store and a `store_key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Assertion {
    /// Header that carries the token.
    pub header: String,
    /// Prefix before the token in the header; `null` for none.
    pub scheme: Option<String>,
    /// Audience of the token. Default: the server's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Lifetime of a token; at most ten minutes.
    pub lifetime: Period,
}

impl Default for Assertion {
    fn default() -> Self {
        Self {
            header: "authorization".into(),
            scheme: Some("Bearer".into()),
            audience: None,
            lifetime: Period(std::time::Duration::from_secs(60)),
        }
    }
}

/// Client certificate for a server, and the certificate authorities to trust there; in PEM format, written as
/// `${file:PATH}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The certificate, followed by its intermediate certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<Secret>,
    /// The private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// Certificate authorities to trust. Default: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Secret>,
}

impl TokenClient {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.issuer.is_none() && self.token_endpoint.is_none() {
            problems.push("set 'issuer' or 'token_endpoint'".into());
        }
        let issuer = self.issuer.as_ref().map(|issuer| Url::parse(issuer));
        let issuer_wrong = issuer.is_some_and(|url| !url.is_ok_and(|url| is_trustworthy(&url)));
        if issuer_wrong || self.token_endpoint.as_ref().is_some_and(|url| !is_trustworthy(url)) {
            problems.push("expected an https:// URL (http:// on loopback only)".into());
        }
        problems.extend(client_problem(self.client_secret.as_ref(), self.private_key.as_ref()));
        problems
    }
}

impl Exchange {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.at.problems();
        problems.extend(self.grant.iter().flat_map(TokenClient::problems));
        if self.grant.as_ref().is_some_and(|grant| grant.issuer.is_none()) {
            problems.push("'grant' requires 'issuer', the audience of the assertion".into());
        }
        problems
    }
}

impl Delegation {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let issuer = self.issuer.as_ref().map(|issuer| Url::parse(issuer));
        if issuer.is_some_and(|url| !url.is_ok_and(|url| is_trustworthy(&url))) {
            problems.push("expected an https:// URL (http:// on loopback only) as 'issuer'".into());
        }
        // A client id belongs to one authorization server, and a hostile server must not choose another.
        if self.client_id.is_some() && self.issuer.is_none() {
            problems.push("'client_id' requires 'issuer', which registered it".into());
        }
        let shows = self.client_secret.is_some() || self.private_key.is_some();
        if shows && self.client_id.is_none() {
            problems.push("a secret or key requires a 'client_id'".into());
        }
        if shows {
            let (secret, key) = (self.client_secret.as_ref(), self.private_key.as_ref());
            problems.extend(client_problem(secret, key));
        }
        problems
    }
}

impl Default for Personal {
    fn default() -> Self {
        Self { header: "authorization".into(), scheme: Some("Bearer".into()), required: true }
    }
}

/// A private key in PEM format, and the algorithm it signs with.
pub fn signing_key(pem: &Secret) -> Option<(EncodingKey, jsonwebtoken::Algorithm)> {
    use jsonwebtoken::Algorithm;
    let pem = pem.expose().as_bytes();
    let rsa = EncodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256));
    let ec = || EncodingKey::from_ec_pem(pem).map(|key| (key, Algorithm::ES256));
    let ed = || EncodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
    let found = rsa.or_else(|_| ec()).or_else(|_| ed()).ok()?;
    // A public key looks like a private one until it is to sign.
    jsonwebtoken::crypto::sign(b"a trial", &found.0, found.1).ok()?;
    Some(found)
}

/// The problem with how a client authenticates: with exactly one secret or key.
pub(super) fn client_problem(secret: Option<&Secret>, key: Option<&Secret>) -> Option<String> {
    match (secret, key) {
        (Some(_), None) => None,
        (None, Some(key)) if signing_key(key).is_some() => None,
        (None, Some(_)) => {
            Some("'private_key' is not an RSA, P-256 or Ed25519 key in PEM format".into())
        }
        _ => Some("expected one of 'client_secret' and 'private_key'".into()),
    }
}

impl ClientCredentials {
    /// Where tokens are fetched, and as which client.
    pub fn at(&self) -> TokenClient {
        TokenClient {
            issuer: self.issuer.clone(),
            token_endpoint: self.token_endpoint.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            private_key: self.private_key.clone(),
            key_id: self.key_id.clone(),
        }
    }
}

impl CredentialSettings {
    pub(super) fn problems(&self) -> Vec<String> {
        match self {
            Self::Basic(basic) if basic.user.contains(':') => {
                vec!["a user name must not contain ':' (RFC 7617)".into()]
            }
            Self::Basic(_) => Vec::new(),
            Self::Client(client) => client.at().problems(),
        }
    }
}
