//! Bodies in both directions: a client's body is read within limits of size and time; the gateway's is one text or a
//! stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorward_mcp::RpcError;
use futures_util::Stream;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::sync::WaitForCancellationFutureOwned;

use doorward_core::share::Held;

use doorward_core::collect::Gathered;
use doorward_identity::identity::Lease;
use doorward_net::listener::{Answering, Endless};
use doorward_upstream::Shared;

/// The body of an answer.
pub enum Body {
    /// One text, and what it counts to until it is written.
    Full(Option<Bytes>, Option<Held>),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
    /// A stream without an end in sight; `None` once it was taken out.
    Endless(Option<Endless>),
}

impl Body {
    pub fn empty() -> Self {
        Self::Full(None, None)
    }

    pub fn full(text: Bytes) -> Self {
        Self::Full(Some(text), None)
    }

    pub fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::Stream(Box::pin(stream))
    }

    /// What is there of it already.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Full(text, _) => text.unwrap_or_default(),
            Self::Stream(_) | Self::Endless(_) => Bytes::new(),
        }
    }

    /// For streams that are silent most of the time.
    pub fn endless(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::Endless(Some(Box::pin(stream)))
    }
}

impl Body {
    /// The same, ended as soon as what its caller showed is not good any more.
    pub fn leased(self, lease: &Arc<Lease>) -> Self {
        let leased = |stream| Leased {
            stream,
            over: Box::pin(lease.token().clone().cancelled_owned()),
            _lease: lease.clone(),
        };
        match self {
            Self::Full(text, counted) => Self::Full(text, counted),
            Self::Stream(stream) => Self::stream(leased(stream)),
            Self::Endless(Some(stream)) => Self::endless(leased(stream)),
            Self::Endless(None) => Self::Endless(None),
        }
    }
}

/// A stream that ends with its caller's lease.
struct Leased {
    stream: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// As long as it is held, it is known and ended in time.
    _lease: Arc<Lease>,
}

impl Stream for Leased {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        self.stream.as_mut().poll_next(context)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Full(text, _) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Stream(stream) | Self::Endless(Some(stream)) => stream
                .as_mut()
                .poll_next(context)
                .map(|item| item.map(|text| Ok(Frame::data(text)))),
            Self::Endless(None) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None, _))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(text, _) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) | Self::Endless(_) => SizeHint::default(),
        }
    }
}

impl Answering for Body {
    fn take_endless(&mut self) -> Option<Endless> {
        match self {
            Self::Endless(stream) => stream.take(),
            Self::Full(..) | Self::Stream(_) => None,
        }
    }
}

/// Reads a request's body. One that came in one piece is not copied.
pub async fn read(body: Incoming, shared: &Shared) -> Result<Bytes, (StatusCode, RpcError)> {
    let read = read_within(body, shared, shared.limits.body.0).await;
    read.map_err(|(status, why)| (status, RpcError::invalid_request(why)))
}

/// The same with a limit of one's own, in bytes.
pub async fn read_within(
    mut body: Incoming,
    shared: &Shared,
    limit: usize,
) -> Result<Bytes, (StatusCode, String)> {
    let too_large = || {
        let why = format!("The body is larger than the limit of {limit} bytes");
        (StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    if http_body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(too_large());
    }
    let reading = async {
        let mut gathered = Gathered::expecting(http_body::Body::size_hint(&body).lower());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                (StatusCode::BAD_REQUEST, "The body is incomplete or invalid".to_owned())
            })?;
            let Ok(data) = frame.into_data() else { continue };
            gathered.add(data, limit).map_err(|_| too_large())?;
        }
        Ok(gathered.take())
    };
    tokio::time::timeout(shared.timeouts.body.0, reading).await.unwrap_or_else(|_| {
        Err((StatusCode::REQUEST_TIMEOUT, "The body was not received in time".to_owned()))
    })
}
