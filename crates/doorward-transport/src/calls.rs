//! Calls in flight on a shared channel, by the id of their request.
//!
//! Ids are the gateway's own, so two clients' ids never collide (attack T18); responses to unknown requests are counted
//! and dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::{Id, Message, Object, meta};
use parking_lot::Mutex;

use doorward_core::Failure;
use doorward_core::byte_queue::{self, NotNow};

/// How long the shared channel waits for one reader that is slow, before that reader is cut off.
const SLOW_READER_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub struct Calls {
    waiting: Mutex<HashMap<i64, Waiting>>,
    pub logs: LogPath,
}

/// Which way a server's log messages come: on the stream of the call that caused them, or beside it on
/// the channel that all calls share, where the call's answer may overtake them.
#[derive(Debug, Default)]
pub struct LogPath {
    /// The shared channel is open beside the calls' own streams.
    beside: AtomicBool,
    seen_own: AtomicBool,
    seen_beside: AtomicBool,
    /// Calls that were answered while nothing had been seen yet.
    unsure: AtomicUsize,
}

impl LogPath {
    /// How many calls are waited for, before a server is taken for one that logs nothing.
    const UNSURE: usize = 20;

    pub fn open_beside(&self, open: bool) {
        self.beside.store(open, Ordering::Relaxed);
    }

    /// A log message came on a call's own stream.
    pub fn came_own(&self) {
        self.seen_own.store(true, Ordering::Relaxed);
    }

    /// One came on the shared channel.
    fn came_beside(&self) {
        self.seen_beside.store(true, Ordering::Relaxed);
    }

    /// Whether log messages of a call that was just answered may still be on their way.
    fn may_lag(&self) -> bool {
        self.beside.load(Ordering::Relaxed)
            && (self.seen_beside.load(Ordering::Relaxed)
                || (!self.seen_own.load(Ordering::Relaxed)
                    && self.unsure.fetch_add(1, Ordering::Relaxed) < Self::UNSURE))
    }
}

#[derive(Debug)]
struct Waiting {
    inbox: byte_queue::Sender<Message>,
    takes: Takes,
    cut_off: Arc<OnceLock<Failure>>,
}

/// What a call takes beside its answer.
#[derive(Debug, Clone, Default)]
pub struct Takes {
    /// The call may be asked for input.
    pub interactive: bool,
    /// The call wants log messages.
    pub logs: bool,
    /// The call wants progress.
    pub progress: bool,
    /// Whose call it is; empty for the gateway's own, which tell nobody's secrets.
    pub owner: Box<str>,
    /// The server's id of the task whose result the call waits for: requests that name it are the
    /// call's.
    pub task: Option<Arc<str>>,
}

/// One call's place among those in flight; leaves it when dropped.
#[derive(Debug)]
pub struct Place {
    calls: Arc<Calls>,
    pub id: i64,
    pub inbox: byte_queue::Receiver<Message>,
    logs: bool,
    cut_off: Arc<OnceLock<Failure>>,
}

impl Place {
    /// Whether log messages that the call wants may come after its answer.
    pub fn may_lag(&self) -> bool {
        self.logs && self.calls.logs.may_lag()
    }

    /// A log message came on the call's own stream.
    pub fn logged(&self) {
        self.calls.logs.came_own();
    }

    /// Why the call alone was ended: its client reads too slowly, or its answer cannot be read.
    pub fn cut_off(&self) -> Option<Failure> {
        self.cut_off.get().cloned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.calls.waiting.lock().remove(&self.id);
    }
}

/// To whom a server's own request belongs.
#[derive(Debug, PartialEq, Eq)]
pub enum Attributed {
    To(i64),
    /// No call, or several calls, could have caused it.
    Unclear {
        candidates: usize,
    },
}

impl Calls {
    pub fn join(self: &Arc<Self>, id: i64, takes: Takes, queue: usize) -> Place {
        let (sender, inbox) = byte_queue::channel(queue);
        let cut_off = Arc::<OnceLock<Failure>>::default();
        let logs = takes.logs;
        let waiting = Waiting { inbox: sender, takes, cut_off: cut_off.clone() };
        self.waiting.lock().insert(id, waiting);
        Place { calls: self.clone(), id, inbox, logs, cut_off }
    }

