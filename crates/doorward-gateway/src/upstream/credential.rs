//! What the gateway shows a server: it is made here, from the operator's settings alone. A caller's own
//! token never comes this far: what is asked of a server ([`super::Asked`]) has no place for one
//! (attack T8).

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use doorward_mcp::error::Kind;
use doorward_store::now;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use url::Url;

use crate::call::Failure;
use crate::identity::Metadata;
use crate::outbound::{self, Author};
use crate::seal;
use crate::settings::{ClientCredentials, CredentialSettings};

/// How long a token is used that does not say when it expires.
const UNSAID: Duration = Duration::from_secs(5 * 60);
/// How long an assertion of the gateway's is good (RFC 7523).
const ASSERTION: i64 = 60;

/// The gateway's credential for one server.
#[derive(Debug)]
pub enum Credential {
    /// The same every time.
    Fixed(HeaderValue),
    /// Tokens that are fetched, kept, and fetched again before they expire.
    Client(Arc<Tokens>),
}

impl Credential {
    /// `server` is what tokens are for. `None` for a value that is no header's, which the settings'
    /// check excludes.
    pub fn new(settings: &CredentialSettings, server: &Url) -> Option<Self> {
        match settings {
            CredentialSettings::Basic(basic) => {
                Some(Self::Fixed(outbound::basic(&basic.user, basic.password.expose())?))
            }
            CredentialSettings::Client(client) => {
                Some(Self::Client(Arc::new(Tokens::new(client, server))))
            }
        }
    }

    /// The header to send, and a mark by which it can be said that it was refused.
    pub async fn show(&self) -> Result<HeaderValue, Failure> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Client(tokens) => tokens.current().await,
        }
    }

    /// The server has refused what was shown. Whether there may be something better.
    pub fn refused(&self, shown: &HeaderValue) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Client(tokens) => tokens.forget(shown),
        }
    }
}

/// A token, and until when.
#[derive(Debug)]
struct Token {
    shown: HeaderValue,
    /// When another is fetched, while this one is still good.
    refresh: Instant,
    expires: Instant,
}

