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

/// How long a key signs, and how long after that it is published: longer than any token lives.
const SIGNS: i64 = 30 * 24 * 60 * 60;
const LINGERS: i64 = 24 * 60 * 60;
/// A new key is published this long before it signs, so that everybody has seen it: longer than anybody may keep what
/// was published.
const LEAD: i64 = 10 * 60;

/// The gateway's signature, where the configuration needs one.
#[derive(Debug, Default)]
pub struct Signing {
    master: Option<MasterKey>,
    wanted: AtomicBool,
    signers: ArcSwapOption<Signers>,
}

/// The keys as they are now.
pub struct Signers {
    all: Vec<Signer>,
    /// What is published (RFC 7517).
    pub published: Value,
    pub set: Arc<KeySet>,
}

impl Signing {
    pub fn new(key: Option<&Secret>) -> Self {
        let master = key.and_then(|key| MasterKey::new(key.expose()).ok());
        Self { master, ..Self::default() }
    }

    /// Takes the configuration's word on whether anything is signed.
    pub fn take(&self, settings: &Settings) {
        let wanted = settings.identity.authorization_server.is_some()
            || settings.servers.values().any(|server| server.assertion.is_some());
        self.wanted.store(wanted, Ordering::Release);
    }

    /// The keys, if there are any.
    pub fn keys(&self) -> Option<Arc<Signers>> {
        self.signers.load_full()
    }

    /// Whether it waits for keys.
    pub fn lacks_keys(&self) -> bool {
        self.wanted.load(Ordering::Acquire) && self.signers.load().is_none()
    }

    /// Takes the keys of the store, and makes a new one when it is time.
    pub async fn take_keys(&self, store: &Store) -> Result<(), Error> {
        let Some(master) = self.master.as_ref().filter(|_| self.wanted.load(Ordering::Acquire))
        else {
            return Ok(());
        };
        let mut kept = store.signing_keys().await?;
        match rotate(store, master, &kept).await {
            Ok(true) => kept = store.signing_keys().await?,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "a new signing key cannot be stored"),
        }
        match Signers::open(&kept, master) {
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
    /// Opens the keys of the store, the newest first. The error says which cannot be opened.
    fn open(kept: &[SigningKey], master: &MasterKey) -> Result<Self, String> {
        let (mut all, mut published) = (Vec::new(), Vec::new());
        for one in kept {
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

/// Makes a key where there is none, or the newest has signed for long enough, and takes away those whose
/// last token is long over. `kept` are the store's keys, the newest first. Returns whether anything
/// has changed.
async fn rotate(store: &Store, master: &MasterKey, kept: &[SigningKey]) -> Result<bool, Error> {
    let now = now();
    let mut changed = false;
    if kept.first().is_none_or(|newest| newest.created <= now - SIGNS) {
        let broken = || Error::Refused("a key cannot be created".into());
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| broken())?;
        let private = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.encode(made.as_ref()));
        let id = seal::random_id()?;
        // If it was not kept, somebody else has made one at the same time.
        store.put_signing_key(master, &id, &private, now - SIGNS).await?;
        changed = true;
    }
    // A key is of use until the one after it has signed alone for a while.
    for pair in kept.windows(2) {
        if let [newer, older] = pair
            && newer.created <= now - LINGERS
        {
            store.remove_signing_key(&older.id).await?;
            changed = true;
        }
    }
    Ok(changed)
}
