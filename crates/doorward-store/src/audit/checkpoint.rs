//! Checkpoints: signed statements (Ed25519) of the current ends of the chains. A chain that was truncated or rewritten
//! contradicts one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sqlx::Row;
use zeroize::Zeroizing;

use super::act::Act;
use super::line::Chain;
use crate::seal::{MasterKey, SealError};
use crate::{Error, Result, Store, files, hex, now};

/// Precedes the signature in a checkpoint's line.
const BEFORE: &str = ",\"signature\":\"";

/// The last records of other chains: their numbers and hashes.
pub type Heads = BTreeMap<String, (i64, String)>;

/// Keys by their ids.
pub type PublicKeys = BTreeMap<String, Vec<u8>>;

/// The signing key of this gateway.
#[derive(Debug)]
pub struct AuditKey {
    pub id: String,
    pair: Ed25519KeyPair,
}

/// Where the private key is stored.
#[derive(Debug)]
pub enum KeyPlace<'a> {
    /// In the store, sealed.
    Sealed(&'a MasterKey),
    /// In a file that only its owner can read.
    File(PathBuf),
}

/// The context that a sealed key is bound to.
pub(crate) fn place(id: &str) -> String {
    format!("audit key {id:?}")
}

impl AuditKey {
    fn read(pkcs8: &[u8]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8);
        let pair =
            pair.map_err(|_| Error::Refused("the audit key is not an Ed25519 key".into()))?;
        let id = id_of(pair.public_key().as_ref());
        Ok(Self { id, pair })
    }

    /// Reads the key from an existing file. Creates and writes nothing.
    pub fn open(path: &std::path::Path) -> Result<Self> {
        let failed =
            |error: &dyn std::fmt::Display| Error::Refused(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let text = Zeroizing::new(text);
        let pkcs8 = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.trim()).unwrap_or_default());
        Self::read(&pkcs8).map_err(|error| failed(&error))
    }

    /// Signs a text, which must begin with its purpose.
    pub(super) fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()))
    }

    /// The public key, in base64url.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }

    pub fn public_bytes(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
}

/// Whether a text was signed by the holder of a key.
pub(super) fn is_signed(text: &str, signature: &str, key: &[u8]) -> bool {
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok()
}

/// The id of a public key.
pub fn id_of(public: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
    // Not in base64url: one id in 64 would begin with a hyphen.
    hex(&digest.as_ref()[..9])
}

/// Appends a signed checkpoint to a chain. `open` is the number of the first record whose call has
/// not ended.
pub fn checkpoint(
    chain: &mut Chain,
    key: &AuditKey,
    at: &str,
    open: i64,
    heads: &Heads,
    out: &mut String,
) {
    let begin = chain.begin(out);
    let heads = serde_json::to_string(heads).unwrap_or_default();
    out.push_str(&format!(
        "\"kind\":\"checkpoint\",\"class\":\"checkpoints\",\"at\":\"{at}\",\"open\":{open},\"heads\":{heads},\
         \"key\":\"{}\"",
        key.id
    ));
    let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(&out.as_bytes()[begin..]));
    out.push_str(BEFORE);
    out.push_str(&signature);
    out.push('"');
    chain.end(begin, out);
}

/// A parsed checkpoint.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    pub writer: String,
    pub seq: i64,
    pub prev: String,
    pub key: String,
    pub signature: String,
    pub heads: Heads,
}

impl Said {
    /// Parses a checkpoint; the error is for users.
    pub fn read(line: &str, keys: &PublicKeys) -> std::result::Result<Self, String> {
        let said: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let key = keys.get(&said.key).ok_or_else(|| {
            format!("it is signed with the key {}, which is not trusted", said.key)
        })?;
        let signed = line.rsplit_once(BEFORE).map(|(signed, _)| signed).unwrap_or_default();
        if is_signed(signed, &said.signature, key) {
            Ok(said)
        } else {
            Err("its signature is not valid".to_owned())
        }
    }
}

