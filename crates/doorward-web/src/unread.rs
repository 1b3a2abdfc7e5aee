//! Responses that clients have not read yet: they count to their caller until they are written, so that clients cannot
//! fill the gateway's memory by not reading.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Id, RpcError, message, sse};
use futures_util::Stream;
use http::{Response, StatusCode};

use crate::body::Body;
use crate::response::{ask_to_come_back, error_response};
use doorward_core::share::{Bounds, Counter, Full, Held, Shares};
use doorward_core::{CallId, Failure};
use doorward_identity::identity::Principal;

/// What is no larger is not counted: most answers take no lock.
const SMALL: usize = 64 << 10;
/// How long an answer waits for the caller's others to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of answers that clients have not taken yet.
#[derive(Debug)]
pub struct Unread {
    shares: Arc<Shares>,
    /// Those that wait until there is room are bounded in the same way.
    waiting: Arc<Shares>,
}

impl Unread {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let (shares, waiting) = (Shares::new(bounds), Shares::new(bounds));
        Arc::new(Self { shares, waiting })
    }

    /// Counts to a caller what waits for them in the queues of their streams.
    pub fn counter(&self, caller: &Principal) -> Counter {
        Counter::new(self.shares.clone(), caller.id.clone())
    }

    /// A place for an answer of so many bytes, waited for while others of the caller's are read. One that is larger
    /// than the caller's share goes when there is no other. It is to be held until the answer is written.
    async fn take(self: Arc<Self>, caller: Arc<Principal>, bytes: usize) -> Result<Held, Full> {
        let (shares, principal) = (&self.shares, &caller.id);
        let bytes = shares.at_most_a_share(principal, bytes);
        if let Ok(held) = shares.take(principal, bytes) {
            return Ok(held);
        }
        let _waits = self.waiting.take(principal, bytes)?;
        match tokio::time::timeout(PATIENCE, shares.wait(principal, bytes)).await {
            Ok(held) => Ok(held),
            Err(_) => shares.take(principal, bytes),
        }
    }

    /// An answer to a caller's request, counted for as long as it waits; where there is no room for it, the client is
    /// told so instead.
    pub async fn count(
        self: &Arc<Self>,
        caller: Arc<Principal>,
        id: Option<Id>,
        response: Response<Body>,
    ) -> Response<Body> {
        let (head, body) = response.into_parts();
        let body = match body {
            Body::Full(Some(text), _) if text.len() > SMALL => {
                match self.clone().take(caller, text.len()).await {
                    Ok(counted) => Body::Full(Some(text), Some(counted)),
                    Err(full) => return refused(full, id.as_ref()),
                }
            }
            Body::Stream(stream) => Body::stream(self.counting(caller, id, stream)),
            Body::Endless(Some(stream)) => Body::endless(self.counting(caller, id, stream)),
            other => other,
        };
        Response::from_parts(head, body)
    }

    fn counting(
        self: &Arc<Self>,
        caller: Arc<Principal>,
        id: Option<Id>,
        stream: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    ) -> Counting {
        let unread = self.clone();
        Counting { stream, unread, caller, id, counted: None, waits: None, is_over: false }
    }
}

fn error(full: Full) -> (StatusCode, RpcError) {
    let (status, whose) = match full {
        Full::Share => (StatusCode::TOO_MANY_REQUESTS, "you have"),
        Full::Whole => (StatusCode::SERVICE_UNAVAILABLE, "all callers together have"),
    };
    let message = format!(
        "The response was dropped: {whose} too many unread responses ('limits.unread_bytes', \
            'limits.caller_share')"
    );
    let Failure { kind, message, retryable, .. } = Failure::new(Kind::Overloaded, message);
    (status, RpcError::gateway(kind, &message, "", retryable, &CallId::next().to_string()))
}

fn refused(full: Full, id: Option<&Id>) -> Response<Body> {
    let (status, error) = error(full);
    let mut response = error_response(status, id, &error);
    ask_to_come_back(&mut response);
    response
}

/// A stream, each event of which counts until the next one is wanted. Where one does not fit, it ends: with an error,
/// if it is the answer to a request.
struct Counting {
    stream: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    unread: Arc<Unread>,
    caller: Arc<Principal>,
    id: Option<Id>,
    counted: Option<Held>,
    waits: Option<(Bytes, Taking)>,
    is_over: bool,
}

