//! What the console and the portal share of signing in: the OpenID providers, the key that encrypts logins in progress, and
//! how often keys may be tried.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use doorward_authorization::provider::{OwnProvider, Provider};
use doorward_config::GATEWAY_LOGIN;
use doorward_gateway::Gateway;
use doorward_identity::seal::Sealer;
use parking_lot::Mutex;
use url::Url;

use crate::attempts::Attempts;

#[derive(Debug)]
pub struct Logins {
    gateway: Arc<Gateway>,
    /// Built when they are first used, and again when their settings have changed.
    providers: Mutex<BTreeMap<String, Arc<Provider>>>,
    pub sealer: Sealer,
    pub attempts: Attempts,
}

/// A provider at which people can sign in.
pub enum At {
    /// That of the built-in authorization server.
    Own(OwnProvider),
    Configured(Arc<Provider>),
}

impl Deref for At {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        match self {
            Self::Own(provider) => provider,
            Self::Configured(provider) => provider,
        }
    }
}

impl Logins {
    /// Fails when the system has no randomness.
    pub fn new(gateway: &Arc<Gateway>) -> Result<Self, getrandom::Error> {
        let settings = gateway.settings();
        // With one of them, a login that was begun at one replica can end at another.
        let key = settings.state_key.as_ref().or(settings.store_key.as_ref());
        Ok(Self {
            gateway: gateway.clone(),
            providers: Mutex::default(),
            sealer: Sealer::new(key)?,
            attempts: Attempts::default(),
        })
    }

    /// A provider by its ID.
    pub fn provider(&self, id: &str) -> Option<At> {
        if id == GATEWAY_LOGIN {
            return self.gateway.authorization.provider().map(At::Own);
        }
        let settings = self.gateway.settings();
        let wanted = settings.identity.login.providers.get(id)?;
        let mut built = self.providers.lock();
        built.retain(|name, _| settings.identity.login.providers.contains_key(name));
        if let Some(provider) = built.get(id).filter(|provider| provider.has(wanted)) {
            return Some(At::Configured(provider.clone()));
        }
        let provider = Arc::new(Provider::new(id, wanted)?);
        built.insert(id.to_owned(), provider.clone());
        Some(At::Configured(provider))
    }

    /// The providers: their IDs, and the names that people know.
    pub fn offered(&self) -> Vec<(String, String)> {
        let settings = self.gateway.settings();
        let own = settings.identity.authorization_server.as_ref().map(|own| {
            let host = Url::parse(&own.provider.issuer).ok();
            let host = host.as_ref().and_then(Url::host_str).unwrap_or(&own.name).to_owned();
            (GATEWAY_LOGIN.to_owned(), host)
        });
        let others = settings.identity.login.providers.keys();
        own.into_iter().chain(others.map(|name| (name.clone(), name.clone()))).collect()
    }

    /// The IDs under which an issuer is offered.
    pub fn of_issuer(&self, issuer: &str) -> Vec<String> {
        let offered = self.offered().into_iter().map(|(id, _)| id);
        offered.filter(|id| self.provider(id).is_some_and(|it| it.issuer() == issuer)).collect()
    }
}
