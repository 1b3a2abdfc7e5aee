//! Where a package was built: Sigstore attestations, as npm (provenance) and PyPI (PEP 740) have them. An attestation is
//! valid if its signature, the certificate up to Sigstore's authority, the time and the entry of the transparency log
//! are, and if it is about this very archive. Who signed it is written to the lock file, and must stay the same.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::crypto::SubjectAltName;
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{Artifact, ArtifactDigest, Bundle, HashAlgorithm, SignatureContent};
use sigstore_verify::{VerificationPolicy, Verifier};
use url::Url;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::fetch;
use crate::lock::Provenance;

/// Attestations that are looked at for one archive.
const MAX_ATTESTATIONS: usize = 20;
const SLSA: &str = "https://slsa.dev/provenance/";

static VERIFIER: LazyLock<Result<Verifier, String>> = LazyLock::new(|| {
    let root = TrustedRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT);
    let root = root.map_err(|error| error.to_string())?;
    Verifier::new(&root).map_err(|error| error.to_string())
});

/// The name of an npm package in an attestation: its package URL.
pub fn npm_subject(name: &str, version: &str) -> String {
    format!("pkg:npm/{}@{version}", name.replace('@', "%40"))
}

#[derive(Deserialize)]
struct NpmAttestations {
    attestations: Vec<NpmAttestation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NpmAttestation {
    predicate_type: String,
    bundle: Value,
}

/// Fetches and verifies the provenance of an npm package.
///
/// # Errors
/// If there is none, though the registry says so, or it is not valid for this archive.
pub async fn of_npm(
    url: &Url,
    registry: &Url,
    subject: &str,
    digest: &Digest,
) -> Result<Provenance> {
    let body = fetch::artifact(url, registry).await?;
    let found: NpmAttestations = serde_json::from_slice(&body)
        .map_err(|error| Error::refused(format!("its attestations are not valid: {error}")))?;
    let slsa = found.attestations.into_iter().filter(|it| it.predicate_type.starts_with(SLSA));
    let bundles: Vec<Value> = slsa.take(MAX_ATTESTATIONS).map(|it| it.bundle).collect();
    any_of(&bundles, subject, digest)
}

#[derive(Deserialize)]
struct PypiProvenance {
    attestation_bundles: Vec<PypiBundle>,
}

#[derive(Deserialize)]
struct PypiBundle {
    attestations: Vec<PypiAttestation>,
}

#[derive(Deserialize)]
struct PypiAttestation {
    verification_material: PypiMaterial,
    envelope: PypiEnvelope,
}

#[derive(Deserialize)]
struct PypiMaterial {
    certificate: String,
    transparency_entries: Value,
}

#[derive(Deserialize)]
struct PypiEnvelope {
    statement: String,
    signature: String,
}

/// Fetches and verifies the attestations of a wheel.
///
/// # Errors
/// As `of_npm`.
pub async fn of_pypi(url: &Url, index: &Url, file: &str, digest: &Digest) -> Result<Provenance> {
    let body = fetch::artifact(url, index).await?;
    any_of(&pypi_bundles(&body)?, file, digest)
}

/// The attestations of PEP 740 in the form of Sigstore's own bundles.
fn pypi_bundles(body: &[u8]) -> Result<Vec<Value>> {
    let found: PypiProvenance = serde_json::from_slice(body)
        .map_err(|error| Error::refused(format!("its attestations are not valid: {error}")))?;
    let all = found.attestation_bundles.into_iter().flat_map(|bundle| bundle.attestations);
    let bundles = all.take(MAX_ATTESTATIONS).map(|one| {
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": one.verification_material.certificate},
                "tlogEntries": one.verification_material.transparency_entries,
            },
            "dsseEnvelope": {
                "payload": one.envelope.statement,
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": one.envelope.signature}],
            },
        })
    });
    Ok(bundles.collect())
}

