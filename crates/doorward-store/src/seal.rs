//! Envelope encryption of secrets: each is encrypted with its own key (AES-256-GCM), and that key with the master key,
//! which is never in the database. A new master key re-encrypts the small keys, and touches no secret.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::hex;

/// The prefix of all values that are sealed this way.
const FORM: &str = "v1";
const NONCE: usize = 12;

/// Encrypts and decrypts the keys of secrets.
pub struct MasterKey {
    key: RandomizedNonceKey,
    /// Identifies the key, so that a wrong key can be distinguished from a damaged secret. Reveals nothing about it.
    id: String,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it was encrypted with another master key ({sealed}, not {shown})")]
    OtherKey { sealed: String, shown: String },
    #[error("it was modified, or copied from another row")]
    Broken,
    #[error("the random number generator failed")]
    NoRandomness,
}

impl MasterKey {
    /// Derives the key from the operator's secret, which must have at least 32 characters.
    pub fn new(secret: &str) -> Result<Self, SealError> {
        let derive = |purpose: &str| {
            let text = Zeroizing::new(format!("doorward store {purpose}\n{secret}"));
            digest::digest(&digest::SHA256, text.as_bytes())
        };
        let key = derive("master key v1");
        let id = hex(&derive("master key id v1").as_ref()[..4]);
        let key = RandomizedNonceKey::new(&AES_256_GCM, key.as_ref());
        Ok(Self { key: key.map_err(|_| SealError::NoRandomness)?, id })
    }

    /// Encrypts a secret, bound to a place: it cannot be decrypted for any other.
    pub fn seal(&self, secret: &str, place: &str) -> Result<String, SealError> {
        let mut own = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *own).map_err(|_| SealError::NoRandomness)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*own).map_err(|_| SealError::Broken)?;
        let wrapped = close(&self.key, &*own, &format!("key {place}"))?;
        let sealed = close(&key, secret.as_bytes(), place)?;
        Ok(format!("{FORM}.{}.{wrapped}.{sealed}", self.id))
    }

    pub fn open(&self, sealed: &str, place: &str) -> Result<Zeroizing<String>, SealError> {
        let (own, secret) = self.unwrap(sealed, place)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &own).map_err(|_| SealError::Broken)?;
        let secret = disclose(&key, secret, place)?;
        String::from_utf8(secret.to_vec()).map(Zeroizing::new).map_err(|_| SealError::Broken)
    }

    /// Re-encrypts the secret's key for the same place under another master key.
    pub fn hand_over(&self, to: &Self, sealed: &str, place: &str) -> Result<String, SealError> {
        let (own, secret) = self.unwrap(sealed, place)?;
        let wrapped = close(&to.key, &own, &format!("key {place}"))?;
        Ok(format!("{FORM}.{}.{wrapped}.{secret}", to.id))
    }

    /// The secret's data key, and the secret encrypted with it.
    fn unwrap<'a>(
        &self,
        sealed: &'a str,
        place: &str,
    ) -> Result<(Zeroizing<Vec<u8>>, &'a str), SealError> {
        let mut parts = sealed.split('.');
        let mut part = || parts.next().ok_or(SealError::Broken);
        let (form, id, wrapped, secret) = (part()?, part()?, part()?, part()?);
        if form != FORM {
            return Err(SealError::Broken);
        }
        if id != self.id {
            let (sealed, shown) = (id.to_owned(), self.id.clone());
            return Err(SealError::OtherKey { sealed, shown });
        }
        Ok((disclose(&self.key, wrapped, &format!("key {place}"))?, secret))
    }
}

fn close(key: &RandomizedNonceKey, plain: &[u8], place: &str) -> Result<String, SealError> {
    let mut bytes = plain.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut bytes);
    let mut out = nonce.map_err(|_| SealError::NoRandomness)?.as_ref().to_vec();
    out.extend_from_slice(&bytes);
    Ok(URL_SAFE_NO_PAD.encode(out))
}

fn disclose(
    key: &RandomizedNonceKey,
    sealed: &str,
    place: &str,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealError::Broken)?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE).ok_or(SealError::Broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(place.as_bytes()), &mut sealed)
        .map_err(|_| SealError::Broken)?
        .len();
    sealed.truncate(length);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: &str) -> MasterKey {
        MasterKey::new(&letter.repeat(32)).unwrap()
    }

    #[test]
    fn a_secret_opens_in_its_place_with_its_key_and_nowhere_else() {
        let sealed = key("a").seal("hunter2", "tickets user alice").unwrap();
        assert!(!sealed.contains("hunter2"));
        assert_eq!(&**key("a").open(&sealed, "tickets user alice").unwrap(), "hunter2");
        assert_eq!(key("a").open(&sealed, "tickets user bob").unwrap_err(), SealError::Broken);
        assert!(matches!(
            key("b").open(&sealed, "tickets user alice"),
            Err(SealError::OtherKey { .. })
        ));
        for at in (0..sealed.len()).filter(|at| *at > 12) {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == sealed || key("a").open(&changed, "tickets user alice").is_err());
        }
        assert_ne!(sealed, key("a").seal("hunter2", "tickets user alice").unwrap());
    }

    #[test]
    fn another_master_key_takes_over_without_touching_the_secret() {
        let sealed = key("a").seal("hunter2", "p").unwrap();
        let handed = key("a").hand_over(&key("b"), &sealed, "p").unwrap();
        assert_eq!(&**key("b").open(&handed, "p").unwrap(), "hunter2");
        assert!(key("a").open(&handed, "p").is_err());
        assert_eq!(sealed.rsplit_once('.').unwrap().1, handed.rsplit_once('.').unwrap().1);
        assert!(key("b").hand_over(&key("a"), &sealed, "p").is_err());
    }
}
