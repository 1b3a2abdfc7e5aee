//! Hashes and tokens in the place of values.
//!
//! A token contains its value, encrypted (AES-256-GCM) for a tenant and a class, with the time until which it can be turned
//! back; nothing is stored. The nonce is a keyed hash of the rest, so equal values of a tenant have equal tokens while their
//! times are equal, and a nonce is used for one text only.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_config::Secret;
use doorward_inspect::json::{Edits, Path, Visitor, unescape, walk};
use doorward_inspect::redact::{Pseudonyms, Replacement};

use super::found::Found;

/// Longest value that becomes a token; longer ones are masked. Tokens stay below what is recognized as one.
const LONGEST: usize = 2048;
const NONCE: usize = 12;
const EXPIRES: usize = 4;

/// The keys of one gateway, derived from its secret.
pub struct Keys {
    hash: hmac::Key,
    nonce: hmac::Key,
    seal: LessSafeKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Keys of a secret, or random ones for the lifetime of the process. Fails when the system has no randomness.
    pub fn new(secret: Option<&Secret>) -> Result<Self, getrandom::Error> {
        let mut root = [0; 32];
        match secret {
            Some(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                root.copy_from_slice(hmac::sign(&key, b"doorward inspection v1").as_ref());
            }
            None => getrandom::fill(&mut root)?,
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, &root);
        let derive = |purpose: &[u8]| hmac::sign(&root, purpose);
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, derive(purpose).as_ref());
        // The only failure is a key of the wrong length.
        #[allow(clippy::expect_used)]
        let seal =
            UnboundKey::new(&AES_256_GCM, derive(b"seal").as_ref()).expect("32 bytes are a key");
        Ok(Self { hash: key(b"hash"), nonce: key(b"nonce"), seal: LessSafeKey::new(seal) })
    }
}

/// Hashes and tokens of one tenant, at one time.
pub(super) struct OfTenant<'a> {
    keys: &'a Keys,
    tenant: &'a str,
    /// In minutes since 1970.
    now: u64,
    /// In minutes, one at least.
    ttl: u64,
}

impl<'a> OfTenant<'a> {
    pub fn new(keys: &'a Keys, tenant: &'a str, ttl: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        Self { keys, tenant, now, ttl: ttl.as_secs().div_ceil(60).max(1) }
    }

    fn associated(&self, class: &str, expires: u32) -> Vec<u8> {
        // The length makes the encoding unambiguous.
        let mut bytes = format!("{}:{}{class}:", self.tenant.len(), self.tenant).into_bytes();
        bytes.extend_from_slice(&expires.to_be_bytes());
        bytes
    }

    /// Until when a token that is made now can be turned back: between one and one and a quarter times to live.
    fn expires(&self) -> Option<u32> {
        let step = (self.ttl / 4).max(1);
        u32::try_from((self.now + self.ttl).next_multiple_of(step)).ok()
    }

    /// The value of a token and the minute until which it can be turned back.
    fn open(&self, class: &str, token: &str) -> Option<(String, u32)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (expires, bytes) = bytes.split_first_chunk::<EXPIRES>()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let expires = u32::from_be_bytes(*expires);
        let mut sealed = sealed.to_vec();
        let associated = Aad::from(self.associated(class, expires));
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.keys.seal.open_in_place(nonce, associated, &mut sealed).ok()?;
        Some((String::from_utf8(plain.to_vec()).ok()?, expires))
    }

    /// Replaces tokens of this tenant in a JSON text by their values; `None` if there are none. A token that has expired or
    /// belongs to another tenant is left as it is.
    pub fn turn_back(&self, text: &str, found: &mut Found) -> Option<TurnedBack> {
        let (edits, values) = Default::default();
        let mut turning = Turning { of: self, text, edits, values, found };
        walk(text, &mut turning).ok()?;
        let Turning { edits, values, .. } = turning;
        (!edits.is_empty()).then(|| TurnedBack { text: edits.apply(text), values })
    }
}

/// A JSON text with values in the place of tokens, and the values.
pub(super) struct TurnedBack {
    pub text: String,
    pub values: Vec<String>,
}

