//! A response as an event stream: the events of a call, then its result, with keep-alives in between, so that no proxy
//! closes the connection as idle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::sse;
use futures_util::Stream;
use http::Response;
use tokio::time::Sleep;

use super::accept::Form;
use super::{Body, events};
use doorward_core::byte_queue;

/// What a call's stream ends with.
pub enum Ending {
    /// Its last message.
    Message(Bytes),
    /// Frames of a stream that goes on: the call was `subscriptions/listen`.
    Frames(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl From<Bytes> for Ending {
    fn from(message: Bytes) -> Self {
        Self::Message(message)
    }
}

/// A call on its way to its end.
type Run = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// What a client hears first of a call.
pub enum First<T> {
    /// The answer, before anything else.
    Answer(T),
    /// An event of the call's run.
    Event(Bytes),
    /// Nothing for so long that a stream begins all the same.
    Silence,
}

/// Waits for what comes first. For a client that takes no stream that is the answer: what the call
/// tells meanwhile is dropped.
pub async fn first<T>(
    run: &mut (impl Future<Output = T> + Unpin),
    receiver: &mut byte_queue::Receiver<Bytes>,
    form: Form,
    stream_after: Duration,
) -> First<T> {
    if !form.may_stream() {
        loop {
            tokio::select! {
                biased;
                answer = &mut *run => return First::Answer(answer),
                Some(_) = receiver.recv() => {}
            }
        }
    }
    tokio::select! {
        biased;
        Some(event) = receiver.recv() => First::Event(event),
        answer = run => First::Answer(answer),
        () = tokio::time::sleep(stream_after) => First::Silence,
    }
}

/// A comment now and then, so that nobody takes a silent stream for a dead one.
pub struct KeepAlive {
    period: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl KeepAlive {
    pub fn new(period: Duration) -> Self {
        Self { period, sleep: Box::pin(tokio::time::sleep(period)) }
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        if self.sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let next = tokio::time::Instant::now() + self.period;
        self.sleep.as_mut().reset(next);
        // The new period must be waited for, too.
        let _ = self.sleep.as_mut().poll(context);
        Poll::Ready(sse::KEEP_ALIVE)
    }
}

/// The events of a call, then its answer. Dropping it, because the client is gone, ends the call.
pub struct CallStream {
    /// A frame, as it is written.
    first: Option<Bytes>,
    run: Option<Run>,
    receiver: byte_queue::Receiver<Bytes>,
    keep_alive: KeepAlive,
    ending: Option<Ending>,
    frame: Frame,
}

/// How an event is written.
type Frame = fn(&[u8]) -> Bytes;

fn message(event: &[u8]) -> Bytes {
    sse::encode(event, None)
}

impl CallStream {
    /// Begins with an event, or with a sign of life.
    pub fn new(
        event: Option<Bytes>,
        run: impl Future<Output = Ending> + Send + 'static,
        receiver: byte_queue::Receiver<Bytes>,
        keep_alive: Duration,
    ) -> Self {
        Self::framed(event, run, receiver, keep_alive, message)
    }

    /// The same with another form of events.
    pub fn framed(
        event: Option<Bytes>,
        run: impl Future<Output = Ending> + Send + 'static,
        receiver: byte_queue::Receiver<Bytes>,
        keep_alive: Duration,
        frame: Frame,
    ) -> Self {
        let first = event.map_or(sse::KEEP_ALIVE, |event| frame(&event));
        let (run, keep_alive) = (Some(Box::pin(run) as Run), KeepAlive::new(keep_alive));
        Self { first: Some(first), run, receiver, keep_alive, ending: None, frame }
    }

    /// A call that told something and has ended: what it told comes first.
    pub fn ended(
        event: &Bytes,
        ending: Ending,
        receiver: byte_queue::Receiver<Bytes>,
        keep_alive: Duration,
    ) -> Self {
        let (first, keep_alive) = (Some(sse::encode(event, None)), KeepAlive::new(keep_alive));
        Self { first, run: None, receiver, keep_alive, ending: Some(ending), frame: message }
    }

    pub fn response(self) -> Response<Body> {
        events(Body::stream(self))
    }
}

impl Stream for CallStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(Some(event)) = this.receiver.poll_recv(context) {
            return Poll::Ready(Some((this.frame)(&event)));
        }
        if let Some(run) = &mut this.run
            && let Poll::Ready(ending) = run.as_mut().poll(context)
        {
            this.run = None;
            this.ending = Some(ending);
        }
        if this.run.is_none() {
            // What it told last comes before its answer. Asked without waiting, for a task that has
            // done much already is told to wait though there is something at hand (tokio's coop).
            if let Ok(event) = this.receiver.try_recv() {
                return Poll::Ready(Some((this.frame)(&event)));
            }
            return match &mut this.ending {
                Some(Ending::Frames(frames)) => frames.as_mut().poll_next(context),
                Some(Ending::Message(message)) => {
                    let frame = (this.frame)(message);
                    this.ending = None;
                    Poll::Ready(Some(frame))
                }
                None => Poll::Ready(None),
            };
        }
        // The run may just have told something.
        if let Poll::Ready(Some(event)) = this.receiver.poll_recv(context) {
            return Poll::Ready(Some((this.frame)(&event)));
        }
        this.keep_alive.poll(context).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    /// More than the cooperative budget that Tokio gives a task.
    const MANY: usize = 500;
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_answer_comes_after_all_that_was_told() {
        let (sender, receiver) = byte_queue::channel(MANY);
        for number in 1..MANY {
            sender.try_send(Bytes::from(number.to_string()), 1).unwrap();
        }
        let run = async { Bytes::from_static(b"answer").into() };
        let stream = CallStream::new(Some(Bytes::from_static(b"0")), run, receiver, MINUTE);
        let told: Vec<Bytes> = stream.collect().await;
        let numbers: Vec<Bytes> =
            (0..MANY).map(|n| Bytes::from(format!("data: {n}\n\n"))).collect();
        assert_eq!(told[..MANY], numbers[..]);
        assert_eq!(told[MANY..], [Bytes::from_static(b"data: answer\n\n")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_may_go_on_as_a_stream() {
        let (_sender, receiver) = byte_queue::channel(1);
        let run = async {
            tokio::time::sleep(MINUTE).await;
            let frames = ["data: a\n\n", "data: b\n\n"].map(Bytes::from);
            Ending::Frames(Box::pin(futures_util::stream::iter(frames)))
        };
        let stream = CallStream::new(None, run, receiver, MINUTE.saturating_mul(2));
        let frames: Vec<Bytes> = stream.collect().await;
        assert_eq!(frames, [sse::KEEP_ALIVE, "data: a\n\n".into(), "data: b\n\n".into()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_call_becomes_a_stream_where_the_client_takes_one() {
        let (_sender, mut receiver) = byte_queue::channel(1);
        let slow = || Box::pin(tokio::time::sleep(MINUTE));
        let stream_after = Duration::from_secs(10);
        for (form, streamed) in [(Form::Either, true), (Form::Stream, true), (Form::Json, false)] {
            let first = first(&mut slow(), &mut receiver, form, stream_after).await;
            assert_eq!(matches!(first, First::Silence), streamed, "{form:?}");
        }
    }

    #[tokio::test]
    async fn what_a_call_tells_is_dropped_where_there_is_no_stream() {
        let (sender, mut receiver) = byte_queue::channel(1);
        let mut run = Box::pin(async move {
            for number in 0..MANY {
                sender.send(Bytes::from(number.to_string()), 1).await.unwrap();
            }
        });
        let first = first(&mut run, &mut receiver, Form::Json, MINUTE).await;
        assert!(matches!(first, First::Answer(())));
    }
}
