//! Response bodies until they are written, which makes unread data visible.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::places::Busy;

/// Maximum size of a piece passed to the library over HTTP/2. There, the library accepts any amount of data even
/// if the client's window is full. Over HTTP/1.1 it accepts nothing more until its buffer is written, and one
/// large write is cheaper than many small ones.
const PIECE: usize = 16 << 10;

/// A response body. The connection counts as busy until it is sent, or its stream has ended.
#[derive(Debug)]
pub struct Held<B> {
    body: B,
    /// The rest of a frame of the body.
    rest: Bytes,
    /// The library has received some of the body. It requests more once that is written.
    is_begun: bool,
    /// Only for HTTP/2: the body is passed on in pieces, and progress is recorded here.
    taken: Option<Arc<Taken>>,
    _busy: Busy,
}

/// The progress of a client in reading a response.
#[derive(Debug, Default)]
pub struct Taken {
    /// The time since which data has been waiting for the client; `None` if there is none.
    waits_since: Mutex<Option<Instant>>,
}

impl Taken {
    /// Returns when the client has read nothing for `patience` although data was available.
    pub async fn stuck(&self, patience: Duration) {
        loop {
            let since = *self.waits_since.lock();
            sleep_until(since.unwrap_or_else(Instant::now) + patience).await;
            if since.is_some() && *self.waits_since.lock() == since {
                return;
            }
        }
    }

    fn note(&self, has_more: bool) {
        *self.waits_since.lock() = has_more.then(Instant::now);
    }
}

impl<B> Held<B> {
    pub fn new(body: B, busy: Busy) -> Self {
        Self { body, rest: Bytes::new(), is_begun: false, taken: None, _busy: busy }
    }

    /// Passes the body on in pieces and records progress in `taken`.
    pub fn watched(self, taken: Arc<Taken>) -> Self {
        taken.note(true);
        Self { taken: Some(taken), ..self }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Held<B> {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let most = if self.taken.is_some() { PIECE } else { usize::MAX };
        let next = self.rest.split_to(self.rest.len().min(most));
        self.is_begun = true;
        Poll::Ready(Some(Ok(Frame::data(next))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = self.next(context);
        if let Some(taken) = &self.taken {
            taken.note(matches!(polled, Poll::Ready(Some(Ok(_)))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        // Over HTTP/1.1, a body that reports its end is dropped at once, even if most of it is not written yet.
        let is_unwritten = self.is_begun && self.taken.is_none();
        !is_unwritten && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower() + rest);
        if let Some(upper) = left.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::places::Places;
    use http_body_util::{BodyExt, Full};

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn held(bytes: usize) -> Held<Full<Bytes>> {
        let place = Places::new(1, 1).take([192, 0, 2, 1].into()).await.unwrap();
        Held::new(Full::new(vec![b'x'; bytes].into()), place.busy())
    }

    #[tokio::test]
    async fn a_body_is_sent_in_pieces_or_whole_and_retained_until_written() {
        for in_pieces in [true, false] {
            for bytes in [0, 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
                let mut body = held(bytes).await;
                if in_pieces {
                    body = body.watched(Arc::default());
                }
                let mut seen = 0;
                assert_eq!(body.size_hint().exact(), Some(bytes as u64));
                assert_eq!(body.is_end_stream(), bytes == 0);
                while let Some(frame) = body.frame().await {
                    let piece = frame.unwrap().into_data().unwrap().len();
                    assert!(if in_pieces { piece <= PIECE } else { piece == bytes });
                    seen += piece;
                    assert_eq!(body.size_hint().exact(), Some((bytes - seen) as u64));
                    assert_eq!(body.is_end_stream(), in_pieces && seen == bytes);
                }
                assert_eq!(seen, bytes);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_stuck_only_if_data_is_available() {
        let taken = Arc::<Taken>::default();
        let is_stuck =
            async || tokio::time::timeout(4 * PATIENCE, taken.stuck(PATIENCE)).await.is_ok();
        assert!(!is_stuck().await, "there is no response yet");
        let mut body = held(2 * PIECE).await.watched(taken.clone());
        assert!(is_stuck().await);
        body.frame().await.unwrap().unwrap();
        assert!(is_stuck().await, "there is another piece");
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().await.is_none());
        assert!(!is_stuck().await);
    }
}