type Taking = Pin<Box<dyn Future<Output = Result<Held, Full>> + Send>>;

impl Stream for Counting {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        // What was given before is written.
        this.counted = None;
        if this.is_over {
            return Poll::Ready(None);
        }
        if this.waits.is_none() {
            match ready!(this.stream.as_mut().poll_next(context)) {
                Some(text) if text.len() > SMALL => {
                    let taking = this.unread.clone().take(this.caller.clone(), text.len());
                    this.waits = Some((text, Box::pin(taking)));
                }
                other => return Poll::Ready(other),
            }
        }
        let Some((_, taking)) = &mut this.waits else { return Poll::Ready(None) };
        let taken = ready!(taking.as_mut().poll(context));
        let text = this.waits.take().map(|(text, _)| text);
        match taken {
            Ok(counted) => {
                this.counted = Some(counted);
                Poll::Ready(text)
            }
            Err(full) => {
                this.is_over = true;
                let last =
                    this.id.take().map(|id| message::error_response(Some(&id), &error(full).1));
                Poll::Ready(last.map(|last| sse::encode(&last, None)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_identity::identity::Grant;
    use futures_util::StreamExt;

    const LARGE: usize = 1 << 20;

    fn unread() -> Arc<Unread> {
        Unread::new(Bounds { whole: 8 * LARGE, share: 2 * LARGE })
    }

    fn user(name: &str) -> Arc<Principal> {
        let local = Principal::local();
        let who = doorward_policy::Principal { id: name.into(), tenant: None, ..local.who.clone() };
        Principal::new(who, None, Vec::new(), Grant::Certificate)
    }

    fn answer(bytes: usize) -> Response<Body> {
        Response::new(Body::full(vec![b'x'; bytes].into()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_bounded_for_each_caller() {
        let unread = unread();
        let count = async |who: &str, bytes| {
            unread.count(user(who), Some(Id::Number(7)), answer(bytes)).await
        };
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(count("mallory", LARGE).await);
        }
        let refused = count("mallory", LARGE).await;
        assert_eq!(refused.status(), 429);
        let told = String::from_utf8(refused.into_body().into_bytes().to_vec()).unwrap();
        assert!(told.contains("limits.unread_bytes") && told.contains("\"id\":7"), "{told}");
        assert_eq!(count("mallory", SMALL).await.status(), 200, "what is small is not counted");
        assert_eq!(count("alice", LARGE).await.status(), 200, "others have a share of their own");
        // A response larger than the share is allowed if it is the only one.
        assert_eq!(count("alice", 5 * LARGE).await.status(), 200);
        // Once the client reads, its next response can continue.
        let next = tokio::spawn({
            let unread = unread.clone();
            async move { unread.count(user("mallory"), None, answer(LARGE)).await.status() }
        });
        tokio::task::yield_now().await;
        drop(held.pop());
        assert_eq!(next.await.unwrap(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_what_a_stream_of_the_callers_still_has() {
        let (unread, mallory) = (unread(), user("mallory"));
        let queued = unread.counter(&mallory).take(2 * LARGE).await;
        let waits = tokio::spawn({
            let (unread, mallory) = (unread.clone(), mallory.clone());
            async move { unread.count(mallory, None, answer(LARGE)).await.status() }
        });
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        drop(queued);
        assert_eq!((waits.await.unwrap(), began.elapsed()), (StatusCode::OK, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_counts_what_it_has_on_its_way() {
        let unread = unread();
        let events =
            || Box::pin(futures_util::stream::iter(vec![Bytes::from(vec![b'x'; 2 * LARGE]); 3]));
        let mut first = unread.counting(user("mallory"), Some(Id::Number(1)), events());
        let mut second = unread.counting(user("mallory"), Some(Id::Number(2)), events());
        for _ in 0..2 {
            assert_eq!(first.next().await.unwrap().len(), 2 * LARGE);
        }
        let told = second.next().await.unwrap();
        let told = std::str::from_utf8(&told).unwrap();
        assert!(told.contains("limits.unread_bytes") && told.contains("\"id\":2"), "{told}");
        assert!(second.next().await.is_none());
        drop(first);
        let mut third = unread.counting(user("mallory"), None, events());
        assert_eq!(third.by_ref().count().await, 3);
    }
}
