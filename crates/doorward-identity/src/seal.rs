//! Encrypts state that is stored at clients: `requestState` and task ids.
//!
//! A client can neither read nor change an encrypted text (AES-256-GCM). Decryption checks that it was created
//! for this principal and this purpose, and has not expired.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_mcp::Object;
use doorward_mcp::json::canonical_exact;
use doorward_store::hex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use doorward_config::Secret;

/// Encrypts and decrypts with one key.
pub struct Sealer {
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// The text was not created here, was changed, belongs to another principal, or has expired. The error does not
/// distinguish these cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid here, or expired")]
pub struct NotValid;

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    /// Seconds since 1970; without it, the text does not expire.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(rename = "t")]
    content: T,
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// A random id: 128 bits, in hexadecimal.
pub fn random_id() -> Result<String, getrandom::Error> {
    doorward_store::random_id::<16>()
}

/// A random secret: 256 bits, in base64url.
pub fn random_secret() -> Result<String, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

impl Sealer {
    /// Uses the operator's key, or a random one for the lifetime of the process.
    pub fn new(key: Option<&Secret>) -> Result<Self, getrandom::Error> {
        let bytes = match key {
            Some(secret) => sha256(format!("doorward seal v1\n{}", secret.expose()).as_bytes()),
            None => {
                let mut random = [0; 32];
                getrandom::fill(&mut random)?;
                random
            }
        };
        // The only failure is a key of the wrong length.
        #[allow(clippy::expect_used)]
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).expect("32 bytes are a key");
        Ok(Self { key })
    }

    /// Encrypts `content` for a principal and a purpose.
    pub fn seal<T: Serialize>(
        &self,
        content: &T,
        principal: &str,
        purpose: &str,
        lifetime: Option<Duration>,
    ) -> String {
        let expires = lifetime.map(|lifetime| now() + lifetime.as_secs());
        let mut bytes = serde_json::to_vec(&Sealed { expires, content }).unwrap_or_default();
        let nonce = self.key.seal_in_place_append_tag(associated(principal, purpose), &mut bytes);
        match nonce {
            Ok(nonce) => {
                let mut out = nonce.as_ref().to_vec();
                out.extend_from_slice(&bytes);
                URL_SAFE_NO_PAD.encode(out)
            }
            // Encryption fails only without randomness. An empty text cannot be decrypted.
            Err(_) => String::new(),
        }
    }

    pub fn open<T: DeserializeOwned>(
        &self,
        text: &str,
        principal: &str,
        purpose: &str,
    ) -> Result<T, NotValid> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotValid)?;
        let (nonce, sealed) = bytes.split_at_checked(12).ok_or(NotValid)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotValid)?;
        let mut sealed = sealed.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, associated(principal, purpose), &mut sealed)
            .map_err(|_| NotValid)?;
        let sealed: Sealed<T> = serde_json::from_slice(plain).map_err(|_| NotValid)?;
        if sealed.expires.is_some_and(|expires| expires < now()) {
            return Err(NotValid);
        }
        Ok(sealed.content)
    }
}

fn associated(principal: &str, purpose: &str) -> Aad<Vec<u8>> {
    // The lengths make the encoding unambiguous.
    Aad::from(format!("{}:{principal}{}:{purpose}", principal.len(), purpose.len()).into_bytes())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The canonical form of a request's parameters, to which sealed texts are bound: the same for equal values,
/// however they are written, with numbers compared exactly. Without `_meta`, which may differ between rounds.
pub fn meaning(params: &Object) -> Vec<u8> {
    let mut params = params.clone();
    params.remove("_meta");
    let text = params.to_bytes();
    canonical_exact(&text).unwrap_or_else(|_| text.to_vec())
}

/// SHA-256 in hexadecimal over length-prefixed parts.
pub fn fingerprint(parts: &[&[u8]]) -> String {
    hex(&digest_of(parts))
}

/// The same as bytes.
pub fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    #[test]
    fn only_its_principal_and_purpose_can_open_a_text() {
        let sealer = Sealer::new(None).unwrap();
        let text = sealer.seal(&"state", "alice", "call-x", HOUR);
        assert_eq!(sealer.open::<String>(&text, "alice", "call-x").unwrap(), "state");
        assert_eq!(sealer.open::<String>(&text, "mallory", "call-x"), Err(NotValid));
        assert_eq!(sealer.open::<String>(&text, "alice", "call-y"), Err(NotValid));
        let other = Sealer::new(None).unwrap();
        assert_eq!(other.open::<String>(&text, "alice", "call-x"), Err(NotValid));
    }

    #[test]
    fn a_changed_or_expired_text_does_not_open() {
        let sealer = Sealer::new(None).unwrap();
        let text = sealer.seal(&1u8, "a", "p", HOUR);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if changed != text {
                // The last character may contain only unused bits, which base64 rejects.
                assert_eq!(sealer.open::<u8>(&changed, "a", "p"), Err(NotValid));
            }
        }
        for rubbish in ["", "AAAA", "===", "é"] {
            assert_eq!(sealer.open::<u8>(rubbish, "a", "p"), Err(NotValid));
        }
        let sealed = Sealed { expires: Some(now() - 1), content: 1u8 };
        assert!(serde_json::to_string(&sealed).unwrap().contains("\"e\""));
    }

    #[test]
    fn requests_that_differ_in_any_digit_are_distinct() {
        let of = |text: &str| meaning(&Object::parse(&text.to_owned().into()).unwrap());
        let one = of(r#"{"amount":10000000000000000000001,"to":"a","_meta":{"x":1}}"#);
        assert_eq!(one, of(r#"{ "to": "\u0061", "amount": 10000000000000000000001 }"#));
        for other in ["10000000000000000000002", "1e22", "10000000000000000000001.5"] {
            assert_ne!(one, of(&format!(r#"{{"amount":{other},"to":"a"}}"#)), "{other}");
        }
    }

    #[test]
    fn the_same_key_opens_after_a_restart() {
        let key = Secret("k".repeat(32));
        let text = Sealer::new(Some(&key)).unwrap().seal(&7u8, "a", "p", HOUR);
        assert_eq!(Sealer::new(Some(&key)).unwrap().open::<u8>(&text, "a", "p"), Ok(7));
    }
}
