//! Outgoing connections: direct, or through the proxy of the environment (`HTTPS_PROXY`, `HTTP_PROXY`,
//! `ALL_PROXY`, `NO_PROXY`, interpreted as by curl).
//!
//! Connections to this machine are direct, and so are those restricted to public addresses: a proxy would resolve
//! the name itself, and could connect to another address than the one that was checked (attacks T11, T12).

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::resolver::Resolver;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

static PROXIES: LazyLock<Matcher> = LazyLock::new(Matcher::from_env);

#[derive(Debug, Clone)]
pub struct Dialer {
    direct: HttpConnector<Resolver>,
    resolver: Resolver,
    patience: Duration,
    /// Whether the client can send requests without TLS to a proxy (with an absolute URL).
    writes_to_proxies: bool,
}

impl Dialer {
    /// `patience` is the connection timeout.
    pub fn new(resolver: Resolver, patience: Duration) -> Self {
        let mut direct = HttpConnector::new_with_resolver(resolver.clone());
        direct.set_nodelay(true);
        direct.set_connect_timeout(Some(patience));
        direct.enforce_http(false);
        Self { direct, resolver, patience, writes_to_proxies: true }
    }

    /// For clients that cannot send plain requests to a proxy: without TLS, they connect directly.
    pub fn by_tunnel(resolver: Resolver, patience: Duration) -> Self {
        Self { writes_to_proxies: false, ..Self::new(resolver, patience) }
    }

    /// The proxy for a URL, if one is used.
    pub fn proxy_of(&self, uri: &Uri) -> Option<Intercept> {
        if self.resolver.public_only || self.resolver.pinned.is_some() || is_local(uri) {
            return None;
        }
        if !self.writes_to_proxies && uri.scheme() != Some(&Scheme::HTTPS) {
            return None;
        }
        PROXIES.intercept(uri)
    }
}

/// Whether a URL names this machine.
fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut direct = self.direct.clone();
        let Some(proxy) = self.proxy_of(&uri) else {
            return Box::pin(async move { Ok(direct.call(uri).await?) });
        };
        let patience = self.patience;
        Box::pin(async move {
            let at = proxy.uri().clone();
            if at.scheme() != Some(&Scheme::HTTP) {
                let kind = at.scheme_str().unwrap_or_default().to_owned();
                return Err(format!(
                    "the proxy URL has the scheme {kind}://; only http:// is supported"
                )
                .into());
            }
            // A proxy forwards requests without TLS itself; for TLS it only opens a tunnel.
            if uri.scheme() != Some(&Scheme::HTTPS) {
                return Ok(direct.call(at).await?);
            }
            let mut tunnel = Tunnel::new(at, direct);
            if let Some(credential) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credential.clone());
            }
            let opening = tokio::time::timeout(patience, tunnel.call(uri));
            let opened = opening.await.map_err(|_| "the proxy does not answer in time")?;
            opened.map_err(|error| format!("the proxy: {error}").into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        for (uri, here) in [
            ("http://localhost:1/", true),
            ("http://LOCALHOST/", true),
            ("http://127.8.9.1:80/", true),
            ("https://[::1]/", true),
            ("http://10.0.0.1/", false),
            ("https://localhost.example/", false),
        ] {
            assert_eq!(is_local(&uri.parse().unwrap()), here, "{uri}");
        }
    }
}
