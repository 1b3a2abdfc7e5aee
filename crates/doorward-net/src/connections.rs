//! Connections to servers without TLS, pooled per thread, and driven by the call that uses them: no task is between a
//! call and its socket, which would cost two switches for each message.
//!
//! A connection in use belongs to the body of its response; dropping the body before its end closes the connection,
//! which is how a modern call is cancelled.

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

/// How long a connection is kept that nobody uses, and how many of one thread's to one server.
pub const IDLE: Duration = Duration::from_secs(60);
pub const MOST: usize = 256;

/// Why a request got no answer.
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

/// Where a connection is kept while nobody uses it: whose it is, and where it leads. A place that is written in two ways
/// has two homes: to be blind to case, an authority would be hashed byte by byte, for each request twice.
#[derive(Debug, Clone)]
struct Home {
    owner: usize,
    authority: Authority,
}

impl PartialEq for Home {
    fn eq(&self, other: &Self) -> bool {
        self.owner == other.owner && self.authority.as_str() == other.authority.as_str()
    }
}

impl Eq for Home {}

impl Hash for Home {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.owner.hash(state);
        self.authority.as_str().hash(state);
    }
}

#[derive(Debug)]
struct Link {
    /// How long it may stay unused: less than the server says that it keeps it.
    idle: Duration,
    sender: SendRequest<Full<Bytes>>,
    connection: Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

impl Link {
    /// Lets the connection do what can be done now. Whether it is still there.
    fn drive(&mut self, context: &mut Context<'_>) -> bool {
        Pin::new(&mut *self.connection).poll(context).is_pending()
    }

    /// Whether another request can be sent.
    fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }
}

/// This thread's connections that nobody uses, the latest used last.
#[derive(Default)]
struct Warm {
    kept: HashMap<Home, Vec<(Instant, Link)>>,
    /// Somebody closes those that stay unused.
    swept: bool,
}

thread_local! {
    static WARM: RefCell<Warm> = RefCell::default();
}

impl Warm {
    fn take(home: &Home) -> Option<Link> {
        WARM.with_borrow_mut(|warm| {
            let kept = warm.kept.get_mut(home)?;
            while let Some((since, mut link)) = kept.pop() {
                // The server may have closed it meanwhile, or be about to.
                if since.elapsed() < link.idle && link.is_idle() {
                    return Some(link);
                }
            }
            None
        })
    }

    fn keep(home: Home, link: Link) {
        let sweeper = WARM.with_borrow_mut(|warm| {
            let kept = warm.kept.entry(home).or_default();
            if kept.len() < MOST {
                kept.push((Instant::now(), link));
            }
            !std::mem::replace(&mut warm.swept, true)
        });
        if sweeper && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep());
        }
    }
}

/// Closes this thread's connections that stay unused, until there are none.
async fn sweep() {
    loop {
        tokio::time::sleep(IDLE / 4).await;
        let left = WARM.with_borrow_mut(|warm| {
            warm.kept.retain(|_, kept| {
                kept.retain(|(since, link)| since.elapsed() < link.idle);
                !kept.is_empty()
            });
            warm.swept = !warm.kept.is_empty();
            warm.swept
        });
        if !left {
            return;
        }
    }
}

/// Sends a request over a connection that is warm, or a new one. `owner` tells apart who may share.
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
    // The forms of a request to a server and to a proxy (RFC 9112 section 3.2).
    match dialer.proxy_of(&uri) {
        None => {
            let path = uri.path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
        Some(proxy) => {
            *request.uri_mut() = uri.clone();
            if let Some(shown) = proxy.basic_auth() {
                request.headers_mut().insert(PROXY_AUTHORIZATION, shown.clone());
            }
        }
    }
    let home = Home { owner, authority };
    let mut link = match Warm::take(&home) {
        Some(link) => link,
        None => Box::pin(connect(dialer, uri)).await?,
    };
    let response = link.sender.send_request(request);
    tokio::pin!(response);
    let response = poll_fn(|context| {
        // The answer may be the last that the connection did.
        let _ = link.drive(context);
        response.as_mut().poll(context)
    });
    let (head, body) = response.await?.into_parts();
    link.idle = kept_for(&head.headers).map_or(IDLE, |told| told.min(IDLE));
    Ok(Response::from_parts(head, Driven { body, link: Some((home, link)) }))
}

/// How long a server keeps a connection that nobody uses, less a second for the way, where it says so
/// (`Keep-Alive: timeout=5`, RFC 2068 section 19.7.1.1).
fn kept_for(headers: &HeaderMap) -> Option<Duration> {
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

/// A body that drives its connection, and gives it back at its end.
#[derive(Debug)]
pub struct Driven {
    body: Incoming,
    link: Option<(Home, Link)>,
}

impl Driven {
    fn give_back(&mut self) {
        if let Some((home, mut link)) = self.link.take()
            && link.is_idle()
        {
            Warm::keep(home, link);
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
        // What the body asks of the connection is at hand at the second look, if it is at all.
        for _ in 0..2 {
            if let Some((_, link)) = &mut this.link
                && !link.drive(context)
            {
                this.link = None;
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => {}
                Poll::Ready(None) => {
                    this.give_back();
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
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_given_up_before_the_server_does() {
        for (said, kept) in [
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
            assert_eq!(kept_for(&headers), kept.map(Duration::from_secs), "{said:?}");
        }
    }
}