fn any_of(bundles: &[Value], subject: &str, digest: &Digest) -> Result<Provenance> {
    let mut why = Error::refused("it has no attestation, though its registry says so");
    for bundle in bundles {
        match verified(&bundle.to_string(), subject, digest) {
            Ok(provenance) => return Ok(provenance),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Who signed an attestation, if it is valid, and about this archive.
fn verified(bundle: &str, subject: &str, digest: &Digest) -> Result<Provenance> {
    let invalid = |why: String| Error::refused(format!("its attestation is not valid: {why}"));
    let bundle = Bundle::from_json(bundle).map_err(|error| invalid(error.to_string()))?;
    let verifier = VERIFIER.as_ref().map_err(|why| invalid(why.clone()))?;
    let algorithm = match digest {
        Digest::Sha256(_) => HashAlgorithm::Sha2256,
        Digest::Sha512(_) => HashAlgorithm::Sha2512,
    };
    let artifact = ArtifactDigest::new(algorithm, digest.bytes().to_vec())
        .map_err(|error| invalid(error.to_string()))?;
    // Any signer: whether it is the same as before is judged by the lock file.
    let policy = VerificationPolicy::any_identity();
    let found = verifier
        .verify(Artifact::from_digest(artifact), &bundle, &policy)
        .map_err(|error| invalid(error.to_string()))?;
    if !names(&bundle, subject, digest) {
        return Err(invalid(format!("it is not about {subject}")));
    }
    match (found.identity(), found.issuer()) {
        (Some(SubjectAltName::Uri(identity) | SubjectAltName::Email(identity)), Some(issuer))
            if found.certificate_verified() && found.tlog_verified() =>
        {
            Ok(Provenance { identity: identity.clone(), issuer: issuer.into() })
        }
        _ => Err(invalid("its certificate names nobody".into())),
    }
}

/// Whether the subject of that name has that digest.
fn names(bundle: &Bundle, subject: &str, digest: &Digest) -> bool {
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else { return false };
    let Ok(statement) = serde_json::from_slice::<Value>(envelope.payload.as_bytes()) else {
        return false;
    };
    let algorithm = match digest {
        Digest::Sha256(_) => "sha256",
        Digest::Sha512(_) => "sha512",
    };
    let subjects = statement["subject"].as_array();
    subjects.into_iter().flatten().any(|one| {
        one["name"] == subject && one["digest"][algorithm].as_str() == Some(&digest.hex())
    })
}

/// Checks that who built a package is still who built it when it was locked before.
///
/// # Errors
/// If nobody vouches for it any more, or somebody else.
pub fn check_kept(was: Option<&Provenance>, now: Option<&Provenance>) -> Result<()> {
    // A workflow is named with the branch or tag that it ran for.
    let workflow = |it: &Provenance| it.identity.split('@').next().unwrap_or_default().to_owned();
    let hint = "if that is right, remove its entry from the lock file";
    match (was, now) {
        (Some(was), None) => Err(Error::refused(format!(
            "it had an attestation by {} before, and has none now; {hint}",
            was.identity
        ))),
        (Some(was), Some(now)) if workflow(was) != workflow(now) || was.issuer != now.issuer => {
            Err(Error::refused(format!(
                "it was built by {} before, and by {} now; {hint}",
                was.identity, now.identity
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The provenance of sigstore@2.0.0 on npm, from the tests of sigstore-rust (Apache-2.0).
    const BUNDLE: &str = include_str!("testdata/sigstore-2.0.0.provenance.json");
    const SUBJECT: &str = "pkg:npm/sigstore@2.0.0";

    fn payload() -> Value {
        use base64::Engine;
        let bundle: Value = serde_json::from_str(BUNDLE).unwrap();
        let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        serde_json::from_slice(&payload).unwrap()
    }

    fn digest() -> Digest {
        let hex = payload()["subject"][0]["digest"]["sha512"].as_str().unwrap().to_owned();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        Digest::Sha512(std::array::from_fn(byte))
    }

    #[test]
    fn a_real_attestation_is_verified() {
        let found = verified(BUNDLE, SUBJECT, &digest()).unwrap();
        let workflow = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml";
        assert!(found.identity.starts_with(workflow), "{found:?}");
        assert_eq!(found.issuer, "https://token.actions.githubusercontent.com");
    }

    #[test]
    fn an_attestation_of_something_else_or_a_changed_one_is_refused() {
        let other = verified(BUNDLE, SUBJECT, &Digest::sha512_of(b"x")).unwrap_err().to_string();
        assert!(other.contains("not valid"), "{other}");
        let name = verified(BUNDLE, "pkg:npm/sigstore@2.0.1", &digest()).unwrap_err().to_string();
        assert!(name.contains("is not about pkg:npm/sigstore@2.0.1"), "{name}");
        let bundle: Value = serde_json::from_str(BUNDLE).unwrap();
        let changes: [fn(&mut Value); 4] = [
            |bundle| bundle["dsseEnvelope"]["signatures"][0]["sig"] = "MEUCIQDx".into(),
            |bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]),
            |bundle| {
                bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1".into();
            },
            |bundle| {
                let at = &mut bundle["verificationMaterial"]["tlogEntries"][0];
                at["inclusionProof"]["rootHash"] = "AAAA".into();
            },
        ];
        for change in changes {
            let mut changed = bundle.clone();
            change(&mut changed);
            let refused = verified(&changed.to_string(), SUBJECT, &digest());
            assert!(refused.unwrap_err().to_string().contains("not valid"));
        }
        assert!(any_of(&[], SUBJECT, &digest()).is_err());
    }

    #[test]
    fn attestations_of_pypi_are_the_same_in_another_form() {
        let bundle: Value = serde_json::from_str(BUNDLE).unwrap();
        let material = &bundle["verificationMaterial"];
        let chain = &material["x509CertificateChain"]["certificates"][0]["rawBytes"];
        let certificate =
            if chain.is_null() { &material["certificate"]["rawBytes"] } else { chain };
        let provenance = json!({"version": 1, "attestation_bundles": [{"publisher": {}, "attestations": [{
            "version": 1,
            "verification_material": {
                "certificate": certificate,
                "transparency_entries": material["tlogEntries"],
            },
            "envelope": {
                "statement": bundle["dsseEnvelope"]["payload"],
                "signature": bundle["dsseEnvelope"]["signatures"][0]["sig"],
            },
        }]}]});
        let bundles = pypi_bundles(provenance.to_string().as_bytes()).unwrap();
        any_of(&bundles, SUBJECT, &digest()).unwrap();
    }

    #[test]
    fn who_builds_a_package_stays_the_same() {
        let of = |identity: &str| Provenance { identity: identity.into(), issuer: "i".into() };
        let was = of("https://a/b/release.yml@refs/tags/v1");
        check_kept(None, None).unwrap();
        check_kept(None, Some(&was)).unwrap();
        check_kept(Some(&was), Some(&of("https://a/b/release.yml@refs/tags/v2"))).unwrap();
        let gone = check_kept(Some(&was), None).unwrap_err().to_string();
        assert!(gone.contains("has none now"), "{gone}");
        let other = check_kept(Some(&was), Some(&of("https://evil/b/release.yml@refs/tags/v2")));
        assert!(other.unwrap_err().to_string().contains("by https://evil/"));
    }
}
