//! An issuer of tokens: its metadata and its keys, fetched when they are first needed, fetched again
//! when a token names a key that is not known, and kept while the issuer cannot be reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde_json::{Map, Value};
use url::Url;

use super::Unavailable;
use crate::outbound::{self, Author};
use crate::settings::{Algorithm, IssuerSettings};

/// Between two fetches, however many unknown keys are named.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// When keys are fetched again though nothing is missing: one that was taken out must not stay good.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long keys are good while the issuer cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys of one issuer.
const MOST_KEYS: usize = 64;

#[derive(Debug)]
pub struct Issuer {
    pub name: String,
    pub settings: IssuerSettings,
    keys: ArcSwapOption<KeySet>,
    /// Held while they are fetched: the last attempt, and whether it failed.
    attempt: tokio::sync::Mutex<Option<(Instant, bool)>>,
    introspection: ArcSwapOption<Url>,
}

/// The keys as they were published together.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<IssuerKey>,
    fetched: Instant,
}

pub struct IssuerKey {
    id: Option<String>,
    key: DecodingKey,
    /// What may be signed with it: its type decides, and `alg` where it says.
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
    /// The keys that a token may mean: the one it names, or all that could be.
    pub fn meant(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&IssuerKey> {
        let named = |key: &&IssuerKey| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => true,
        };
        let mut meant: Vec<_> =
            self.keys.iter().filter(named).filter(|key| key.signs(algorithm)).collect();
        // A token without an id is tried with a few keys, not with as many as somebody publishes.
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
        })
    }

    /// The keys that were fetched last.
    pub fn known_keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// The keys, among which is the one a token means if the issuer publishes it.
    pub async fn keys(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, Unavailable> {
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
            // Whether the issuer knows a key that we do not cannot be told now.
            Some(set) if set.knows(id, algorithm) || !failed => Ok(set),
            _ => Err(Unavailable),
        }
    }

    /// Fetches the keys unless somebody did just now. Returns whether the last attempt failed.
    async fn refresh(&self, known: Instant) -> bool {
        let mut attempt = self.attempt.lock().await;
        if let Some((at, failed)) = *attempt
            && at.elapsed() < COOL_DOWN
        {
            return failed;
        }
        // Somebody else fetched them while this one waited.
        if self.keys.load().as_ref().is_some_and(|set| set.fetched > known) {
            return false;
        }
        let first = self.keys.load().is_none();
        let fetched = self.fetch().await;
        let failed = fetched.is_err();
        match fetched {
            Ok(keys) => self.keys.store(Some(Arc::new(KeySet { keys, fetched: Instant::now() }))),
            Err(why) => {
                tracing::warn!(issuer = self.name, "the issuer's keys cannot be fetched: {why}");
            }
        }
        // The first keys may be followed by others at once; from then on there is a pause.
        if failed || !first {
            *attempt = Some((Instant::now(), failed));
        }
        failed
    }

    async fn fetch(&self) -> Result<Vec<IssuerKey>, String> {
        let from = match &self.settings.jwks_uri {
            Some(url) => url.clone(),
            None => self.metadata().await?,
        };
        let author = self.author(&from, self.settings.jwks_uri.is_some());
        let answer = outbound::get(&from, author).await;
        let object = answer.and_then(|answer| answer.object());
        let object = object.map_err(|error| format!("{from}: {error}"))?;
        let all = object.get("keys").and_then(Value::as_array);
        let all = all.ok_or_else(|| format!("{from}: there is no list 'keys'"))?;
        let keys: Vec<_> = all.iter().take(MOST_KEYS).filter_map(read_key).collect();
        if keys.is_empty() {
            return Err(format!("{from}: there is no key that can be used"));
        }
        Ok(keys)
    }

    /// Reads the issuer's metadata, and says where its keys are.
    async fn metadata(&self) -> Result<Url, String> {
        let metadata = Metadata::fetch(&self.settings.issuer).await?;
        if let Ok(endpoint) = metadata.url("introspection_endpoint") {
            self.introspection.store(Some(Arc::new(endpoint)));
        }
        metadata.url("jwks_uri")
    }

    /// Where tokens are asked about.
    pub async fn introspection_endpoint(&self) -> Result<(Url, Author), Unavailable> {
        let settings = self.settings.introspection.as_ref().ok_or(Unavailable)?;
        if let Some(url) = &settings.endpoint {
            return Ok((url.clone(), Author::Operator));
        }
        if self.introspection.load().is_none() {
            // Within the cool-down of the keys, which are read with it.
            self.refresh(Instant::now()).await;
        }
        let url = self.introspection.load_full().ok_or(Unavailable)?;
        let author = self.author(&url, false);
        Ok(((*url).clone(), author))
    }

    /// An issuer's document may name its own host, wherever that is, and public ones.
    fn author(&self, url: &Url, written: bool) -> Author {
        let own = Url::parse(&self.settings.issuer).is_ok_and(|own| own.host() == url.host());
        if written || own { Author::Operator } else { Author::Stranger }
    }
}

/// What an issuer publishes about itself (OpenID Connect Discovery 1.0; RFC 8414).
pub struct Metadata {
    from: Url,
    members: Map<String, Value>,
}

impl Metadata {
    /// Fetches the metadata of an issuer that the operator named. The error says where and why.
    pub async fn fetch(issuer: &str) -> Result<Self, String> {
        let mut last = format!("'{}' is no URL", issuer.escape_debug());
        for from in metadata_urls(issuer) {
            // All of them are on one host: if that cannot be reached, the others cannot either.
            let answer = outbound::get(&from, Author::Operator).await;
            let answer = answer.map_err(|error| format!("{from}: {error}"))?;
            let members = match answer.object() {
                Ok(members) => members,
                Err(error) => {
                    last = format!("{from}: {error}");
                    continue;
                }
            };
            let said = members.get("issuer").and_then(Value::as_str).unwrap_or_default();
            if said != issuer {
                return Err(format!("{from}: it is the metadata of '{}'", said.escape_debug()));
            }
            return Ok(Self { from, members });
        }
        Err(last)
    }

    pub fn url(&self, member: &str) -> Result<Url, String> {
        let text = self.members.get(member).and_then(Value::as_str);
        let url = text.and_then(|text| Url::parse(text).ok());
        url.ok_or_else(|| format!("{}: there is no '{member}'", self.from))
    }
}

/// Where metadata is looked for (spec 2026-07-28 basic/authorization, discovery).
fn metadata_urls(issuer: &str) -> Vec<Url> {
    let Ok(base) = Url::parse(issuer) else { return Vec::new() };
    let path = base.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = base.clone();
        url.set_path(&path);
        url
    };
    let mut all = vec![at(format!("{path}/.well-known/openid-configuration"))];
    if !path.is_empty() {
        all.push(at(format!("/.well-known/openid-configuration{path}")));
    }
    all.push(at(format!("/.well-known/oauth-authorization-server{path}")));
    all
}

/// A published key, if it is one that tokens may be signed with.
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
    fn metadata_is_looked_for_where_the_specifications_say() {
        let urls = |issuer| metadata_urls(issuer).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(
            urls("https://id.example"),
            [
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server"
            ]
        );
        assert_eq!(
            urls("https://id.example/realms/a/"),
            [
                "https://id.example/realms/a/.well-known/openid-configuration",
                "https://id.example/.well-known/openid-configuration/realms/a",
                "https://id.example/.well-known/oauth-authorization-server/realms/a"
            ]
        );
    }

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
