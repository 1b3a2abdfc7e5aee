//! TLS for clients, with a certificate from files that may be replaced while the gateway runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use doorward_gateway::listener::Spoken;
use doorward_gateway::settings::TlsFiles;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio_util::task::AbortOnDropHandle;

/// How often the files are looked at. They are often links that are changed as a whole, which no
/// watcher sees.
const EVERY: Duration = Duration::from_secs(1);

/// The certificate that is shown to who connects next.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// TLS as it is spoken, and what keeps its certificate fresh for as long as it lives.
pub struct Tls {
    pub spoken: Spoken,
    _following: AbortOnDropHandle<()>,
}

impl Tls {
    /// Fails with a reason when the files hold no certificate and its key.
    pub fn start(files: &TlsFiles) -> Result<Self, String> {
        let stamp = stamp(files);
        let shown = Arc::new(Shown(ArcSwap::from_pointee(read(files)?)));
        let builder = ServerConfig::builder();
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(verifier(path)?),
        };
        let mut config = builder.with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let following = tokio::spawn(follow(shown, files.clone(), stamp));
        let spoken = Spoken { config: Arc::new(config), names };
        Ok(Self { spoken, _following: AbortOnDropHandle::new(following) })
    }
}

/// Checks certificates of clients, who may well show none and authenticate otherwise.
fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for one in all {
        let one = one.map_err(|error| unreadable(&error))?;
        roots.add(one).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it holds no certificate in PEM form"));
    }
    let builder = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
    builder.build().map(|verifier| verifier as _).map_err(|error| unreadable(&error))
}

/// The alternative names in a client's certificate: URIs, such as SPIFFE ids, before host names.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let all = certificate.valid_uri_names().chain(certificate.valid_dns_names());
    all.map(str::to_owned).collect()
}

async fn follow(shown: Arc<Shown>, files: TlsFiles, mut seen: Stamp) {
    loop {
        tokio::time::sleep(EVERY).await;
        let now = stamp(&files);
        if now == seen {
            continue;
        }
        match read(&files) {
            Ok(key) => {
                seen = now;
                shown.0.store(Arc::new(key));
                tracing::info!(file = %files.cert.display(), "took the new certificate");
            }
            // One of the two may not be there yet: looked at again, and told once.
            Err(why) => {
                if now != stamp(&files) {
                    continue;
                }
                seen = now;
                tracing::error!("the new certificate is refused, and the old one kept: {why}");
            }
        }
    }
}

/// What changes when a file is written or replaced: when, and how long it is.
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
        return Err(unreadable(&files.cert, &"it holds no certificate in PEM form"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable(&files.key, &error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map_err(|error| format!("{} and {}: {error}", files.cert.display(), files.key.display()))
}
