//! HTTP/2, for clients that choose it during the TLS handshake (RFC 9113): many requests over one
//! connection.

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::held::{Held, Taken};
use super::places::Place;
use super::{Answering, Listening, WriteTimeout, Written};
use crate::peer::Peer;

/// Maximum number of concurrent requests per connection.
const STREAMS: u32 = 256;
/// Timeout for the reply to a PING.
const ALIVE: Duration = Duration::from_secs(20);

tokio::task_local! {
    /// The progress of the response of the stream that a task serves.
    static TAKEN: Arc<Taken>;
}

/// Runs streams, and ends those whose client reads nothing for too long. Data that does not fit the stream's
/// window is never written, so the socket's write timeout does not apply.
#[derive(Clone)]
struct Streams {
    patience: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (taken, patience) = (Arc::<Taken>::default(), self.patience);
        tokio::spawn(TAKEN.scope(taken.clone(), async move {
            tokio::select! {
                biased;
                () = stream => {}
                () = taken.stuck(patience) => tracing::debug!("a client does not read its response"),
            }
        }));
    }
}

pub async fn connection<S, H, A, B>(
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
    let place = Arc::new(place);
    let taken = place.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        name_host(&mut request);
        let busy = taken.busy();
        let answer = handler(peer.clone(), request);
        async move {
            let answer = answer.await.map(|body| Held::new(body, busy));
            // Runs within the task of the stream.
            let taken = TAKEN.try_with(Arc::clone).ok();
            Ok::<_, std::convert::Infallible>(answer.map(|held| match taken {
                Some(taken) => held.watched(taken),
                None => held,
            }))
        }
    });
    let written = Arc::new(Written::default());
    let io = TokioIo::new(WriteTimeout::new(stream, listening.timeouts.write.0, written));
    let limit = u32::try_from(listening.limits.headers.0).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(Streams { patience: listening.timeouts.write.0 })
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(limit)
        .keep_alive_interval(listening.timeouts.keep_alive.0)
        .keep_alive_timeout(ALIVE)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let timeouts = &listening.timeouts;
    let ended = tokio::select! {
        ended = &mut connection => ended,
        // No request is in progress: it ends at once.
        () = place.over(timeouts.headers.0, timeouts.idle.0) => Ok(()),
        () = listening.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended");
    }
    drop(place);
}

/// Adds the `Host` header that HTTP/2 requests and requests with an absolute URL do not need. All later checks
/// use `Host`. If both exist and differ, both remain, and the request is refused.
pub fn name_host(request: &mut Request<Incoming>) {
    let Some(authority) = request.uri().authority() else { return };
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return;
    }
    let Ok(named) = HeaderValue::try_from(authority.as_str()) else { return };
    if request.headers().get(HOST) != Some(&named) {
        request.headers_mut().append(HOST, named);
    }
}
