//! How the gateway shows a server who it is. No caller ever holds any of it.

use std::collections::BTreeSet;

use jsonwebtoken::EncodingKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Period, Secret, is_trustworthy};

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

/// Users let the gateway act for them at the server: each consents once, in a browser, at the server's own
/// authorization server. Needs a store and a `store_key`. The gateway's own credential, or a grant that
/// was given to the gateway itself (`doorward credentials connect`), is for finding out what the
/// server offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delegation {
    /// What users are asked for; when empty, what the server says that it needs.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// The authorization server; found by the server's metadata when absent (RFC 9728).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What the server names may be at any port of its host, be that on this machine or network: for hosts on which
    /// nothing else trusts the gateway. Else it is at the server's own origin, or at public addresses.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same_host: bool,
    /// The gateway's client id there, and its secret, where it was registered by hand. When absent, the
    /// gateway is known by its metadata document, or registers itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// A private key in PEM form, in the place of a secret (`private_key_jwt`, RFC 7523).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The key's id, as the authorization server knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// An authorization server, and the gateway as its client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenClient {
    /// The authorization server, by whose metadata the endpoint is found.
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
}

/// A caller's token is exchanged for one that is for the server (RFC 8693), at an authorization server that
/// the operator names: the identity provider, as a rule. Callers without a token, such as those with
/// keys, are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub at: TokenClient,
    /// What the provider calls the server; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What the tokens are for (RFC 8707); the server's URL when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// The server has an authorization server of its own, which takes the provider's word for who the user
    /// is (an identity assertion, ID-JAG): what is exchanged there for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<TokenClient>,
}

/// The server is told who calls, in a token that the gateway signs and publishes its keys for. Needs a store
/// and a `store_key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Assertion {
    /// The header that carries it.
    pub header: String,
    /// What stands before it in the header; `null` for nothing.
    pub scheme: Option<String>,
    /// Whom it is for; the server's URL when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long one is good; ten minutes at most.
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

/// The certificate that the gateway shows a server, and whom it trusts there; in PEM form, written as
/// `${file:PATH}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The certificate, and those that lead from it to one that the server trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<Secret>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// Who vouches for the server; those whom the system trusts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Secret>,
}

impl TokenClient {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.issuer.is_none() && self.token_endpoint.is_none() {
            problems.push("name the 'issuer', or the 'token_endpoint'".into());
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
            problems.push("'grant' needs the 'issuer', whom the assertion is for".into());
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
            problems.push("'client_id' needs the 'issuer' that it was given by".into());
        }
        let shows = self.client_secret.is_some() || self.private_key.is_some();
        if shows && self.client_id.is_none() {
            problems.push("a secret or key needs its 'client_id'".into());
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
    /// Where tokens are fetched, and as whom.
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
                vec!["a user's name has no ':' (RFC 7617)".into()]
            }
            Self::Basic(_) => Vec::new(),
            Self::Client(client) => client.at().problems(),
        }
    }
}
