//! Listeners: accept connections up to a limit, close slow ones, and shut down gracefully.

mod endless;
mod held;
mod http2;
mod places;
mod poll_when_woken;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::endless::{Answering, Endless};

use self::endless::{Framing, relay};
use self::held::Held;
use self::places::{Place, Places};
use self::poll_when_woken::{PollWhenWoken, WakeFlag};
use crate::peer::{Certificate, Peer};
use doorward_config::{Limits, Timeouts};

/// Longer than any connection.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The settings and state of a listener.
#[derive(Debug, Clone)]
pub struct Listening {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Cancelled when no further connections are accepted.
    pub closing: CancellationToken,
    /// Open connections.
    pub connections: TaskTracker,
    pub tls: Option<Spoken>,
    /// The runtimes that serve connections, in turn. A connection stays on one of them.
    pub workers: Arc<[Handle]>,
}

/// TLS for clients.
#[derive(Clone)]
pub struct Spoken {
    pub config: Arc<rustls::ServerConfig>,
    /// Reads a verified client certificate; `None` if it cannot be parsed.
    pub read: fn(&rustls::pki_types::CertificateDer<'_>) -> Option<Certificate>,
}

impl std::fmt::Debug for Spoken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spoken").finish_non_exhaustive()
    }
}

/// Accepts connections until listening ends, and serves their requests.
pub async fn serve<H, A, B>(listener: TcpListener, listening: Listening, handler: H)
where
    H: Fn(Peer, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Answering,
{
    let limits = &listening.limits;
    let places = Places::new(limits.connections, limits.connections_of_one_address());
    let mut turns = (0..listening.workers.len()).cycle();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = listening.closing.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // For example too many open files: connections have to end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let place = tokio::select! {
            place = places.take(address.ip()) => place,
            () = listening.closing.cancelled() => return,
        };
        let Some(place) = place else {
            tracing::debug!(%address, "refused a connection: too many from this address");
            continue;
        };
        let (listening, handler) = (listening.clone(), handler.clone());
        let connections = listening.connections.clone();
        let worker = turns.next().map(|turn| listening.workers[turn].clone());
        let Ok(stream) = stream.into_std() else { continue };
        let serving = async move {
            // Registered with the worker's own reactor.
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            let Ok(local) = stream.local_addr() else { return };
            let peer = Peer { local, address: address.ip().to_canonical(), certificate: None };
            let _ = stream.set_nodelay(true);
            let Some(Spoken { config, read }) = listening.tls.clone() else {
                return connection(stream, peer, listening, handler, place).await;
            };
            let accepting = TlsAcceptor::from(config).accept(stream);
            let accepting = tokio::time::timeout(listening.timeouts.headers.0, accepting);
            let accepted = tokio::select! {
                accepted = accepting => accepted,
                // A connection that is to be closed does not wait for its handshake.
                () = place.over(FOREVER, FOREVER) => return,
            };
            match accepted {
                Ok(Ok(stream)) => {
                    let presented = stream.get_ref().1.peer_certificates();
                    // It was verified during the handshake and is only parsed here.
                    let certificate = presented.and_then(<[_]>::first).map(|presented| {
                        // A certificate that cannot be parsed has no names and counts as expired.
                        let nobody = Certificate { names: Vec::new(), expires: 0 };
                        Arc::new(read(presented).unwrap_or(nobody))
                    });
                    let peer = Peer { certificate, ..peer };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        http2::connection(stream, peer, listening, handler, place).await;
                    } else {
                        connection(stream, peer, listening, handler, place).await;
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "a client's TLS handshake failed"),
                Err(_) => tracing::debug!("a client's TLS handshake took too long"),
            }
        };
        match worker {
            Some(worker) => connections.spawn_on(serving, &worker),
            None => connections.spawn(serving),
        };
    }
}

async fn connection<S, H, A, B>(
    stream: S,
    peer: Peer,
    listening: Listening,
    handler: H,
    place: Place,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Peer, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Answering,
{
    let written = Arc::new(Written::default());
    let leaving: Arc<Mutex<Option<Leaving>>> = Arc::default();
    let (watched, left) = (written.clone(), leaving.clone());
    let place = Arc::new(place);
    let taken = place.clone();
    let flag = Arc::new(WakeFlag::default());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let version = request.version();
        let busy = taken.busy();
        http2::name_host(&mut request);
        // Boxed, so that the memory of the handler is freed before a stream starts: a connection retains space for its
        // service's future.
        let answer = PollWhenWoken::new(Box::pin(handler(peer.clone(), request)), &flag);
        let (written, leaving) = (watched.clone(), left.clone());
        async move {
            let mut answer = answer.await;
            if let Some(events) = answer.body_mut().take_endless() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                let framing =
                    if version == Version::HTTP_11 { Framing::Chunked } else { Framing::Close };
                *leaving.lock() = Some(Leaving { events, framing, before: written.count() });
            }
            Ok::<_, std::convert::Infallible>(answer.map(|body| Held::new(body, busy)))
        }
    });
    let io = TokioIo::new(WriteTimeout::new(stream, listening.timeouts.write.0, written.clone()));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(listening.timeouts.headers.0)
        .max_buf_size(listening.limits.headers.0.max(8 << 10))
        .serve_connection(io, service);
    let mut closing = Box::pin(listening.closing.cancelled());
    let mut closes = false;
    // The library has its own timeout for headers. Idle connections are closed only if others need their place.
    let mut over = Box::pin(place.over(FOREVER, FOREVER));
    let ended = poll_fn(|context| {
        if over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Ok(())));
        }
        if !closes && closing.as_mut().poll(context).is_ready() {
            closes = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if is_written(&leaving, &written) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    match ended.await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a client's connection ended"),
        None => {
            let Some(Leaving { events, framing, .. }) = leaving.lock().take() else { return };
            let socket = connection.into_parts().io.into_inner().stream;
            let patience = listening.timeouts.write.0;
            drop(over);
            let busy = place.busy();
            // A separate task, which is smaller than that of a connection in the HTTP library.
            listening.connections.spawn(async move {
                if let Err(error) = relay(socket, events, framing, patience).await {
                    tracing::debug!(%error, "a client's stream ended");
                }
                drop((busy, place));
            });
        }
    }
}

/// A stream that leaves the HTTP library as soon as its head is written.
struct Leaving {
    events: Endless,
    framing: Framing,
    /// The number of writes before the head.
    before: usize,
}

fn is_written(leaving: &Mutex<Option<Leaving>>, written: &Written) -> bool {
    let before = leaving.lock().as_ref().map(|leaving| leaving.before);
    before.is_some_and(|before| written.count() > before && !written.is_blocked())
}

/// The write progress of a connection.
#[derive(Debug, Default)]
struct Written {
    count: AtomicUsize,
    blocked: AtomicBool,
}

impl Written {
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The last write was blocked, so data is waiting.
    fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// A connection that fails if the peer reads nothing for too long, so that a client that never reads uses memory
/// for a limited time only.
struct WriteTimeout<S> {
    stream: S,
    patience: Duration,
    written: Arc<Written>,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    fn new(stream: S, patience: Duration, written: Arc<Written>) -> Self {
        Self { stream, patience, written, stuck: None }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.written.blocked.store(written.is_pending(), Ordering::Relaxed);
        if written.is_ready() {
            self.written.count.fetch_add(1, Ordering::Relaxed);
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if stuck.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read",
            )));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
