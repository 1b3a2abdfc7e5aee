//! A token issuer: its metadata and keys, fetched when they are first needed, fetched again when a token names an
//! unknown key, and cached while the issuer is unavailable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde_json::{Map, Value};
use url::Url;

use super::Unavailable;
use super::introspection::Asked;
use crate::oauth::Metadata;
use doorward_config::{Algorithm, IssuerSettings};
use doorward_net::outbound::{self, Author};

/// Minimum interval between fetches, however many unknown keys are named.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// Age from which keys are refreshed, so that a removed key does not stay valid.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// Maximum age of keys while the issuer cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum number of keys of one issuer.
const MOST_KEYS: usize = 64;

#[derive(Debug)]
pub struct Issuer {
    pub name: String,
    pub settings: IssuerSettings,
    keys: ArcSwapOption<KeySet>,
    /// Locked during a fetch: the time of the last attempt, and whether it failed.
    attempt: tokio::sync::Mutex<Option<(Instant, bool)>>,
    introspection: ArcSwapOption<(Url, Author)>,
    pub asked: Asked,
    /// The gateway itself, whose keys are set rather than fetched.
    own: bool,
}

/// A published key set.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<IssuerKey>,
    fetched: Instant,
}

pub struct IssuerKey {
    id: Option<String>,
    key: DecodingKey,
    /// The algorithms it may be used with: by its type, and `alg` if present.
    algorithms: Vec<Algorithm>,
}

impl std::fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl IssuerKey {
    pub fn key(&self) -> &DecodingKey {
        &self.key
    }

    pub fn signs(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

impl KeySet {
    pub fn new(keys: Vec<IssuerKey>) -> Self {
        Self { keys, fetched: Instant::now() }
    }

    /// The candidate keys for a token: the one it names, or all with this algorithm.
    pub fn meant(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&IssuerKey> {
        let named = |key: &&IssuerKey| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => true,
        };
        let mut meant: Vec<_> =
            self.keys.iter().filter(named).filter(|key| key.signs(algorithm)).collect();
        // A token without a key id is tried with a few keys only, however many are published.
        meant.truncate(4);
        meant
    }

    fn knows(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        !self.meant(id, algorithm).is_empty()
    }
}

impl Issuer {
    pub fn new(name: &str, settings: &IssuerSettings) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            settings: settings.clone(),
            keys: ArcSwapOption::empty(),
            attempt: tokio::sync::Mutex::default(),
            introspection: ArcSwapOption::empty(),
            asked: Asked::default(),
            own: false,
        })
    }

    /// The gateway's own authorization server. Its keys are set with [`Self::set_keys`].
    pub fn own(name: &str, settings: &IssuerSettings) -> Self {
        Self {
            name: name.into(),
            settings: settings.clone(),
            keys: ArcSwapOption::empty(),
            attempt: tokio::sync::Mutex::default(),
            introspection: ArcSwapOption::empty(),
            asked: Asked::default(),
            own: true,
        }
    }

    pub fn is_own(&self) -> bool {
        self.own
    }

    pub fn set_keys(&self, keys: Arc<KeySet>) {
        self.keys.store(Some(keys));
    }

    /// The keys as last fetched.
    pub fn known_keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// The current key set, which contains the named key if the issuer publishes it.
    pub async fn keys(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, Unavailable> {
        if self.own {
            return self.keys.load_full().ok_or(Unavailable);
        }
        if let Some(set) = self.keys.load_full() {
            let age = set.fetched.elapsed();
            if age < STALE && set.knows(id, algorithm) {
                if age > FRESH {
                    let (this, known) = (self.clone(), set.fetched);
                    tokio::spawn(async move { this.refresh(known).await });
                }
                return Ok(self.keys.load_full().unwrap_or(set));
            }
        }
        let before = self.keys.load_full().map(|set| set.fetched);
        let failed = self.refresh(before.unwrap_or_else(Instant::now)).await;
        let usable = self.keys.load_full().filter(|set| set.fetched.elapsed() < STALE);
        match usable {
            // The issuer may know a key that was not fetched.
            Some(set) if set.knows(id, algorithm) || !failed => Ok(set),
            _ => Err(Unavailable),
        }
    }

    /// Fetches the keys unless that was done just now. Returns whether the last attempt failed.
    async fn refresh(&self, known: Instant) -> bool {
        let mut attempt = self.attempt.lock().await;
        if let Some((at, failed)) = *attempt
            && at.elapsed() < COOL_DOWN
        {
            return failed;
        }
        // Another caller fetched them in the meantime.
        if self.keys.load().as_ref().is_some_and(|set| set.fetched > known) {
            return false;
        }
        let first = self.keys.load().is_none();
        let fetched = self.fetch().await;
        let failed = fetched.is_err();
        match fetched {
            Ok(keys) => self.keys.store(Some(Arc::new(KeySet::new(keys)))),
            Err(why) => {
                tracing::warn!(issuer = self.name, "the issuer's keys cannot be fetched: {why}");
            }
        }
        // A fetch may follow the first one at once; from then on there is a minimum interval.
        if failed || !first {
            *attempt = Some((Instant::now(), failed));
        }
        failed
    }

    async fn fetch(&self) -> Result<Vec<IssuerKey>, String> {
        let (from, author) = match &self.settings.jwks_uri {
            Some(url) => (url.clone(), Author::Operator),
            None => self.metadata().await?,
        };
        let answer = outbound::get(&from, author).await;
        let object = answer.and_then(|answer| answer.object());
        let object = object.map_err(|error| format!("{from}: {error}"))?;
        read_keys(&object).map_err(|why| format!("{from}: {why}"))
    }

    /// Fetches the issuer's metadata, and returns the URL of its keys.
    async fn metadata(&self) -> Result<(Url, Author), String> {
        let metadata = Metadata::fetch(&self.settings.issuer, Author::Operator).await?;
        if let Ok(endpoint) = metadata.endpoint("introspection_endpoint") {
            self.introspection.store(Some(Arc::new(endpoint)));
        }
        metadata.endpoint("jwks_uri")
    }

    /// The URL for token introspection.
    pub async fn introspection_endpoint(&self) -> Result<(Url, Author), Unavailable> {
        let settings = self.settings.introspection.as_ref().ok_or(Unavailable)?;
        if let Some(url) = &settings.endpoint {
            return Ok((url.clone(), Author::Operator));
        }
        if self.introspection.load().is_none() {
            // Within the minimum interval of the keys, which are fetched with it.
            self.refresh(Instant::now()).await;
        }
        let endpoint = self.introspection.load_full().ok_or(Unavailable)?;
        Ok((*endpoint).clone())
    }
}

