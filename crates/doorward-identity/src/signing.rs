//! The keys with which the gateway signs tokens and assertions: ES256, created by the gateway, stored encrypted,
//! published, and rotated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_store::{Error, MasterKey, SigningKey, Store, now};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use crate::identity::issuer::{KeySet, read_keys};
use crate::seal;
use doorward_config::{Secret, Settings};

/// How long a key signs, and how long it remains published afterwards, in seconds: longer than the lifetime of
/// any token.
const SIGNS: i64 = 30 * 24 * 60 * 60;
const REMAINS_PUBLISHED: i64 = 24 * 60 * 60;
/// How long a new key is published before it signs, in seconds: longer than published keys are cached.
const LEAD: i64 = 10 * 60;

/// The gateway's signing keys, if the configuration needs any.
#[derive(Debug, Default)]
pub struct Signing {
    master: Option<MasterKey>,
    wanted: AtomicBool,
    signers: ArcSwapOption<Signers>,
}

/// The current keys.
pub struct Signers {
    all: Vec<Signer>,
    /// The published key set (RFC 7517).
    pub published: Value,
    pub set: Arc<KeySet>,
}

impl Signing {
    pub fn new(key: Option<&Secret>) -> Self {
        let master = key.and_then(|key| MasterKey::new(key.expose()).ok());
        Self { master, ..Self::default() }
    }

    /// Applies new settings: whether keys are needed.
    pub fn take(&self, settings: &Settings) {
        let wanted = settings.identity.authorization_server.is_some()
            || settings.servers.values().any(|server| server.assertion.is_some());
        self.wanted.store(wanted, Ordering::Release);
    }

    /// The keys, if there are any.
    pub fn keys(&self) -> Option<Arc<Signers>> {
        self.signers.load_full()
    }

    /// Whether keys are needed and not available yet.
    pub fn lacks_keys(&self) -> bool {
        self.wanted.load(Ordering::Acquire) && self.signers.load().is_none()
    }

    /// Reads the keys from the store, and creates a new one if it is time.
    pub async fn take_keys(&self, store: &Store) -> Result<(), Error> {
        let Some(master) = self.master.as_ref().filter(|_| self.wanted.load(Ordering::Acquire))
        else {
            return Ok(());
        };
        let mut stored = store.signing_keys().await?;
        match rotate(store, master, &stored).await {
            Ok(true) => stored = store.signing_keys().await?,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "a new signing key cannot be stored"),
        }
        match Signers::open(&stored, master) {
            Ok(signers) if signers.all.is_empty() => tracing::error!("there is no signing key"),
            Ok(signers) => {
                let same = |old: &Arc<Signers>| old.published == signers.published;
                if !self.signers.load().as_ref().is_some_and(same) {
                    self.signers.store(Some(Arc::new(signers)));
                }
            }
            Err(why) => tracing::error!("a signing key cannot be used: {why}"),
        }
        Ok(())
    }
}

struct Signer {
    id: String,
    created: i64,
    key: EncodingKey,
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signers").field("published", &self.published).finish_non_exhaustive()
    }
}

impl Signers {
    /// Decrypts the stored keys, the newest first. The error names the key that cannot be decrypted.
    fn open(stored: &[SigningKey], master: &MasterKey) -> Result<Self, String> {
        let (mut all, mut published) = (Vec::new(), Vec::new());
        for one in stored {
            let text = one.open(master).map_err(|error| format!("{}: {error}", one.id))?;
            let broken = || format!("{}: it is not a key", one.id);
            let der = zeroize::Zeroizing::new(
                URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| broken())?,
            );
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
            let pair = pair.map_err(|_| broken())?;
            // Uncompressed: 4, and the two coordinates.
            let public = pair.public_key().as_ref();
            let (x, y) =
                public.get(1..).unwrap_or_default().split_at_checked(32).ok_or_else(broken)?;
            published.push(json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": one.id,
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            }));
            let key = EncodingKey::from_ec_der(&der);
            all.push(Signer { id: one.id.clone(), created: one.created, key });
        }
        let published = json!({ "keys": published });
        let keys = published.as_object().map(read_keys).and_then(Result::ok).unwrap_or_default();
        Ok(Self { all, published, set: Arc::new(KeySet::new(keys)) })
    }

    /// Signs claims as a token of a type, such as `at+jwt` (RFC 9068).
    pub fn sign(&self, kind: &str, claims: &Map<String, Value>) -> Option<String> {
        let known = now() - LEAD;
        let signer =
            self.all.iter().find(|one| one.created <= known).or_else(|| self.all.last())?;
        let header = Header {
            typ: Some(kind.into()),
            kid: Some(signer.id.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &signer.key).ok()
    }
}

/// Creates a key if there is none or the newest has signed for long enough, and removes keys whose last token has
/// expired. `stored` are the stored keys, the newest first. Returns whether anything has changed.
async fn rotate(store: &Store, master: &MasterKey, stored: &[SigningKey]) -> Result<bool, Error> {
    let now = now();
    let mut changed = false;
    if stored.first().is_none_or(|newest| newest.created <= now - SIGNS) {
        let broken = || Error::Refused("a key cannot be created".into());
        let created_key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let created_key = created_key.map_err(|_| broken())?;
        let private = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.encode(created_key.as_ref()));
        let id = seal::random_id()?;
        // If it is not stored, another process has created one at the same time.
        store.put_signing_key(master, &id, &private, now - SIGNS).await?;
        changed = true;
    }
    // A key is needed until its successor has been signing for a while.
    for pair in stored.windows(2) {
        if let [newer, older] = pair
            && newer.created <= now - REMAINS_PUBLISHED
        {
            store.remove_signing_key(&older.id).await?;
            changed = true;
        }
    }
    Ok(changed)
}
