//! Resumable streams of a session: every event has an id, and a bounded number of recent events is stored (spec
//! 2025-11-25 basic/transports, resumability).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::sse;
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use doorward_core::byte_queue;
use doorward_core::share::{Held, Shares};

/// How long a client that lost its connection shall wait before it comes back.
const RETRY_MS: u64 = 1_000;
/// Bytes of events kept per stream, beside the bound in number.
const KEPT_BYTES: usize = 4 << 20;
/// How long a stream is kept that has ended.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// One stream towards a client, connected or not.
#[derive(Debug)]
pub struct OutStream {
    pub id: u64,
    keep: usize,
    queue: usize,
    /// How long a connected client may take nothing.
    patience: Duration,
    numbered: bool,
    /// Of what all may keep, and for whom.
    budget: Budget,
    state: Mutex<State>,
    returned: Notify,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    kept: VecDeque<(u64, Bytes, Held)>,
    kept_bytes: usize,
    live: Option<byte_queue::Sender<Bytes>>,
    ended_at: Option<Instant>,
}

/// What events that are kept count to.
#[derive(Debug, Clone)]
pub struct Budget {
    pub shares: Arc<Shares>,
    pub principal: Arc<str>,
}

/// The client missed more than was kept.
#[derive(Debug, Clone, Copy)]
pub struct Gap;

impl OutStream {
    /// `numbered`: events carry ids and are kept. HTTP+SSE has neither.
    pub fn new(
        id: u64,
        keep: usize,
        queue: usize,
        patience: Duration,
        numbered: bool,
        budget: Budget,
    ) -> Self {
        Self {
            id,
            keep,
            queue,
            patience,
            numbered,
            budget,
            state: Mutex::default(),
            returned: Notify::new(),
        }
    }

    pub fn is_numbered(&self) -> bool {
        self.numbered
    }

    fn event_id(&self, number: u64) -> String {
        format!("{:x}-{number:x}", self.id)
    }

    /// Splits an event's id into stream and number.
    pub fn parse_id(text: &str) -> Option<(u64, u64)> {
        let (stream, number) = text.split_once('-')?;
        Some((u64::from_str_radix(stream, 16).ok()?, u64::from_str_radix(number, 16).ok()?))
    }

    /// Sends a message: kept for those who come back, and handed to the connected client with its
    /// back-pressure. A client that takes nothing for too long loses its connection, not the event.
    pub async fn push(&self, text: &[u8]) {
        let (frame, live) = {
            let mut state = self.state.lock();
            if state.ended_at.is_some() {
                return;
            }
            state.last += 1;
            let id = self.numbered.then(|| self.event_id(state.last));
            let frame = sse::encode(text, id.as_deref());
            if self.numbered {
                state.keep(frame.clone(), self.keep, &self.budget);
            }
            (frame, state.live.clone())
        };
        let Some(live) = live else { return };
        let bytes = frame.len();
        if live.send_timeout(frame, bytes, self.patience).await.is_err() {
            let mut state = self.state.lock();
            if state.live.as_ref().is_some_and(|current| current.same_channel(&live)) {
                state.live = None;
            }
        }
    }

    /// Sends the connected client away, to come back after a while; its events are kept meanwhile.
    pub async fn pause(&self, retry: Duration) {
        let live = self.state.lock().live.take();
        if let Some(live) = live {
            let retry = sse::encode_retry(retry.as_millis() as u64);
            let bytes = retry.len();
            let _ = live.send_timeout(retry, bytes, self.patience).await;
        }
    }

    /// A client has taken up the stream again.
    pub async fn returned(&self) {
        self.returned.notified().await;
    }

    /// No event will follow; the connected client is told by the end of its stream.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.ended_at.get_or_insert_with(Instant::now);
        state.live = None;
    }

    /// Bytes of events that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.state.lock().kept_bytes
    }

    /// Whether it ended so long ago that nobody comes back for it any more.
    pub fn is_forgotten(&self) -> bool {
        self.state.lock().ended_at.is_some_and(|ended| ended.elapsed() > REMEMBERED)
    }

    /// Ends the connection, not the stream: the client comes back.
    pub fn hang_up(&self) {
        self.state.lock().live = None;
    }

    pub fn is_ended(&self) -> bool {
        self.state.lock().ended_at.is_some()
    }

    pub fn is_connected(&self) -> bool {
        self.state.lock().live.as_ref().is_some_and(|live| !live.is_closed())
    }

    /// Connects a client: what it missed after event `after`, then what comes. An earlier
    /// connection of the same stream ends. With `prime` the first event only carries an id.
    pub fn connect(
        &self,
        after: Option<u64>,
        prime: bool,
        keep_alive: Duration,
    ) -> Result<Connection, Gap> {
        let mut state = self.state.lock();
        let mut first = VecDeque::new();
        match after {
            None => {
                if prime && self.numbered {
                    let id = self.event_id(state.last);
                    first.push_back(sse::encode_priming(&id, RETRY_MS));
                }
            }
            Some(after) => {
                let oldest = state.kept.front().map_or(state.last + 1, |(number, ..)| *number);
                if after > state.last || after + 1 < oldest {
                    return Err(Gap);
                }
                let missed = state.kept.iter().filter(|(number, ..)| *number > after);
                first.extend(missed.map(|(_, frame, _)| frame.clone()));
                self.returned.notify_one();
            }
        }
        let (sender, receiver) = byte_queue::channel(self.queue.clamp(1, 64));
        if state.ended_at.is_none() {
            state.live = Some(sender);
        }
        Ok(Connection {
            first,
            receiver,
            keep_alive,
            sleep: Box::pin(tokio::time::sleep(keep_alive)),
        })
    }
}

