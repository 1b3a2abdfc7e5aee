//! Signatures of npm registries: ECDSA over `name@version:integrity`, by keys that the registry publishes.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::Url;

use super::document::Release;
use crate::error::{Error, Result};
use crate::fetch;
use crate::lock::{Artifact, RegistryKey, Signature};

/// Keys that a registry may have.
const MAX_KEYS: usize = 100;

#[derive(Debug, Deserialize)]
struct Keys {
    keys: Vec<RegistryKey>,
}

/// The keys that a registry publishes. Empty if it publishes none: then it signs nothing.
///
/// # Errors
/// If it cannot be reached, or answers with something else.
pub async fn keys(registry: &Url) -> Result<Vec<RegistryKey>> {
    let url = fetch::below(registry, "-/npm/v1/keys")?;
    let Some(body) = fetch::document(&url, "application/json").await? else {
        return Ok(Vec::new());
    };
    let keys: Keys = serde_json::from_slice(&body)
        .map_err(|error| Error::Unreachable { url: url.to_string(), why: error.to_string() })?;
    if keys.keys.len() > MAX_KEYS {
        return Err(Error::refused(format!("{url}: more than {MAX_KEYS} keys")));
    }
    Ok(keys.keys)
}

/// The signature of a release that one of the keys has made. `None` if there is none, and no key either.
///
/// # Errors
/// If it has none although the registry signs, or none of them is valid.
pub fn of_release(
    release: &Release,
    integrity: &str,
    keys: &[RegistryKey],
    published: Option<&str>,
) -> Result<Option<Signature>> {
    if keys.is_empty() {
        return Ok(None);
    }
    let message = message(&release.name, &release.version, integrity);
    let mut why = "the registry signs its packages, and this one has no signature".to_owned();
    for signature in &release.dist.signatures {
        let Some(key) = keys.iter().find(|key| key.keyid == signature.keyid) else {
            why =
                format!("it is signed with '{}', which is no key of the registry", signature.keyid);
            continue;
        };
        if !is_valid(&message, signature, key) {
            return Err(Error::refused("the registry's signature is not valid"));
        }
        match (&key.expires, published) {
            (Some(expires), Some(published)) if is_before(published, expires) => {}
            (Some(expires), _) => {
                why = format!("the key that it is signed with expired on {expires}");
                continue;
            }
            (None, _) => {}
        }
        return Ok(Some(signature.clone()));
    }
    Err(Error::refused(why))
}

/// Whether all its signatures are by keys that have expired, so that it matters when it was published.
pub fn needs_time(release: &Release, keys: &[RegistryKey]) -> bool {
    let signatures = &release.dist.signatures;
    let of = |signature: &Signature| keys.iter().find(|key| key.keyid == signature.keyid);
    let expired = |signature: &Signature| of(signature).is_some_and(|key| key.expires.is_some());
    signatures.iter().any(expired) && signatures.iter().all(|one| of(one).is_none() || expired(one))
}

/// Checks a signature of the lock file against the keys of the lock file.
///
/// # Errors
/// If it is not valid.
pub fn check_locked(archive: &Artifact, keys: &[RegistryKey]) -> Result<()> {
    let Some(signature) = &archive.signature else { return Ok(()) };
    let message = message(&archive.name, &archive.version, &archive.digest.to_string());
    let key = keys.iter().find(|key| key.keyid == signature.keyid);
    if key.is_some_and(|key| is_valid(&message, signature, key)) {
        return Ok(());
    }
    Err(Error::refused("the registry's signature in the lock file is not valid"))
}

fn message(name: &str, version: &str, integrity: &str) -> String {
    format!("{name}@{version}:{integrity}")
}

fn is_valid(message: &str, signature: &Signature, key: &RegistryKey) -> bool {
    let (Ok(key), Ok(sig)) = (STANDARD.decode(&key.key), STANDARD.decode(&signature.sig)) else {
        return false;
    };
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message.as_bytes(), &sig).is_ok()
}

/// Times as registries write them (RFC 3339).
fn is_before(time: &str, end: &str) -> bool {
    let parsed = (time.parse::<jiff::Timestamp>(), end.parse::<jiff::Timestamp>());
    matches!(parsed, (Ok(time), Ok(end)) if time < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The public key that the npm registry signs with, as it publishes it.
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==";

    fn pair() -> (aws_lc_rs::signature::EcdsaKeyPair, RegistryKey) {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = RegistryKey {
            keyid: "SHA256:one".into(),
            key: STANDARD.encode(der.as_ref()),
            expires: None,
        };
        (pair, key)
    }

    fn release(signatures: &[Signature]) -> Release {
        let value = serde_json::json!({
            "name": "x", "version": "1.0.0",
            "dist": {"tarball": "https://r.example/x.tgz", "signatures": signatures},
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_release_is_signed_by_a_key_of_the_registry_if_it_has_any() {
        let (pair, key) = pair();
        let random = aws_lc_rs::rand::SystemRandom::new();
        let sign = |text: &str| STANDARD.encode(pair.sign(&random, text.as_bytes()).unwrap());
        let signed = |sig: String| Signature { keyid: key.keyid.clone(), sig };
        let good = signed(sign("x@1.0.0:sha512-abc"));
        let keys = [key.clone()];
        assert_eq!(of_release(&release(&[]), "sha512-abc", &[], None).unwrap(), None);
        let found =
            of_release(&release(std::slice::from_ref(&good)), "sha512-abc", &keys, None).unwrap();
        assert_eq!(found, Some(good.clone()));
        let other = Signature { keyid: "SHA256:two".into(), ..good.clone() };
        for (signatures, integrity, said) in [
            (vec![], "sha512-abc", "has no signature"),
            (vec![good.clone()], "sha512-abd", "is not valid"),
            (vec![signed(sign("x@1.0.1:sha512-abc"))], "sha512-abc", "is not valid"),
            (vec![signed("AAAA".into())], "sha512-abc", "is not valid"),
            (vec![other.clone()], "sha512-abc", "no key of the registry"),
        ] {
            let refused = of_release(&release(&signatures), integrity, &keys, None).unwrap_err();
            assert!(refused.to_string().contains(said), "{refused}");
        }
        let old = [RegistryKey { expires: Some("2025-01-29T00:00:00.000Z".into()), ..key }];
        let one = release(std::slice::from_ref(&good));
        assert!(needs_time(&one, &old));
        assert!(!needs_time(&one, &keys));
        for (published, fine) in [
            (Some("2024-01-01T00:00:00.000Z"), true),
            (Some("2025-06-01T00:00:00.000Z"), false),
            (None, false),
        ] {
            assert_eq!(of_release(&one, "sha512-abc", &old, published).is_ok(), fine);
        }
    }

    #[test]
    fn keys_as_registries_publish_them_are_understood() {
        // A wrong signature by a real key is refused for the signature, not for the key's form.
        let key = STANDARD.decode(KEY).unwrap();
        let parsed = aws_lc_rs::signature::ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
        assert!(parsed.is_ok());
    }
}
