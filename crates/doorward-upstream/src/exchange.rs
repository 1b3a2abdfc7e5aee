//! One request to a server in progress: its messages, its deadline, and its cancellation.

use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::{Id, Message, Object, RpcError, Value, message, method};
use tokio::time::Instant;

use super::session::Session;
pub use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};
use doorward_transport::answer::Answer;
use doorward_transport::calls::Place;
use doorward_transport::pipe::Pipe;

/// Delay before a broken stream is resumed if the server names none, and the bounds of the delay that
/// it may name.
const UNASKED: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(30);
/// Maximum number of responses with other ids in one exchange.
const MOST_STRAYS: usize = 1000;
/// Time that a response waits for log messages that it may have overtaken.
const LAG: Duration = Duration::from_millis(25);

/// A request in flight. Dropping it cancels it at the server.
#[derive(Debug)]
pub struct Exchange {
    id: i64,
    source: Source,
    answered: bool,
    skipped: Skipped,
    /// Notified when the server closes the stream temporarily.
    watcher: Option<Events>,
}

#[derive(Debug)]
enum Source {
    /// Modern HTTP: the response body is the whole exchange, and dropping it cancels the request.
    Own(Box<Answer>),
    /// A channel shared with other calls.
    Shared { pipe: Arc<Pipe>, place: Place },
    /// Handshake-era HTTP if all messages arrive on the session's listening stream.
    Elsewhere { session: Arc<Session>, place: Place },
    /// Handshake-era HTTP: a dedicated stream, and this request's messages on the session's listening stream.
    Session {
        session: Arc<Session>,
        answer: Box<Answer>,
        place: Place,
        /// The response while messages that it may have overtaken are awaited, and the deadline for them.
        held: Option<(Box<Message>, Instant)>,
    },
}

/// Responses in an exchange that do not match its request.
#[derive(Debug, Default)]
struct Skipped {
    count: usize,
    /// The first response with another id.
    stray: Option<Failure>,
    /// The first error without an id: taken as the response if no other arrives.
    nameless: Option<RpcError>,
}

impl Exchange {
    fn new(id: i64, source: Source) -> Self {
        Self { id, source, answered: false, skipped: Skipped::default(), watcher: None }
    }

    pub fn own(id: i64, answer: Answer) -> Self {
        Self::new(id, Source::Own(Box::new(answer.to(id))))
    }

    pub fn shared(pipe: Arc<Pipe>, place: Place) -> Self {
        Self::new(place.id, Source::Shared { pipe, place })
    }

    pub fn session(session: Arc<Session>, answer: Answer, place: Place) -> Self {
        let id = place.id;
        let answer = Box::new(answer.to(id));
        Self::new(id, Source::Session { session, answer, place, held: None })
    }

    pub fn elsewhere(session: Arc<Session>, place: Place) -> Self {
        Self::new(place.id, Source::Elsewhere { session, place })
    }

    /// Notifies a client's stream when the server closes its stream temporarily.
    pub fn tell_pauses(&mut self, events: &Events) {
        self.watcher = Some(events.clone());
    }

    /// The next message of this exchange: notifications and requests as they arrive, and finally the response.
    /// Cancel-safe.
    pub async fn next(&mut self, deadline: &Deadline) -> Result<Message, Failure> {
        loop {
            let received = tokio::time::timeout_at(deadline.at(), self.receive()).await;
            let message = match received.unwrap_or_else(|_| Err(deadline.passed())) {
                Ok(message) => message,
                Err(failure) => return self.end(failure),
            };
            match &message {
                Message::Response { id, .. } | Message::Error { id: Some(id), .. }
                    if *id == Id::Number(self.id) =>
                {
                    self.answered = true;
                }
                Message::Response { id, .. } | Message::Error { id: Some(id), .. } => {
                    self.skipped.stray.get_or_insert_with(|| {
                        let message = "The server responded to an unknown request";
                        Failure::new(Kind::WrongId, message)
                            .because(format!("sent {}, received {id}", self.id))
                    });
                    self.skip()?;
                    continue;
                }
                Message::Error { id: None, error } => {
                    self.skipped.nameless.get_or_insert_with(|| error.clone());
                    self.skip()?;
                    continue;
                }
                Message::Request { .. } | Message::Notification { .. } => {}
            }
            return Ok(message);
        }
    }

    /// Counts responses with other ids.
    fn skip(&mut self) -> Result<(), Failure> {
        self.skipped.count += 1;
        if self.skipped.count <= MOST_STRAYS {
            return Ok(());
        }
        let message = "The server keeps responding to unknown requests";
        Err(self.skipped.stray.take().unwrap_or_else(|| Failure::new(Kind::WrongId, message)))
    }