impl Store {
    /// Returns the signing key, creating it if there is none.
    pub async fn audit_key(&self, place: &KeyPlace<'_>) -> Result<AuditKey> {
        let key = match place {
            KeyPlace::File(path) => from_file(path)?,
            KeyPlace::Sealed(master) => return self.sealed_key(master).await,
        };
        self.publish_key(&key, None).await?;
        Ok(key)
    }

    async fn sealed_key(&self, master: &MasterKey) -> Result<AuditKey> {
        if let Some(key) = self.open_audit_keys(master).await?.pop() {
            return Ok(key);
        }
        let pkcs8 = made()?;
        let key = AuditKey::read(&pkcs8)?;
        let sealed = master.seal(&URL_SAFE_NO_PAD.encode(&*pkcs8), &self::place(&key.id))?;
        self.publish_key(&key, Some(sealed)).await?;
        // Another replica may have created one at the same time; all use the oldest.
        let mut all = self.open_audit_keys(master).await?;
        all.pop().ok_or_else(|| Error::Refused("the audit key was not stored".into()))
    }

    /// All sealed keys that the master key decrypts, oldest last.
    pub async fn open_audit_keys(&self, master: &MasterKey) -> Result<Vec<AuditKey>> {
        let rows = sqlx::query(
            "SELECT id, sealed FROM audit_keys WHERE sealed IS NOT NULL ORDER BY created DESC, id DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut keys = Vec::new();
        for row in &rows {
            let (id, sealed): (String, String) = (row.try_get("id")?, row.try_get("sealed")?);
            let text = match master.open(&sealed, &self::place(&id)) {
                Ok(text) => text,
                Err(SealError::OtherKey { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let pkcs8 = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.as_bytes()).unwrap_or_default());
            keys.push(AuditKey::read(&pkcs8)?);
        }
        Ok(keys)
    }

    async fn publish_key(&self, key: &AuditKey, sealed: Option<String>) -> Result<()> {
        if self.audit_public_keys().await?.contains_key(&key.id) {
            return Ok(());
        }
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO audit_keys (id, public, sealed, created) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&key.id)
        .bind(key.public())
        .bind(sealed)
        .bind(now())
        .execute(&mut *change)
        .await?;
        change.commit(&Act::new("audit_key.create", &key.id).with("public", key.public())).await
    }

    /// The public keys stored in the database. Anyone who can change records can change these, too.
    pub async fn audit_public_keys(&self) -> Result<PublicKeys> {
        let rows = sqlx::query("SELECT public FROM audit_keys").fetch_all(&self.pool).await?;
        let mut keys = PublicKeys::new();
        for row in &rows {
            let public: String = row.try_get(0)?;
            let public = URL_SAFE_NO_PAD.decode(public).unwrap_or_default();
            keys.insert(id_of(&public), public);
        }
        Ok(keys)
    }
}

/// Generates a private key (PKCS #8).
fn made() -> Result<Zeroizing<Vec<u8>>> {
    let no_randomness =
        |_| Error::Refused("a key cannot be created: the random number generator failed".into());
    let pair = Ed25519KeyPair::generate().map_err(no_randomness)?;
    let document = pair.to_pkcs8v1().map_err(no_randomness)?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// Reads the key from a file, creating it if necessary.
fn from_file(path: &std::path::Path) -> Result<AuditKey> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |error: std::io::Error| Error::Refused(format!("{}: {error}", path.display()));
    for _ in 0..2 {
        match path.try_exists() {
            Ok(true) => {
                files::keep_private(path).map_err(failed)?;
                return AuditKey::open(path);
            }
            Ok(false) => {}
            Err(error) => return Err(failed(error)),
        }
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*made()?));
        // Create the file atomically, and never overwrite another one.
        let fresh = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        let linked = std::fs::hard_link(&fresh, path);
        let _ = std::fs::remove_file(&fresh);
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    Err(Error::Refused(format!("{}: cannot be stored", path.display())))
}
