//! The gateway's credential for a server: created here, from the operator's settings alone. A caller's own token never
//! gets this far: a request to a server (`doorward_upstream::Asked`) has no place for one (attack T8).

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use doorward_mcp::error::Kind;
use http::header::HeaderValue;
use url::Url;

use doorward_config::{ClientCredentials, CredentialSettings, ServerSettings};
use doorward_core::Failure;
use doorward_identity::delegation::{Delegations, GATEWAY};
use doorward_identity::oauth::{self, Fetched, TokenEndpoint};
use doorward_net::outbound;

/// How long a token is used that does not say when it expires.
const UNSAID: Duration = Duration::from_secs(5 * 60);

/// The gateway's credential for one server.
#[derive(Debug)]
pub enum Credential {
    /// The same every time.
    Fixed(HeaderValue),
    /// Tokens that are fetched, kept, and fetched again before they expire.
    Client(Arc<Tokens>),
    /// What somebody has given to the gateway itself, if they have.
    Delegated(Arc<Given>),
}

/// Where what was given for a server is found.
#[derive(Debug)]
pub struct Given {
    server: String,
    settings: ServerSettings,
    delegations: Arc<Delegations>,
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
                Some(Self::Client(Arc::new(Tokens::new(client, server)?)))
            }
        }
    }

    pub fn delegated(
        server: &str,
        settings: &ServerSettings,
        delegations: &Arc<Delegations>,
    ) -> Self {
        let (settings, delegations) = (settings.clone(), delegations.clone());
        Self::Delegated(Arc::new(Given { server: server.to_owned(), settings, delegations }))
    }

    /// The header to send, by which it can also be said that it was refused; none where nothing has been
    /// given yet.
    pub async fn show(&self) -> Result<Option<HeaderValue>, Failure> {
        match self {
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::Client(tokens) => tokens.current().await.map(Some),
            Self::Delegated(given) => {
                let token = given.delegations.token(&given.server, &given.settings, GATEWAY).await;
                token.map_err(|error| {
                    let why = "The gateway's grant for the server cannot be used";
                    Failure::new(Kind::Unauthorized, why).because(error)
                })
            }
        }
    }

    /// The server has refused what was shown. Whether there may be something better.
    pub fn refused(&self, shown: &HeaderValue) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Client(tokens) => tokens.forget(shown),
            Self::Delegated(given) => {
                given.delegations.refused(&given.server, GATEWAY, shown);
                true
            }
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
#[derive(Debug)]
pub struct Tokens {
    settings: ClientCredentials,
    at: TokenEndpoint,
    resource: String,
    token: ArcSwapOption<Token>,
    /// Held while one is fetched, for all who wait.
    fetching: tokio::sync::Mutex<()>,
}

impl Tokens {
    fn new(settings: &ClientCredentials, server: &Url) -> Option<Self> {
        let resource = settings.resource.clone();
        Some(Self {
            at: TokenEndpoint::new(&settings.at())?,
            resource: resource.unwrap_or_else(|| server.as_str().trim_end_matches('/').to_owned()),
            settings: settings.clone(),
            token: ArcSwapOption::empty(),
            fetching: tokio::sync::Mutex::default(),
        })
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
                        tracing::warn!(
                            cause = failure.cause,
                            "refreshing a token failed: {failure}"
                        );
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
        let scopes = oauth::joined(&self.settings.scopes);
        let mut fields = vec![("grant_type", "client_credentials"), ("resource", &self.resource)];
        if !scopes.is_empty() {
            fields.push(("scope", &scopes));
        }
        let fetched = self.at.fetch(&fields).await.map_err(|error| error.to_string())?;
        let issuer = self.at.issuer();
        Token::read(&fetched)
            .ok_or_else(|| format!("{issuer}: the response contains no bearer token"))
    }
}

impl Token {
    fn read(fetched: &Fetched) -> Option<Self> {
        let shown = outbound::bearer(fetched.bearer()?)?;
        let (now, lifetime) = (Instant::now(), fetched.lifetime(UNSAID));
        // In good time, so that nobody waits; and never one that expires on its way.
        let (refresh, expires) = (lifetime.mul_f64(0.75), lifetime.mul_f64(0.95));
        Some(Self { shown, refresh: now + refresh, expires: now + expires })
    }
}
