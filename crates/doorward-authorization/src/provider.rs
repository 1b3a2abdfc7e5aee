//! The OpenID provider at which users sign in, and the gateway as its client (OpenID Connect Core 1.0). The provider's
//! tokens never leave the gateway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use doorward_store::now;
use http::header::{AUTHORIZATION, HeaderMap};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::{Authorization, Server};
use doorward_config::{IssuerSettings, LoginProvider};
use doorward_identity::identity::issuer::Issuer;
use doorward_identity::identity::jwt::{Jwt, audiences, seconds};
use doorward_identity::identity::token::{self, claim, texts};
use doorward_identity::oauth::{self, Client, Fetched, Metadata, TokenError};
use doorward_net::outbound::{self, Author};

/// How long metadata is cached.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Tolerance for clock skew, in seconds.
const LEEWAY: i64 = 30;
/// Maximum length of a user's name, in bytes.
const MOST_SUBJECT: usize = 256;

#[derive(Debug)]
pub struct Provider {
    settings: LoginProvider,
    client: Client,
    keys: Arc<Issuer>,
    metadata: ArcSwapOption<(Instant, Metadata)>,
}

/// The provider at which the users of the authorization server sign in.
#[derive(Debug, Clone)]
pub struct OwnProvider(Arc<Server>);

impl std::ops::Deref for OwnProvider {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        &self.0.provider
    }
}

impl Authorization {
    /// The provider at which users sign in, if there is an authorization server.
    pub fn provider(&self) -> Option<OwnProvider> {
        self.server.load_full().map(OwnProvider)
    }
}

/// The user who has signed in.
#[derive(Debug)]
pub struct Person {
    pub subject: String,
    /// The `sub` of the ID token, and the provider's session, for logouts that begin at the provider.
    pub sub: Option<String>,
    pub sid: Option<String>,
    /// Claims for the gateway's tokens: `groups`, `roles`, `tenant`.
    pub claims: Map<String, Value>,
    pub secret: Secrets,
}

/// Tokens of the provider, to be stored encrypted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Secrets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// Why a login failed; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The provider rejected the code or token.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
}

impl From<TokenError> for ProviderError {
    fn from(error: TokenError) -> Self {
        if error.is_final() {
            Self::Refused(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}

impl From<String> for ProviderError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Provider {
    /// `None` if the private key is invalid, which the validation of the settings excludes.
    pub fn new(name: &str, settings: &LoginProvider) -> Option<Self> {
        let client = Client::new(
            &settings.client_id,
            settings.client_secret.as_ref(),
            settings.private_key.as_ref(),
            settings.key_id.as_deref(),
        )?;
        let keys = Issuer::new(name, &IssuerSettings::new(&settings.issuer));
        Some(Self { settings: settings.clone(), client, keys, metadata: ArcSwapOption::empty() })
    }

    pub fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether it was built with these settings.
    pub fn has(&self, settings: &LoginProvider) -> bool {
        self.settings == *settings
    }

    pub(crate) async fn metadata(&self) -> Result<Arc<(Instant, Metadata)>, String> {
        if let Some(known) = self.metadata.load_full().filter(|known| known.0.elapsed() < FRESH) {
            return Ok(known);
        }
        let fetched = Metadata::fetch(&self.settings.issuer, Author::Operator).await?;
        let known = Arc::new((Instant::now(), fetched));
        self.metadata.store(Some(known.clone()));
        Ok(known)
    }

    /// The URL that a browser is redirected to for the login.
    pub async fn login_url(
        &self,
        redirect_uri: &str,
        state: &str,
        nonce: &str,
        challenge: &str,
    ) -> Result<Url, String> {
        let metadata = self.metadata().await?;
        let (mut url, _) = metadata.1.endpoint("authorization_endpoint")?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &oauth::joined(&self.settings.scopes))
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        if self.settings.scopes.contains("offline_access") {
            // Without it, a provider may ignore the scope (OpenID Connect Core 1.0 section 11).
            url.query_pairs_mut().append_pair("prompt", "consent");
        }
        Ok(url)
    }

    /// Whether a response comes from this provider (RFC 9207 section 2.4).
    pub async fn is_response_from(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.settings.issuer,
            None => self
                .metadata()
                .await
                .is_ok_and(|known| !known.1.says("authorization_response_iss_parameter_supported")),
        }
    }

    /// Exchanges a code for the user's tokens.
    pub async fn redeem(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
        nonce: &str,
    ) -> Result<Person, ProviderError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let fetched = self.fetch(&fields).await?;
        let id_token = fetched.text("id_token");
        let id_token = id_token.ok_or_else(|| "the response contains no ID token".to_owned())?;
        let claims = self.check(id_token, Some(nonce)).await?;
        self.person(claims, &fetched, Some(id_token.to_owned()), None).await
    }