    /// Ends every wait: the channel is gone.
    pub fn close(&self) {
        self.waiting.lock().clear();
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// The call that waits for the result of a task.
    pub fn of_task(&self, task: &str) -> Option<i64> {
        let waiting = self.waiting.lock();
        let mut calls = waiting.iter();
        calls.find(|(_, call)| call.takes.task.as_deref() == Some(task)).map(|(id, _)| *id)
    }

    /// The one call that a server's request can belong to.
    pub fn attribute(&self) -> Attributed {
        let waiting = self.waiting.lock();
        let mut candidates = waiting.iter().filter(|(_, call)| call.takes.interactive);
        match (candidates.next(), candidates.next()) {
            (Some((id, _)), None) => Attributed::To(*id),
            (None, _) => Attributed::Unclear { candidates: 0 },
            _ => Attributed::Unclear {
                candidates: waiting.values().filter(|call| call.takes.interactive).count(),
            },
        }
    }

    /// The calls that are told of a log message which names none, as on the shared channel: all that
    /// want any, for it may be any one's. None, if calls of several callers are in flight: none may
    /// learn what another's did (attack T18).
    pub fn log_readers(&self) -> Vec<i64> {
        self.logs.came_beside();
        let waiting = self.waiting.lock();
        let mut owners =
            waiting.values().map(|call| &call.takes.owner).filter(|owner| !owner.is_empty());
        let first = owners.next();
        if owners.any(|owner| Some(owner) != first) {
            return Vec::new();
        }
        waiting.iter().filter(|(_, call)| call.takes.logs).map(|(id, _)| *id).collect()
    }

    /// Hands a message to a call. Returns whether there is such a call.
    pub async fn deliver(&self, id: i64, message: Message) -> bool {
        let inbox = match self.waiting.lock().get(&id) {
            Some(call) => call.inbox.clone(),
            None => return false,
        };
        let bytes = message.size_hint();
        let message = match inbox.try_send(message, bytes) {
            Ok(()) => return true,
            Err(NotNow::Closed) => return false,
            Err(NotNow::Full(message)) => message,
        };
        if inbox.send_timeout(message, bytes, SLOW_READER_GRACE).await.is_err() {
            let message = "The client reads too slowly, and its queue is full";
            self.cut_off(id, Failure::new(Kind::SlowReader, message));
        }
        true
    }

    /// Ends one call, if it waits.
    pub fn cut_off(&self, id: i64, failure: Failure) {
        if let Some(call) = self.waiting.lock().remove(&id) {
            let _ = call.cut_off.set(failure);
        }
    }
}

/// The call that a progress notification names: its token is the call's own id.
pub fn of_progress(params: &Object) -> Option<i64> {
    match Id::read(params.get("progressToken")?)? {
        Id::Number(id) => Some(id),
        Id::Text(_) => None,
    }
}

/// The listening request that a notification names (spec 2026-07-28 basic/patterns/subscriptions).
pub fn of_subscription(params: &Object) -> Option<i64> {
    match Id::read(params.object("_meta")?.get(meta::SUBSCRIPTION_ID)?)? {
        Id::Number(id) => Some(id),
        Id::Text(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interactive() -> Takes {
        Takes { interactive: true, ..Takes::default() }
    }

    fn message() -> Message {
        Message::Notification { method: "n".into(), params: Object::new() }
    }

    #[tokio::test]
    async fn a_message_reaches_its_call_and_no_other() {
        let calls = Arc::new(Calls::default());
        let mut first = calls.join(1, Takes::default(), 4);
        let mut second = calls.join(2, Takes::default(), 4);
        assert!(calls.deliver(2, message()).await);
        assert!(!calls.deliver(3, message()).await);
        assert!(second.inbox.try_recv().is_ok());
        assert!(first.inbox.try_recv().is_err());
        drop(second);
        assert!(!calls.deliver(2, message()).await);
    }

    #[test]
    fn a_server_is_waited_for_until_it_shows_where_it_logs() {
        let path = LogPath::default();
        assert!(!path.may_lag(), "nothing can come beside");
        path.open_beside(true);
        assert_eq!((0..100).filter(|_| path.may_lag()).count(), LogPath::UNSURE);
        path.came_beside();
        assert!(path.may_lag());
        let path = LogPath::default();
        path.open_beside(true);
        path.came_own();
        assert!(!path.may_lag());
    }

    #[test]
    fn what_names_no_call_is_told_to_one_caller_only() {
        let calls = Arc::new(Calls::default());
        let of = |owner: &str, logs| Takes { owner: owner.into(), logs, ..Takes::default() };
        let _own = calls.join(1, of("", false), 4);
        let _first = calls.join(2, of("alice", true), 4);
        let _second = calls.join(3, of("alice", true), 4);
        let mut told = calls.log_readers();
        told.sort_unstable();
        assert_eq!(told, [2, 3]);
        let _other = calls.join(4, of("bob", false), 4);
        assert!(calls.log_readers().is_empty());
    }

    #[tokio::test]
    async fn a_request_of_the_servers_belongs_to_the_only_call_it_can() {
        let calls = Arc::new(Calls::default());
        let _plain = calls.join(1, Takes::default(), 4);
        assert_eq!(calls.attribute(), Attributed::Unclear { candidates: 0 });
        let _one = calls.join(2, interactive(), 4);
        assert_eq!(calls.attribute(), Attributed::To(2));
        let _two = calls.join(3, Takes { task: Some("t".into()), ..interactive() }, 4);
        assert_eq!(calls.attribute(), Attributed::Unclear { candidates: 2 });
        assert_eq!(calls.of_task("t"), Some(3));
        assert_eq!(calls.of_task("u"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_cut_off_and_others_go_on() {
        let calls = Arc::new(Calls::default());
        let slow = calls.join(1, Takes::default(), 1);
        let mut quick = calls.join(2, Takes::default(), 1);
        calls.deliver(1, message()).await;
        calls.deliver(1, message()).await;
        assert_eq!(slow.cut_off().unwrap().kind, Kind::SlowReader);
        calls.deliver(2, message()).await;
        assert!(quick.inbox.recv().await.is_some());
    }
}