    /// The stream has ended: a skipped response may explain why.
    fn end(&mut self, failure: Failure) -> Result<Message, Failure> {
        let is_over = failure.kind == Kind::StreamEnded;
        match self.skipped.nameless.take() {
            Some(error) if is_over || failure.kind == Kind::Timeout => {
                self.answered = true;
                Ok(Message::Error { id: None, error })
            }
            _ if is_over => Err(self.skipped.stray.take().unwrap_or(failure)),
            _ => Err(failure),
        }
    }

    async fn receive(&mut self) -> Result<Message, Failure> {
        let ended =
            || Failure::new(Kind::StreamEnded, "The server's stream ended before it answered");
        match &mut self.source {
            Source::Own(answer) => match answer.next().await? {
                Some(message) => Ok(message),
                None => Err(answer.unread.take().unwrap_or_else(ended)),
            },
            Source::Shared { pipe, place } => match place.inbox.recv().await {
                Some(message) => Ok(message),
                None => Err(place.cut_off().unwrap_or_else(|| pipe.failure())),
            },
            Source::Elsewhere { session, place } => tokio::select! {
                biased;
                Some(message) = place.inbox.recv() => Ok(message),
                () = session.hears_no_more() => Err(place.cut_off().unwrap_or_else(|| {
                    let message = "The server accepted the request and sent no answer";
                    Failure::new(Kind::StreamEnded, message)
                        .because("HTTP 202, and no stream to listen on")
                })),
            },
            Source::Session { session, answer, place, held } => loop {
                if let Some((_, until)) = held {
                    let late = tokio::time::timeout_at(*until, place.inbox.recv()).await;
                    if let Ok(Some(message)) = late {
                        return Ok(message);
                    }
                }
                if let Some((answer, _)) = held.take() {
                    return Ok(*answer);
                }
                tokio::select! {
                    biased;
                    Some(message) = place.inbox.recv() => return Ok(message),
                    message = answer.next() => match message.inspect_err(|failure| session.doubted_by(failure))? {
                        Some(message @ (Message::Response { .. } | Message::Error { .. }))
                            if place.may_lag() =>
                        {
                            *held = Some((Box::new(message), Instant::now() + LAG));
                        }
                        Some(message) => {
                            if matches!(&message, Message::Notification { method, .. }
                                if **method == *method::LOG)
                            {
                                place.logged();
                            }
                            return Ok(message);
                        }
                        // The stream cannot be resumed.
                        None if answer.last_event_id.is_none() => {
                            let unread = answer.unread.take();
                            return Err(place.cut_off().or(unread).unwrap_or_else(ended));
                        }
                        None if let Some(failure) = place.cut_off() => return Err(failure),
                        None => {
                            let retry = answer.retry_ms.map(Duration::from_millis);
                            let pause = retry.unwrap_or(UNASKED).clamp(SHORTEST, LONGEST);
                            match &self.watcher {
                                Some(events) if retry.is_some() => events.pause(pause).await,
                                _ => tokio::time::sleep(pause).await,
                            }
                            **answer = session.resume(answer).await?.ok_or_else(ended)?;
                        }
                    },
                }
            },
        }
    }

    /// Answers a request that the server made in this exchange.
    pub async fn respond(
        &self,
        id: &Id,
        answer: Result<Object, doorward_mcp::RpcError>,
    ) -> Result<(), Failure> {
        let text = match answer {
            Ok(result) => message::response(id, &result),
            Err(error) => message::error_response(Some(id), &error),
        };
        match &self.source {
            Source::Own(_) => Err(Failure::new(
                Kind::InvalidMessage,
                "The server sent a request, which its revision does not allow",
            )),
            Source::Shared { pipe, .. } => pipe.send(text).await,
            Source::Session { session, .. } | Source::Elsewhere { session, .. } => {
                session.post_one_way(text).await
            }
        }
    }
}

/// The notification that a request is cancelled.
pub(crate) fn cancellation(id: i64) -> bytes::Bytes {
    let mut params = Object::new();
    params.set("requestId", Value::number(id));
    params.set("reason", "The client is no longer waiting");
    message::notification(method::CANCELLED, &params)
}

impl Drop for Exchange {
    /// Cancels the request at the server. On modern HTTP the closed connection does so
    /// (spec 2026-07-28 basic/patterns/cancellation).
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let text = cancellation(self.id);
        match &self.source {
            Source::Own(_) => {}
            Source::Shared { pipe, .. } => pipe.try_send(text),
            Source::Session { session, .. } | Source::Elsewhere { session, .. } => {
                session.clone().post_in_background(text);
            }
        }
    }
}