/// The keys of a key set (RFC 7517 section 5) that can be used for signatures.
pub fn read_keys(set: &Map<String, Value>) -> Result<Vec<IssuerKey>, &'static str> {
    let all = set.get("keys").and_then(Value::as_array).ok_or("the list 'keys' is missing")?;
    let keys: Vec<_> = all.iter().take(MOST_KEYS).filter_map(read_key).collect();
    if keys.is_empty() { Err("there is no usable key") } else { Ok(keys) }
}

/// A key of a key set, if it can be used for signatures.
fn read_key(value: &Value) -> Option<IssuerKey> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
        return None;
    }
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let fitting: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => &[EdDSA],
        _ => return None,
    };
    let algorithms = match value.get("alg").and_then(Value::as_str) {
        None => fitting.to_vec(),
        Some(name) => fitting.iter().copied().filter(|one| format!("{one:?}") == name).collect(),
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let id = jwk.common.key_id;
    (!algorithms.is_empty()).then_some(IssuerKey { id, key, algorithms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_signs_what_its_type_allows() {
        let rsa = json!({ "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB" });
        assert!(read_key(&rsa).unwrap().signs(Algorithm::PS512));
        let mut bound = rsa.clone();
        bound["alg"] = "RS256".into();
        let bound = read_key(&bound).unwrap();
        assert!(bound.signs(Algorithm::RS256) && !bound.signs(Algorithm::PS256));
        for (member, value) in [("use", "enc"), ("alg", "HS256"), ("alg", "ES256")] {
            let mut wrong = rsa.clone();
            wrong[member] = value.into();
            assert!(read_key(&wrong).is_none(), "{member} {value}");
        }
        assert!(read_key(&json!({ "kty": "oct", "k": "c2VjcmV0" })).is_none());
    }
}
