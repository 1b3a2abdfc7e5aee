//! Listeners: connections accepted up to a bound, slow ones cut off, all of them ended gracefully.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::{Limits, Timeouts};

/// What a listener needs to know.
#[derive(Debug, Clone)]
pub struct Door {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Cancelled when no connection may be accepted any more.
    pub closing: CancellationToken,
    /// Open connections.
    pub connections: TaskTracker,
    /// Who serves the connections, in turn: each from its first byte to its last.
    pub workers: Arc<[Handle]>,
}

/// Accepts connections until the door closes, and answers their requests.
pub async fn serve<H, A, B>(listener: TcpListener, door: Door, handler: H)
where
    H: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let places = Arc::new(Semaphore::new(door.limits.connections));
    let mut turns = (0..door.workers.len()).cycle();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = door.closing.cancelled() => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.closing.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as too many open files: others must end before it gets better.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (door, handler) = (door.clone(), handler.clone());
        let connections = door.connections.clone();
        let worker = turns.next().map(|turn| door.workers[turn].clone());
        let Ok(stream) = stream.into_std() else { continue };
        let serving = async move {
            // Registered anew, with the worker's own reactor.
            if let Ok(stream) = TcpStream::from_std(stream) {
                connection(stream, door, handler).await;
            }
            drop(place);
        };
        match worker {
            Some(worker) => connections.spawn_on(serving, &worker),
            None => connections.spawn(serving),
        };
    }
}

async fn connection<H, A, B>(stream: TcpStream, door: Door, handler: H)
where
    H: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let Ok(local) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        // Boxed, so that what answering needs is given back before a stream begins: a connection
        // keeps room for its service's future as long as it lives.
        let answer = Box::pin(handler(local, request));
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let io = TokioIo::new(Unstuck::new(stream, door.timeouts.write.0));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.timeouts.headers.0)
        .max_buf_size(door.limits.headers.0.max(8 << 10))
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = door.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended");
    }
}

/// A connection that fails when the other side takes nothing for too long: a client that never
/// reads holds memory only so long.
struct Unstuck<S> {
    stream: S,
    patience: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstuck<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, stuck: None }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
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

impl<S: AsyncRead + Unpin> AsyncRead for Unstuck<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstuck<S> {
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