impl State {
    /// Keeps an event in the place of the oldest, where there is no more room; what there is no room for at all, the
    /// client is told that it has missed.
    fn keep(&mut self, frame: Bytes, limit: usize, budget: &Budget) {
        while self.kept.len() >= limit.max(1)
            || (self.kept_bytes + frame.len() > KEPT_BYTES && !self.kept.is_empty())
        {
            self.drop_oldest();
        }
        loop {
            match budget.shares.take(&budget.principal, frame.len()) {
                Ok(held) => {
                    self.kept_bytes += frame.len();
                    self.kept.push_back((self.last, frame, held));
                    return;
                }
                Err(_) if self.kept.is_empty() => return,
                Err(_) => self.drop_oldest(),
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, dropped, _)) = self.kept.pop_front() {
            self.kept_bytes -= dropped.len();
        }
    }
}

/// A client's connection to a stream: the body of its answer.
pub struct Connection {
    first: VecDeque<Bytes>,
    receiver: byte_queue::Receiver<Bytes>,
    keep_alive: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Connection {
    /// Puts an event before all others.
    pub fn begin_with(&mut self, frame: Bytes) {
        self.first.push_front(frame);
    }
}

impl Stream for Connection {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if let Some(frame) = this.first.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if let Poll::Ready(frame) = this.receiver.poll_recv(context) {
            return Poll::Ready(frame);
        }
        if this.sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let next = tokio::time::Instant::now() + this.keep_alive;
        this.sleep.as_mut().reset(next);
        let _ = this.sleep.as_mut().poll(context);
        Poll::Ready(Some(sse::KEEP_ALIVE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    const MINUTE: Duration = Duration::from_secs(60);

    fn budget(bytes: usize) -> Budget {
        Budget {
            shares: Shares::new(doorward_core::share::Bounds::new(bytes, 1)),
            principal: "a".into(),
        }
    }

    fn stream(keep: usize) -> OutStream {
        OutStream::new(1, keep, 8, MINUTE, true, budget(1 << 20))
    }

    async fn all(mut connection: Connection) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = connection.next().await {
            frames.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        frames
    }

    #[tokio::test]
    async fn who_comes_back_gets_what_it_missed_once_and_in_order() {
        let stream = stream(10);
        let lost = stream.connect(None, false, MINUTE).unwrap();
        stream.push(b"{\"n\":1}").await;
        drop(lost);
        stream.push(b"{\"n\":2}").await;
        stream.push(b"{\"n\":3}").await;
        let back = stream.connect(Some(1), false, MINUTE).unwrap();
        stream.push(b"{\"n\":4}").await;
        stream.end();
        let frames = all(back).await;
        let numbers: Vec<_> = frames.iter().map(|frame| frame.contains("{\"n\":")).collect();
        assert_eq!(numbers.len(), 3);
        assert!(frames[0].starts_with("id: 1-2\n") && frames[2].contains("{\"n\":4}"));
    }

    #[tokio::test]
    async fn a_gap_is_said_and_not_papered_over() {
        let stream = stream(2);
        for _ in 0..5 {
            stream.push(b"{}").await;
        }
        assert!(stream.connect(Some(1), false, MINUTE).is_err());
        assert!(stream.connect(Some(9), false, MINUTE).is_err());
        assert!(stream.connect(Some(3), false, MINUTE).is_ok());
        assert!(stream.connect(Some(5), false, MINUTE).is_ok());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_in_bytes_for_all_streams_of_a_caller() {
        let budget = budget(1000);
        let streams = [1, 2, 3].map(|id| OutStream::new(id, 100, 8, MINUTE, true, budget.clone()));
        for stream in &streams {
            for _ in 0..10 {
                stream.push(&[b'x'; 200]).await;
            }
        }
        let kept: usize = streams.iter().map(OutStream::kept_bytes).sum();
        assert!(kept <= 1000 && kept > 500, "{kept}");
        // Dropped events leave a gap, and resuming there fails.
        assert!(streams[2].connect(Some(0), false, MINUTE).is_err());
        drop(streams);
        assert!(budget.shares.take("a", 1000).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_loses_its_connection_only() {
        let stream = OutStream::new(1, 100, 1, MINUTE, true, budget(1 << 20));
        let stuck = stream.connect(None, false, MINUTE).unwrap();
        stream.push(b"{}").await;
        stream.push(b"{}").await;
        assert!(!stream.is_connected());
        drop(stuck);
        assert!(stream.connect(Some(0), false, MINUTE).is_ok());
    }

    #[test]
    fn event_ids_name_their_stream() {
        let stream = OutStream::new(0xab, 1, 1, MINUTE, true, budget(1 << 20));
        assert_eq!(OutStream::parse_id(&stream.event_id(17)), Some((0xab, 17)));
        for rubbish in ["", "-", "x-1", "1", "1-"] {
            assert_eq!(OutStream::parse_id(rubbish), None);
        }
    }
}
