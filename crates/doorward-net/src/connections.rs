//! Connections to servers without TLS, pooled per thread, and driven by the call that uses them. There is no task
//! between a call and its socket, which would cost two context switches per message.
//!
//! A connection in use belongs to the body of its response. Dropping the body before its end closes the
//! connection, which is how a modern call is cancelled.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::dial::Dialer;

/// How long an unused connection stays open, and the maximum number of them per thread and server.
pub const IDLE: Duration = Duration::from_secs(60);
pub const MOST: usize = 256;

/// Why there is no response.
#[derive(Debug)]
pub enum Error {
    /// The server cannot be reached: nothing was sent.
    Connect(Box<dyn std::error::Error + Send + Sync>),
    Http(hyper::Error),
}

impl From<hyper::Error> for Error {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

/// The key of a pooled connection: its owner and its authority. The authority is compared case-sensitively, since
/// a case-insensitive hash would be computed twice per request. A server whose URL is spelled in two ways has two
/// pools.
#[derive(Debug, Clone)]
struct PoolKey {
    owner: usize,
    authority: Authority,
}

impl PartialEq for PoolKey {
    fn eq(&self, other: &Self) -> bool {
        self.owner == other.owner && self.authority.as_str() == other.authority.as_str()
    }
}

impl Eq for PoolKey {}

impl Hash for PoolKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.owner.hash(state);
        self.authority.as_str().hash(state);
    }
}

#[derive(Debug)]
struct Link {
    /// Maximum idle time: shorter than the server's own.
    idle: Duration,
    sender: SendRequest<Full<Bytes>>,
    connection: Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

impl Link {
    /// Makes progress on the connection. Returns whether it is still open.
    fn drive(&mut self, context: &mut Context<'_>) -> bool {
        Pin::new(&mut *self.connection).poll(context).is_pending()
    }

    /// Whether another request can be sent.
    fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }
}

/// This thread's unused connections, the most recently used last.
#[derive(Default)]
struct Pool {
    idle_links: HashMap<PoolKey, Vec<(Instant, Link)>>,
    /// A task that closes unused connections is running.
    swept: bool,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

impl Pool {
    fn take(home: &PoolKey) -> Option<Link> {
        POOL.with_borrow_mut(|pool| {
            let idle_links = pool.idle_links.get_mut(home)?;
            while let Some((since, mut link)) = idle_links.pop() {
                // The server may have closed it in the meantime, or be about to.
                if since.elapsed() < link.idle && link.is_idle() {
                    return Some(link);
                }
            }
            None
        })
    }

    fn keep(home: PoolKey, link: Link) {
        let sweeper = POOL.with_borrow_mut(|pool| {
            let idle_links = pool.idle_links.entry(home).or_default();
            if idle_links.len() < MOST {
                idle_links.push((Instant::now(), link));
            }
            !std::mem::replace(&mut pool.swept, true)
        });
        if sweeper && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep());
        }
    }
}

/// Closes this thread's unused connections after their idle time, until none are left.
async fn sweep() {
    loop {
        tokio::time::sleep(IDLE / 4).await;
        let left = POOL.with_borrow_mut(|pool| {
            pool.idle_links.retain(|_, idle_links| {
                idle_links.retain(|(since, link)| since.elapsed() < link.idle);
                !idle_links.is_empty()
            });
            pool.swept = !pool.idle_links.is_empty();
            pool.swept
        });
        if !left {
            return;
        }
    }
}

/// Sends a request over a pooled or a new connection. Only requests of the same `owner` share connections.
pub async fn send(
    owner: usize,
    dialer: &Dialer,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Driven>, Error> {
    let uri = std::mem::take(request.uri_mut());
    let Some(authority) = uri.authority().cloned() else {
        return Err(Error::Connect("the URL names no host".into()));
    };
    if let Ok(host) = HeaderValue::try_from(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    // The request target differs between a server and a proxy (RFC 9112 section 3.2).
    match dialer.proxy_of(&uri) {
        None => {
            let path = uri.path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
        Some(proxy) => {
            *request.uri_mut() = uri.clone();
            if let Some(credential) = proxy.basic_auth() {
                request.headers_mut().insert(PROXY_AUTHORIZATION, credential.clone());
            }
        }
    }
    let home = PoolKey { owner, authority };
    let mut link = match Pool::take(&home) {
        Some(link) => link,
        None => Box::pin(connect(dialer, uri)).await?,
    };
    let response = link.sender.send_request(request);
    tokio::pin!(response);
    let response = poll_fn(|context| {
        // The response may arrive together with the end of the connection.
        let _ = link.drive(context);
        response.as_mut().poll(context)
    });
    let (head, body) = response.await?.into_parts();
    link.idle = idle_timeout(&head.headers).map_or(IDLE, |timeout| timeout.min(IDLE));
    Ok(Response::from_parts(head, Driven { body, link: Some((home, link)) }))
}

/// The server's idle timeout minus one second for the network, if it announces one (`Keep-Alive: timeout=5`, RFC
/// 2068 section 19.7.1.1).
fn idle_timeout(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get("keep-alive")?.to_str().ok()?;
    let mut parts = said.split(',').filter_map(|part| part.trim().strip_prefix("timeout="));
    let seconds: u64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(seconds.saturating_sub(1)))
}

async fn connect(dialer: &Dialer, uri: Uri) -> Result<Link, Error> {
    let stream = dialer.clone().call(uri).await.map_err(Error::Connect)?;
    let (sender, connection) = handshake(stream).await?;
    let mut link = Link { idle: IDLE, sender, connection: Box::new(connection) };
    poll_fn(|context| {
        let _ = link.drive(context);
        link.sender.poll_ready(context)
    })
    .await?;
    Ok(link)
}

/// A body that drives its connection, and returns it to the pool at its end.
#[derive(Debug)]
pub struct Driven {
    body: Incoming,
    link: Option<(PoolKey, Link)>,
}

impl Driven {
    fn return_to_pool(&mut self) {
        if let Some((home, mut link)) = self.link.take()
            && link.is_idle()
        {
            Pool::keep(home, link);
        }
    }
}

impl Body for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        // What the body needs from the connection is available on the second attempt, if at all.
        for _ in 0..2 {
            if let Some((_, link)) = &mut this.link
                && !link.drive(context)
            {
                this.link = None;
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => {}
                Poll::Ready(None) => {
                    this.return_to_pool();
                    return Poll::Ready(None);
                }
                frame => return frame,
            }
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.return_to_pool();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_closed_before_the_servers_idle_timeout() {
        for (said, idle_links) in [
            (Some("timeout=5"), Some(4)),
            (Some("max=100, timeout=30"), Some(29)),
            (Some("timeout=0"), Some(0)),
            (Some("timeout=soon"), None),
            (None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("keep-alive", HeaderValue::from_static(said));
            }
            assert_eq!(idle_timeout(&headers), idle_links.map(Duration::from_secs), "{said:?}");
        }
    }
}
