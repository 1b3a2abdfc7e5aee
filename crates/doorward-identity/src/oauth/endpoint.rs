//! A configured authorization server, and the gateway as its client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use url::Url;

use super::{Client, Fetched, Metadata, TokenError};
use doorward_config::TokenClient;
use doorward_net::outbound::Author;

/// How long metadata is cached.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// A token endpoint. Its URL is discovered and cached.
#[derive(Debug)]
pub struct TokenEndpoint {
    settings: TokenClient,
    client: Client,
    found: ArcSwapOption<Found>,
}

#[derive(Debug)]
struct Found {
    at: Instant,
    url: Url,
    author: Author,
    client: Option<Client>,
}

impl TokenEndpoint {
    /// `None` if the private key is invalid, which the validation of the settings excludes.
    pub fn new(settings: &TokenClient) -> Option<Self> {
        let client = Client::new(
            &settings.client_id,
            settings.client_secret.as_ref(),
            settings.private_key.as_ref(),
            settings.key_id.as_deref(),
        )?;
        Some(Self { settings: settings.clone(), client, found: ArcSwapOption::empty() })
    }

    /// The issuer, or the token endpoint if it is not known.
    pub fn issuer(&self) -> String {
        let endpoint = || self.settings.token_endpoint.as_ref().map(Url::to_string);
        self.settings.issuer.clone().or_else(endpoint).unwrap_or_default()
    }

    pub async fn fetch(&self, fields: &[(&str, &str)]) -> Result<Fetched, TokenError> {
        let found = self.find().await.map_err(TokenError::Failed)?;
        let client = found.client.as_ref().unwrap_or(&self.client);
        client.fetch(&found.url, found.author, &self.issuer(), fields).await
    }

    /// The URL from the settings or the issuer's metadata.
    async fn find(&self) -> Result<Arc<Found>, String> {
        if let Some(found) = self.found.load_full().filter(|found| found.at.elapsed() < FRESH) {
            return Ok(found);
        }
        let at = Instant::now();
        let found = match &self.settings.token_endpoint {
            Some(url) => Found { at, url: url.clone(), author: Author::Operator, client: None },
            None => {
                let issuer = self.settings.issuer.as_deref().unwrap_or_default();
                let metadata = Metadata::fetch(issuer, Author::Operator).await?;
                let (url, author) = metadata.endpoint("token_endpoint")?;
                Found { at, url, author, client: Some(self.client.as_supported(&metadata)) }
            }
        };
        let found = Arc::new(found);
        self.found.store(Some(found.clone()));
        Ok(found)
    }
}