    /// Checks with the provider whether a user is still valid, and reads their current claims. `None` if there is no
    /// refresh token.
    pub async fn renew(
        &self,
        subject: &str,
        secret: Secrets,
    ) -> Result<Option<Person>, ProviderError> {
        let Some(refresh_token) = secret.refresh_token else { return Ok(None) };
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*refresh_token)];
        let fetched = self.fetch(&fields).await?;
        let id_token = fetched.text("id_token").map(str::to_owned).or(secret.id_token);
        let id_token = id_token.ok_or_else(|| "the response contains no ID token".to_owned())?;
        let claims = match fetched.text("id_token") {
            Some(fresh) => self.check(fresh, None).await?,
            // It was verified when it was received.
            None => Jwt::read(&id_token).map_err(str::to_owned)?.claims,
        };
        let person = self.person(claims, &fetched, Some(id_token), Some(refresh_token)).await?;
        if person.subject != subject {
            return Err(ProviderError::Refused("the provider returned another user".into()));
        }
        Ok(Some(person))
    }

    async fn fetch(&self, fields: &[(&str, &str)]) -> Result<Fetched, ProviderError> {
        let metadata = self.metadata().await?;
        let (endpoint, author) = metadata.1.endpoint("token_endpoint")?;
        let client = self.client.as_supported(&metadata.1);
        Ok(client.fetch(&endpoint, author, &self.settings.issuer, fields).await?)
    }

    /// Verifies an ID token (OpenID Connect Core 1.0 section 3.1.3.7) and returns its claims.
    async fn check(&self, token: &str, nonce: Option<&str>) -> Result<Map<String, Value>, String> {
        let wrong = |why: &str| format!("the ID token: {why}");
        let jwt = self.verified(token).await.map_err(|why| wrong(&why))?;
        let now = now();
        if seconds(jwt.claims.get("exp")).is_none_or(|expires| expires <= now - LEEWAY) {
            return Err(wrong("it is expired"));
        }
        if nonce.is_some_and(|nonce| jwt.text("nonce") != Some(nonce)) {
            return Err(wrong("it belongs to another login"));
        }
        Ok(jwt.claims)
    }

    /// Verifies who signed a token, for whom, and when.
    pub(crate) async fn verified<'a>(&self, token: &'a str) -> Result<Jwt<'a>, String> {
        let jwt = Jwt::read(token).map_err(str::to_owned)?;
        let keys = self.keys.keys(jwt.key_id(), jwt.algorithm).await;
        let keys = keys.map_err(|_| "the provider's keys cannot be fetched".to_owned())?;
        if !jwt.is_signed_by(&keys) {
            return Err("it is not signed by a key of the provider".into());
        }
        if jwt.text("iss") != Some(&self.settings.issuer) {
            return Err("it is from another issuer".into());
        }
        let own = &*self.settings.client_id;
        let audiences = audiences(&jwt.claims);
        let party = jwt.claims.get("azp");
        let for_another = party.is_some_and(|party| party.as_str() != Some(own));
        if !audiences.contains(&own) || for_another || (audiences.len() > 1 && party.is_none()) {
            return Err("it is for another client".into());
        }
        if seconds(jwt.claims.get("iat")).is_none_or(|issued| issued > now() + LEEWAY) {
            return Err("it was issued in the future".into());
        }
        Ok(jwt)
    }

    /// The user of an ID token and the provider's user info.
    async fn person(
        &self,
        mut claims: Map<String, Value>,
        fetched: &Fetched,
        id_token: Option<String>,
        refresh_token: Option<String>,
    ) -> Result<Person, ProviderError> {
        let user_info = self.user_info(&claims, fetched).await?;
        // `email_verified` applies to one address only.
        let same_email =
            claims.get("email").is_none_or(|email| user_info.get("email") == Some(email));
        for (name, value) in user_info {
            if same_email || name != "email_verified" {
                claims.entry(name).or_insert(value);
            }
        }
        let said = &self.settings.claims;
        let subject = token::named(&claims, &said.user, self.settings.trust_email);
        let subject = subject.map_err(|_| {
            let why = "the provider does not say that the user's e-mail address is verified";
            ProviderError::Refused(why.into())
        })?;
        let subject = subject.unwrap_or_default();
        if subject.is_empty() || subject.len() > MOST_SUBJECT {
            return Err(ProviderError::Failed(format!(
                "there is no claim '{}' that identifies the user",
                said.user
            )));
        }
        let said_text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let (sub, sid) = (said_text("sub"), said_text("sid"));
        let mut own = Map::new();
        for (name, path) in [("groups", &said.teams), ("roles", &said.roles)] {
            let all = texts(claim(&claims, path));
            if !all.is_empty() {
                own.insert(name.into(), all.into_iter().collect());
            }
        }
        let tenant = said.tenant.as_deref().and_then(|path| claim(&claims, path)?.as_str());
        if let Some(tenant) = tenant {
            own.insert("tenant".into(), tenant.into());
        }
        Ok(Person {
            subject: subject.to_owned(),
            sub,
            sid,
            claims: own,
            secret: Secrets {
                refresh_token: fetched.text("refresh_token").map(str::to_owned).or(refresh_token),
                id_token,
            },
        })
    }

    /// The provider's user info (section 5.3), for many providers the only source of groups.
    async fn user_info(
        &self,
        claims: &Map<String, Value>,
        fetched: &Fetched,
    ) -> Result<Map<String, Value>, String> {
        let metadata = self.metadata().await?;
        if !self.settings.user_info || metadata.1.text("userinfo_endpoint").is_none() {
            return Ok(Map::new());
        }
        let (endpoint, author) = metadata.1.endpoint("userinfo_endpoint")?;
        let token = fetched.bearer().ok_or("the provider returned no access token")?;
        let bearer =
            outbound::bearer(token).ok_or("the access token is not a valid header value")?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let answer = outbound::get_with(&endpoint, author, headers).await;
        let said = answer.and_then(|answer| answer.object());
        let said = said.map_err(|error| format!("{endpoint}: {error}"))?;
        // Otherwise, the response for another user could be applied to this one.
        if said.get("sub") != claims.get("sub") {
            return Err(format!("{endpoint}: it returned another user"));
        }
        Ok(said)
    }
}
