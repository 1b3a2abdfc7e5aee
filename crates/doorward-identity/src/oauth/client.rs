//! A client of an authorization server, and the tokens that it receives (RFC 6749, RFC 7523).

use std::time::Duration;

use doorward_store::now;
use http::header::{AUTHORIZATION, HeaderMap};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use url::Url;

use super::Metadata;
use crate::seal;
use doorward_config::{Secret, signing_key};
use doorward_net::outbound::{self, Author};

/// Lifetime of the gateway's assertions, in seconds (RFC 7523).
const ASSERTION: i64 = 60;
/// Upper bound on the lifetime of a token.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How a client authenticates.
#[derive(Clone)]
pub enum Authentication {
    /// Not at all: a public client.
    Nothing,
    /// A secret in the header (`client_secret_basic`).
    Basic(Secret),
    /// A secret in the form (`client_secret_post`).
    Post(Secret),
    /// A signed assertion (`private_key_jwt`).
    Key { key: EncodingKey, algorithm: jsonwebtoken::Algorithm, id: Option<String> },
}

/// A client of an authorization server.
pub struct Client {
    pub id: String,
    pub authentication: Authentication,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The authorization server returned an error code (RFC 6749 section 5.2).
    #[error("{endpoint}: HTTP {status}, {}", word.escape_debug())]
    Said { endpoint: Url, status: u16, word: String },
    #[error("{0}")]
    Failed(String),
}

impl TokenError {
    /// Whether the presented code or token is invalid, so that a retry is of no use.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Said { word, .. } if word == "invalid_grant")
    }
}

/// The response of a token endpoint.
pub struct Fetched(Map<String, Value>);

impl Fetched {
    pub fn text(&self, member: &str) -> Option<&str> {
        self.0.get(member).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The access token, if it is a bearer token (RFC 6750).
    pub fn bearer(&self) -> Option<&str> {
        let bearer = self.text("token_type")?.eq_ignore_ascii_case("bearer");
        bearer.then(|| self.text("access_token")).flatten()
    }

    /// The lifetime of the token; `unsaid` if the response has none.
    pub fn lifetime(&self, unsaid: Duration) -> Duration {
        let said = self.0.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs);
        said.unwrap_or(unsaid).min(LONGEST)
    }
}

impl Client {
    /// A client with a secret, which is sent in the header, or a key. `None` if the key is invalid.
    pub fn new(
        id: &str,
        secret: Option<&Secret>,
        private_key: Option<&Secret>,
        key_id: Option<&str>,
    ) -> Option<Self> {
        let authentication = match (secret, private_key) {
            (Some(secret), _) => Authentication::Basic(secret.clone()),
            (None, Some(pem)) => {
                let (key, algorithm) = signing_key(pem)?;
                Authentication::Key { key, algorithm, id: key_id.map(str::to_owned) }
            }
            (None, None) => Authentication::Nothing,
        };
        Some(Self { id: id.to_owned(), authentication })
    }

    /// The same client with an authentication method that the authorization server supports (RFC 8414 section 2): the
    /// secret is sent in the header, unless only the form is supported.
    pub fn as_supported(&self, metadata: &Metadata) -> Self {
        let takes = |method| metadata.lists("token_endpoint_auth_methods_supported", method);
        let in_form = takes("client_secret_basic") == Some(false)
            && takes("client_secret_post") == Some(true);
        let authentication = match &self.authentication {
            Authentication::Basic(secret) if in_form => Authentication::Post(secret.clone()),
            authentication => authentication.clone(),
        };
        Self { id: self.id.clone(), authentication }
    }

    /// Sends a request to a token endpoint. `audience` is the audience of an assertion: the issuer if known, so that
    /// no other party can use it.
    pub async fn fetch(
        &self,
        endpoint: &Url,
        author: Author,
        audience: &str,
        fields: &[(&str, &str)],
    ) -> Result<Fetched, TokenError> {
        let failed = |why: String| TokenError::Failed(format!("{endpoint}: {why}"));
        let mut fields = fields.to_vec();
        let mut headers = HeaderMap::new();
        let assertion;
        if !matches!(self.authentication, Authentication::Basic(_)) {
            fields.push(("client_id", &self.id));
        }
        match &self.authentication {
            Authentication::Nothing => {}
            Authentication::Basic(secret) => {
                let shown = outbound::client_basic(&self.id, secret);
                let shown =
                    shown.ok_or_else(|| failed("the secret is not a valid header value".into()))?;
                headers.insert(AUTHORIZATION, shown);
            }
            Authentication::Post(secret) => fields.push(("client_secret", secret.expose())),
            Authentication::Key { key, algorithm, id } => {
                let signed = self.assertion(key, *algorithm, id.as_ref(), audience);
                assertion = signed.map_err(failed)?;
                fields.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                fields.push(("client_assertion", &assertion));
            }
        }
        let answer = outbound::post_form(endpoint, author, headers, &fields).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if !answer.status.is_success() {
            // Only the error code is reported; the rest of the response is not repeated.
            let said: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
            let word = said.get("error").and_then(Value::as_str).unwrap_or("no reason");
            let word = word.chars().take(64).collect();
            let (endpoint, status) = (endpoint.clone(), answer.status.as_u16());
            return Err(TokenError::Said { endpoint, status, word });
        }
        answer.object().map(Fetched).map_err(|error| failed(error.to_string()))
    }

    /// Creates an assertion signed with the client's key (RFC 7523 section 2.2).
    fn assertion(
        &self,
        key: &EncodingKey,
        algorithm: jsonwebtoken::Algorithm,
        key_id: Option<&String>,
        audience: &str,
    ) -> Result<String, String> {
        let id = seal::random_id().map_err(|error| error.to_string())?;
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": audience, "jti": id,
            "iat": now(), "exp": now() + ASSERTION,
        });
        let header = Header { kid: key_id.cloned(), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims, key).map_err(|error| error.to_string())
    }
}