impl Pseudonyms for OfTenant<'_> {
    fn hash(&self, class: &str, value: &str) -> [u8; 8] {
        let mut context = hmac::Context::with_key(&self.keys.hash);
        context.update(&self.associated(class, 0));
        context.update(value.as_bytes());
        let mut hash = [0; 8];
        hash.copy_from_slice(&context.sign().as_ref()[..8]);
        hash
    }

    fn token(&self, class: &str, value: &str) -> Option<String> {
        let expires = self.expires().filter(|_| value.len() <= LONGEST)?;
        let associated = self.associated(class, expires);
        let mut context = hmac::Context::with_key(&self.keys.nonce);
        context.update(&(associated.len() as u64).to_be_bytes());
        context.update(&associated);
        context.update(value.as_bytes());
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&context.sign().as_ref()[..NONCE]);
        let mut sealed = value.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.keys.seal.seal_in_place_append_tag(unique, Aad::from(associated), &mut sealed).ok()?;
        let mut bytes = expires.to_be_bytes().to_vec();
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn is_token(&self, class: &str, token: &str) -> bool {
        // One that has expired stays what it is.
        self.open(class, token).is_some()
    }
}

struct Turning<'a, 'k> {
    of: &'a OfTenant<'k>,
    text: &'a str,
    edits: Edits,
    values: Vec<String>,
    found: &'a mut Found,
}

impl Visitor for Turning<'_, '_> {
    fn string(&mut self, _: &Path<'_>, range: Range<usize>, is_name: bool) {
        if is_name || memchr::memchr(b':', self.text[range.clone()].as_bytes()).is_none() {
            return;
        }
        let value = unescape(self.text, range.clone()).text;
        let mut out = String::new();
        let mut done = 0;
        for (place, class, token) in Replacement::find(&value) {
            let opened = (place.start >= done).then(|| self.of.open(&class, token)).flatten();
            let Some((plain, _)) = opened.filter(|(_, expires)| u64::from(*expires) >= self.of.now)
            else {
                continue;
            };
            out.push_str(&value[done..place.start]);
            out.push_str(&plain);
            done = place.end;
            self.found.note_turned_back(&class);
            self.values.push(plain);
        }
        if done > 0 {
            out.push_str(&value[done..]);
            self.edits.string(range, &out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn turned(of: &OfTenant<'_>, text: &str) -> Option<String> {
        of.turn_back(text, &mut Found::default()).map(|turned| turned.text)
    }

    #[test]
    fn only_the_same_tenant_turns_a_token_back_and_only_in_time() {
        let keys = Keys::new(None).unwrap();
        let acme = OfTenant { now: 1_000, ..OfTenant::new(&keys, "acme", HOUR) };
        let token = acme.token("email", "dana@example.com").unwrap();
        assert_eq!(acme.token("email", "dana@example.com").as_ref(), Some(&token));
        let json = format!(r#"{{"to":"Dana <[EMAIL:{token}]>","n":1}}"#);
        assert_eq!(turned(&acme, &json).unwrap(), r#"{"to":"Dana <dana@example.com>","n":1}"#);
        let other = OfTenant { now: 1_000, ..OfTenant::new(&keys, "globex", HOUR) };
        assert_eq!(turned(&other, &json), None);
        assert!(!other.is_token("email", &token));
        // The class in the token was changed.
        assert_eq!(turned(&acme, &json.replace("EMAIL", "CARD")), None);
        let late = OfTenant { now: 1_000 + 76, ..OfTenant::new(&keys, "acme", HOUR) };
        assert_eq!(turned(&late, &json), None);
        assert!(late.is_token("email", &token));
        let in_time = OfTenant { now: 1_000 + 60, ..OfTenant::new(&keys, "acme", HOUR) };
        assert!(turned(&in_time, &json).is_some());
    }

    #[test]
    fn a_changed_token_is_text() {
        let keys = Keys::new(None).unwrap();
        let acme = OfTenant::new(&keys, "acme", HOUR);
        let token = acme.token("card", "4111 1111 1111 1111").unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == token || !acme.is_token("card", &changed));
        }
        assert_eq!(acme.token("card", &"1".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn the_same_secret_makes_the_same_hashes() {
        let secret = Secret("k".repeat(32));
        let hash = |tenant| {
            let keys = Keys::new(Some(&secret)).unwrap();
            OfTenant::new(&keys, tenant, HOUR).hash("email", "dana@example.com")
        };
        assert_eq!(hash("acme"), hash("acme"));
        assert_ne!(hash("acme"), hash("globex"));
    }
}
