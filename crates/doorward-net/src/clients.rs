//! HTTP clients for servers: without TLS by [`connections`], with TLS by one client per thread.

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use doorward_core::Failure;

use crate::connections;
use crate::decoded::{self, Decoded};
use crate::dial::Dialer;
use crate::resolver::Resolver;
use crate::tls::{cause_chain, trusted};

/// The id of the next [`Clients`], which separates its connections from those of others.
static NEXT: AtomicUsize = AtomicUsize::new(0);

type HttpClient = Client<HttpsConnector<Dialer>, Full<Bytes>>;

/// HTTP clients of a gateway: without TLS by [`connections`], with TLS by one client per
/// thread, created on first use. Connections are pooled per server.
#[derive(Debug)]
pub struct Clients {
    id: usize,
    connect_timeout: Duration,
    resolver: Resolver,
    plain: Dialer,
    tls: Option<rustls::ClientConfig>,
    /// Connections are retained as long as this exists.
    alive: Arc<()>,
}

impl Clients {
    pub fn new(connect_timeout: Duration) -> Arc<Self> {
        let resolver = Resolver { public_only: false, pinned: None };
        Arc::new(Self::build(connect_timeout, resolver, None))
    }

    fn build(
        connect_timeout: Duration,
        resolver: Resolver,
        tls: Option<rustls::ClientConfig>,
    ) -> Self {
        let plain = Dialer::new(resolver.clone(), connect_timeout);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, connect_timeout, resolver, plain, tls, alive: Arc::default() }
    }

    /// Clients with a separate pool that connect to public addresses only.
    pub fn public_only(&self) -> Self {
        let resolver = Resolver { public_only: true, ..self.resolver.clone() };
        Self::build(self.connect_timeout, resolver, self.tls.clone())
    }

    /// Clients with a separate pool that connect to this address, one of several that the server's name resolves to.
    pub fn pinned(&self, address: IpAddr) -> Self {
        let resolver = Resolver { pinned: Some(address), ..self.resolver.clone() };
        Self::build(self.connect_timeout, resolver, self.tls.clone())
    }

    /// Clients with a separate pool and other TLS settings: trusted authorities and client certificate.
    pub fn with_tls(&self, tls: rustls::ClientConfig) -> Self {
        Self::build(self.connect_timeout, self.resolver.clone(), Some(tls))
    }

    /// Sends a request and returns the head of the response.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let sent = if request.uri().scheme() == Some(&Scheme::HTTPS) {
            let sending = self.over_tls(request);
            sending.await.map(|response| response.map(Incoming::Shared)).map_err(|error| {
                let reached = !error.is_connect();
                (reached, cause_chain(&error))
            })
        } else {
            let sending = connections::send(self.id, &self.plain, request).await;
            sending.map(|response| response.map(Incoming::Driven)).map_err(|error| match error {
                connections::Error::Connect(error) => (false, cause_chain(&*error)),
                connections::Error::Http(error) => (true, cause_chain(&error)),
            })
        };
        sent.map(decoded::decode).map_err(|(reached, cause)| {
            let (kind, message) = if reached {
                (Kind::StreamEnded, "The server closed the connection before it answered")
            } else {
                (Kind::Unreachable, "The server cannot be reached")
            };
            Failure::new(kind, message).because(cause)
        })
    }

    /// Sends a request with this thread's client.
    fn over_tls(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        type Made = (usize, Weak<()>, HttpClient);
        thread_local! {
            static CLIENTS: RefCell<Vec<Made>> = const { RefCell::new(Vec::new()) };
        }
        CLIENTS.with_borrow_mut(|clients| {
            if let Some((_, _, client)) = clients.iter().find(|(id, ..)| *id == self.id) {
                return client.request(request);
            }
            let client = self.client();
            let sent = client.request(request);
            // Clients of removed servers are dropped, too.
            clients.retain(|(_, alive, _)| alive.strong_count() > 0);
            clients.push((self.id, Arc::downgrade(&self.alive), client));
            sent
        })
    }

    fn client(&self) -> HttpClient {
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.as_ref().unwrap_or_else(|| trusted()).clone())
            .https_only()
            .enable_all_versions()
            .wrap_connector(self.plain.clone());
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(connections::IDLE)
            .pool_max_idle_per_host(connections::MOST)
            .build(tls)
    }
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Encoding(String),
}

/// The body of a server's response.
#[derive(Debug)]
pub enum Incoming {
    /// From a connection driven by the call.
    Driven(connections::Driven),
    /// From a connection that other requests may share.
    Shared(hyper::body::Incoming),
    /// From a compressed response.
    Decoded(Box<Decoded>),
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut *self {
            Self::Driven(body) => Pin::new(body).poll_frame(context),
            Self::Shared(body) => Pin::new(body).poll_frame(context),
            Self::Decoded(body) => return Pin::new(body).poll_frame(context),
        };
        frame.map(|frame| frame.map(|frame| frame.map_err(BodyError::Http)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Driven(body) => body.is_end_stream(),
            Self::Shared(body) => body.is_end_stream(),
            Self::Decoded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Driven(body) => body.size_hint(),
            Self::Shared(body) => body.size_hint(),
            Self::Decoded(body) => body.size_hint(),
        }
    }
}
