//! TLS for outgoing connections: trusted certificate authorities, and error messages.

use std::sync::LazyLock;

use doorward_config::ServerTls;

/// TLS settings for outgoing connections, created on first use.
pub fn trusted() -> &'static rustls::ClientConfig {
    static TRUST: LazyLock<rustls::ClientConfig> = LazyLock::new(trust);
    &TRUST
}

/// TLS settings for one server from its configuration. The error says what is wrong with it.
pub fn tls_config(settings: &ServerTls) -> Result<rustls::ClientConfig, String> {
    settings.client_config(system_roots)
}

/// Trusts the system's certificate authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn trust() -> rustls::ClientConfig {
    rustls::ClientConfig::builder().with_root_certificates(system_roots()).with_no_client_auth()
}

fn system_roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate in the system's trust store is invalid");
    }
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        tracing::warn!("the system trusts no certificate: no https:// server can be reached");
    }
    roots
}

/// An error and its causes, in one line.
pub fn cause_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
