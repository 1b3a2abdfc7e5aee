//! TLS for clients, with a certificate from files that may be replaced while the gateway runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use doorward_config::TlsFiles;
use doorward_identity::identity::Certificate;
use doorward_net::listener::Spoken;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio_util::task::AbortOnDropHandle;

/// How often the files are checked. They are often links that are replaced, which watchers do not
/// report.
const EVERY: Duration = Duration::from_secs(1);

/// The certificate for new connections.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The TLS configuration, and the task that keeps its certificate current while this lives.
pub struct Tls {
    pub spoken: Spoken,
    _following: AbortOnDropHandle<()>,
}

impl Tls {
    /// Fails with a reason if the files contain no certificate with its key.
    pub fn start(files: &TlsFiles) -> Result<Self, String> {
        let stamp = stamp(files);
        let current = Arc::new(Current(ArcSwap::from_pointee(read(files)?)));
        let builder = ServerConfig::builder();
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(verifier(path)?),
        };
        let mut config = builder.with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let following = tokio::spawn(follow(current, files.clone(), stamp));
        let spoken = Spoken { config: Arc::new(config), read: certificate };
        Ok(Self { spoken, _following: AbortOnDropHandle::new(following) })
    }
}

/// Verifies certificates of clients, which are optional: clients may authenticate otherwise.
fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for one in all {
        let one = one.map_err(|error| unreadable(&error))?;
        roots.add(one).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it contains no certificate in PEM format"));
    }
    let builder = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
    builder.build().map(|verifier| verifier as _).map_err(|error| unreadable(&error))
}

/// The identities in a client's certificate: its alternative names, URIs such as SPIFFE ids before
/// host names; and its expiry.
fn certificate(current: &CertificateDer<'_>) -> Option<Certificate> {
    let read = webpki::EndEntityCert::try_from(current).ok()?;
    let names = read.valid_uri_names().chain(read.valid_dns_names()).map(str::to_owned).collect();
    Some(Certificate { names, expires: not_after(current)? })
}

/// The end of a certificate's validity in seconds since 1970, which the verifying library does not
/// return (RFC 5280 sections 4.1 and 4.1.2.5).
fn not_after(certificate: &[u8]) -> Option<i64> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, algorithm and issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    let (_, _, end) = element(validity)?;
    let (kind, text, _) = element(end).filter(|_| tag == SEQUENCE)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match kind {
        // Two digits of the year: 1950 to 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let (digits, zulu) = text.split_at_checked(14)?;
    let exact = digits.bytes().all(|byte| byte.is_ascii_digit()) && zulu == "Z";
    let text = exact.then_some(text)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    Some(time.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0)).as_secs())
}

/// A DER element: its tag, its content, and the rest (X.690 section 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ ..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long - 0x80)?;
            if digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

async fn follow(current: Arc<Current>, files: TlsFiles, mut seen: Stamp) {
    loop {
        tokio::time::sleep(EVERY).await;
        let now = stamp(&files);
        if now == seen {
            continue;
        }
        match read(&files) {
            Ok(key) => {
                seen = now;
                current.0.store(Arc::new(key));
                tracing::info!(file = %files.cert.display(), "certificate reloaded");
            }
            // One of the two may not be there yet: tried again, and logged once.
            Err(why) => {
                if now != stamp(&files) {
                    continue;
                }
                seen = now;
                tracing::error!(
                    "the new certificate is invalid; the previous one stays in use: {why}"
                );
            }
        }
    }
}

/// Changes when a file is written or replaced: the time and the length.
type Stamp = [Option<(SystemTime, u64)>; 2];

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.cert, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, String> {
    let unreadable =
        |path: &PathBuf, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(&files.cert, &error))?;
    if chain.is_empty() {
        return Err(unreadable(&files.cert, &"it contains no certificate in PEM format"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable(&files.key, &error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map_err(|error| format!("{} and {}: {error}", files.cert.display(), files.key.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let made = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/tls/client.pem");
        let made = CertificateDer::from_pem_file(made).unwrap();
        assert_eq!(not_after(&made), Some(4_948_878_639));
        assert!(certificate(&made).unwrap().names[0].starts_with("spiffe://"));
        // For any input there is no panic and no wrong expiry.
        for end in 0..made.len() {
            let _ = not_after(&made[..end]);
        }
        let dated = |kind: u8, text: &str| {
            let element = |tag: u8, content: &[u8]| {
                [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
            };
            let validity = element(
                0x30,
                &[element(0x17, b"000101000000Z"), element(kind, text.as_bytes())].concat(),
            );
            let before = [
                element(0xa0, &[2, 1, 2]),
                element(2, &[1]),
                element(0x30, &[]),
                element(0x30, &[]),
            ];
            let certificate = element(0x30, &[before.concat(), validity].concat());
            not_after(&element(0x30, &certificate))
        };
        assert_eq!(dated(0x17, "500101000000Z"), Some(-631_152_000));
        assert_eq!(dated(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(dated(0x18, "99991231235959Z"), Some(253_402_300_799));
        for wrong in ["491231235959", "49123123595Z", "x", "", "20491231235959Z"] {
            assert_eq!(dated(0x17, wrong), None, "{wrong}");
        }
    }
}