/// The tokens of a client of an authorization server's.
pub struct Tokens {
    settings: ClientCredentials,
    resource: String,
    key: Option<(EncodingKey, jsonwebtoken::Algorithm)>,
    token: ArcSwapOption<Token>,
    endpoint: ArcSwapOption<Url>,
    /// Held while one is fetched, for all who wait.
    fetching: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl Tokens {
    fn new(settings: &ClientCredentials, server: &Url) -> Self {
        let resource = settings.resource.clone();
        Self {
            key: settings.signing_key(),
            resource: resource.unwrap_or_else(|| server.as_str().trim_end_matches('/').to_owned()),
            settings: settings.clone(),
            token: ArcSwapOption::empty(),
            endpoint: ArcSwapOption::empty(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    async fn current(self: &Arc<Self>) -> Result<HeaderValue, Failure> {
        let now = Instant::now();
        if let Some(token) = self.token.load_full().filter(|token| now < token.expires) {
            if now >= token.refresh
                && let Ok(fetching) = self.fetching.try_lock()
            {
                drop(fetching);
                let this = self.clone();
                tokio::spawn(async move {
                    if let Err(failure) = this.fetch(now).await {
                        tracing::warn!(cause = failure.cause, "a token was not renewed: {failure}");
                    }
                });
            }
            return Ok(token.shown.clone());
        }
        self.fetch(now).await
    }

    /// Fetches a token, unless somebody has since `asked`.
    async fn fetch(&self, asked: Instant) -> Result<HeaderValue, Failure> {
        let _fetching = self.fetching.lock().await;
        if let Some(token) = self.token.load_full().filter(|token| asked < token.refresh) {
            return Ok(token.shown.clone());
        }
        let token = self.ask().await.map_err(|cause| {
            let why = "The gateway cannot get its credential for the server";
            Failure::new(Kind::Unauthorized, why).because(cause)
        })?;
        let shown = token.shown.clone();
        self.token.store(Some(Arc::new(token)));
        Ok(shown)
    }

    fn forget(&self, shown: &HeaderValue) -> bool {
        // Only the one that was refused: somebody may have fetched another meanwhile.
        if self.token.load().as_ref().is_some_and(|token| token.shown == *shown) {
            self.token.store(None);
        }
        true
    }

    async fn ask(&self) -> Result<Token, String> {
        let endpoint = self.endpoint().await?;
        let scopes: Vec<&str> = self.settings.scopes.iter().map(String::as_str).collect();
        let scopes = scopes.join(" ");
        let mut fields = vec![("grant_type", "client_credentials"), ("resource", &self.resource)];
        if !scopes.is_empty() {
            fields.push(("scope", &scopes));
        }
        let mut headers = HeaderMap::new();
        let assertion;
        if let Some(secret) = &self.settings.client_secret {
            let shown = outbound::client_basic(&self.settings.client_id, secret);
            headers.insert(AUTHORIZATION, shown.ok_or("the secret is no header's")?);
        } else {
            assertion = self.assertion(&endpoint)?;
            fields.push(("client_id", &self.settings.client_id));
            fields.push((
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ));
            fields.push(("client_assertion", &assertion));
        }
        let answer = outbound::post_form(&endpoint, Author::Operator, headers, &fields).await;
        let answer = answer.map_err(|error| format!("{endpoint}: {error}"))?;
        if !answer.status.is_success() {
            // What went wrong is told by a word (RFC 6749 section 5.2); the rest is not repeated.
            let said: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
            let word = said.get("error").and_then(Value::as_str).unwrap_or("no reason");
            let status = answer.status.as_u16();
            return Err(format!("{endpoint}: HTTP {status}, {}", word.escape_debug()));
        }
        let answer = answer.object().map_err(|error| format!("{endpoint}: {error}"))?;
        read(&answer).ok_or_else(|| format!("{endpoint}: the answer holds no bearer token"))
    }

    /// Where tokens are fetched, by the settings or the issuer's metadata.
    async fn endpoint(&self) -> Result<Url, String> {
        if let Some(url) = &self.settings.token_endpoint {
            return Ok(url.clone());
        }
        if let Some(url) = self.endpoint.load_full() {
            return Ok((*url).clone());
        }
        let issuer = self.settings.issuer.as_deref().unwrap_or_default();
        let endpoint = Metadata::fetch(issuer).await?.url("token_endpoint")?;
        self.endpoint.store(Some(Arc::new(endpoint.clone())));
        Ok(endpoint)
    }

    /// Says who the gateway is, signed with its key (RFC 7523 section 2.2).
    fn assertion(&self, endpoint: &Url) -> Result<String, String> {
        let (key, algorithm) = self.key.as_ref().ok_or("there is no key")?;
        let id = seal::random_id().map_err(|error| error.to_string())?;
        let client = &self.settings.client_id;
        // The issuer where it is known: no other party can use the assertion then.
        let audience = self.settings.issuer.as_deref().unwrap_or(endpoint.as_str());
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": id,
            "iat": now(), "exp": now() + ASSERTION,
        });
        let header = Header { kid: self.settings.key_id.clone(), ..Header::new(*algorithm) };
        jsonwebtoken::encode(&header, &claims, key).map_err(|error| error.to_string())
    }
}

fn read(answer: &Map<String, Value>) -> Option<Token> {
    let text = |member: &str| answer.get(member).and_then(Value::as_str);
    if !text("token_type")?.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut shown = HeaderValue::try_from(format!("Bearer {}", text("access_token")?)).ok()?;
    shown.set_sensitive(true);
    let lifetime = answer.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs);
    let lifetime = lifetime.unwrap_or(UNSAID).min(Duration::from_secs(24 * 60 * 60));
    let now = Instant::now();
    // In good time, so that nobody waits; and never one that expires on its way.
    let (refresh, expires) = (lifetime.mul_f64(0.75), lifetime.mul_f64(0.95));
    Some(Token { shown, refresh: now + refresh, expires: now + expires })
}
