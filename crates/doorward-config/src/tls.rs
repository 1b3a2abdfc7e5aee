//! TLS of the gateway's listeners, and for connections to servers: certificates and keys.

use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, ServerTls};

/// The gateway's certificate and private key, in PEM format. The files are reloaded when they change. Relative
/// paths are relative to the configuration file's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, followed by its intermediate certificates.
    pub cert: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// Certificate authorities for client certificates: a client may then authenticate with a certificate instead
    /// of a key or token. Its first subject alternative name identifies it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// TLS for connections to one server. If no certificate authority is configured, those of `system_roots` are
    /// trusted. The error describes the problem with the settings.
    pub fn client_config(
        &self,
        system_roots: impl FnOnce() -> rustls::RootCertStore,
    ) -> Result<rustls::ClientConfig, String> {
        let roots = match &self.ca {
            None => None,
            Some(ca) => {
                let mut roots = rustls::RootCertStore::empty();
                for one in certificates("ca", ca)? {
                    roots.add(one).map_err(|error| format!("'ca': {error}"))?;
                }
                Some(roots)
            }
        };
        let builder = rustls::ClientConfig::builder();
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => builder.with_root_certificates(system_roots()),
        };
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                    .map_err(|_| "'key' is not a private key in PEM format".to_owned())?;
                builder
                    .with_client_auth_cert(certificates("cert", cert)?, key)
                    .map_err(|error| format!("'cert' and 'key': {error}"))
            }
            _ => Err("'cert' and 'key' must be set together".into()),
        }
    }
}

fn certificates(of: &str, pem: &Secret) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose().as_bytes()).collect();
    let all = all.ok().filter(|all: &Vec<_>| !all.is_empty());
    all.ok_or_else(|| format!("'{of}' is not a certificate in PEM format"))
}
