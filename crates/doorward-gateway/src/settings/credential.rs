//! How the gateway shows a server who it is. No caller ever holds any of it.

use std::collections::BTreeSet;

use jsonwebtoken::EncodingKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Secret, is_trustworthy};

/// The gateway's credential for a server; one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialSettings {
    /// A name and a password (RFC 7617).
    Basic(Basic),
    /// Access tokens that the gateway fetches for itself (RFC 6749 section 4.4).
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
    /// The authorization server, by whose metadata the endpoint is found. It is never the server
    /// itself that says to whom the gateway shows its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Where tokens are fetched, where the issuer publishes no metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<Url>,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// A private key in PEM form, in the place of a secret (`private_key_jwt`, RFC 7523).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's id, as the authorization server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// What the tokens are for (RFC 8707); the server's URL when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// Callers bring credentials of their own for a server: each user, agent, team or tenant one, kept
/// sealed in the store (`doorward credentials`). The gateway's own credential is then for finding out
/// what the server offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Personal {
    /// The header that carries it.
    pub header: String,
    /// What stands before it in the header; `null` for nothing.
    pub scheme: Option<String>,
    /// Callers who have given none are refused, rather than served with the gateway's own.
    pub required: bool,
}

impl Default for Personal {
    fn default() -> Self {
        Self { header: "authorization".into(), scheme: Some("Bearer".into()), required: true }
    }
}

/// A private key in PEM form, and the algorithm it signs with.
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

/// What is wrong with how a client shows who it is: by one secret, or one key.
pub(super) fn client_problem(secret: Option<&Secret>, key: Option<&Secret>) -> Option<String> {
    match (secret, key) {
        (Some(_), None) => None,
        (None, Some(key)) if signing_key(key).is_some() => None,
        (None, Some(_)) => Some("'private_key' is no RSA, P-256 or Ed25519 key in PEM form".into()),
        _ => Some("expected one of 'client_secret' and 'private_key'".into()),
    }
}

impl ClientCredentials {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.issuer.is_none() && self.token_endpoint.is_none() {
            problems.push("name the 'issuer', or the 'token_endpoint'".into());
        }
        let issuer = self.issuer.as_ref().map(|issuer| Url::parse(issuer));
        let trusted = |url: &Url| is_trustworthy(url);
        let issuer_wrong = issuer.is_some_and(|url| !url.as_ref().is_ok_and(trusted));
        if issuer_wrong || self.token_endpoint.as_ref().is_some_and(|url| !trusted(url)) {
            problems.push("expected an https:// URL (http:// on loopback only)".into());
        }
        problems.extend(client_problem(self.client_secret.as_ref(), self.private_key.as_ref()));
        problems
    }
}

impl CredentialSettings {
    pub(super) fn problems(&self) -> Vec<String> {
        match self {
            Self::Basic(basic) if basic.user.contains(':') => {
                vec!["a user's name has no ':' (RFC 7617)".into()]
            }
            Self::Basic(_) => Vec::new(),
            Self::Client(client) => client.problems(),
        }
    }
}
