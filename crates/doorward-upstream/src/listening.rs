//! One listening stream per server, shared by all listeners: the server receives one combined subscription.

use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::filter::Filter;
use doorward_mcp::meta::Client;
use doorward_mcp::{Message, Object, method};

use super::exchange::Exchange;
use super::subscriptions::{ACKNOWLEDGE, Name, Said, Turns, fresh, names, without};
use super::way::{Refused, Way};
use super::{Contact, Server, jittered};
use doorward_core::Failure;
use doorward_core::deadline::Deadline;

/// A listening stream has no time limit.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// First and maximum delay before opening a stream is retried.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Server {
    /// Listens to a handshake-era server until its session ends.
    pub(super) async fn listen_handshake(self: &Arc<Self>) {
        let Some(session) = self.base_session() else { return };
        for uri in self.interest.uris() {
            if let Err(error) = self.subscribe_in_session(method::RESOURCES_SUBSCRIBE, &uri).await {
                tracing::warn!(
                    server = &*self.name,
                    uri,
                    error = error.logged(),
                    "a subscription could not be renewed"
                );
            }
        }
        let listening = self.shared.tasks.spawn(session.clone().listen());
        session.closed().await;
        listening.abort();
    }

    /// Listens to a modern server until contact is lost. When the subscriptions change, the new stream is
    /// opened before the old one is closed, so that nothing is missed in between. A subscription that the server refuses
    /// is omitted and does not affect others, which keep the existing stream.
    pub(super) async fn listen_modern(self: &Arc<Self>, way: &Way, contact: &Contact) {
        let mut pause = PAUSE;
        let mut current: Option<Current> = None;
        // Subscriptions added at a time: fewer after a refusal, until the refused one is found.
        let mut most = usize::MAX;
        let mut turns = Turns::default();
        let forever = Deadline::new(FOREVER, FOREVER);
        loop {
            let wanted = self.interest.filter().honoured_by(&contact.about.capabilities);
            if wanted.is_empty() {
                drop(current.take());
                tokio::select! {
                    () = self.interest.changed.notified() => continue,
                    () = closed(way) => return,
                }
            }
            let fresh = fresh(&wanted, current.as_ref().map(|it| &it.filter));
            let (fresh, later) = turns.next(fresh, |name| self.interest.whose(name), most);
            let next = without(wanted, &later);
            if let Some(Current { stream, filter }) = &mut current
                && *filter == next
            {
                let ended = tokio::select! {
                    () = self.interest.changed.notified() => false,
                    () = tokio::time::sleep(LONGEST_PAUSE) => {
                        self.interest.ask_again();
                        false
                    }
                    message = stream.next(&forever) => {
                        let going_on = self.hear(message);
                        if going_on {
                            pause = PAUSE;
                        }
                        !going_on
                    }
                };
                if ended {
                    // Changes in the meantime were missed: fetch the lists again.
                    (current, most) = (None, usize::MAX);
                    self.interest.ask_again();
                    tokio::select! {
                        () = tokio::time::sleep(jittered(pause)) => {}
                        () = closed(way) => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.announce();
                }
                continue;
            }
            let opening = self.begin_in_time(way, &next, &fresh, current.is_some());
            let refused = match self.meanwhile(&mut current, opening).await {
                None => continue,
                Some(Ok(stream)) => {
                    current = Some(Current { stream, filter: next });
                    pause = PAUSE;
                    most = most.saturating_mul(2);
                    continue;
                }
                Some(Err(refused)) => refused,
            };
            tracing::debug!(
                server = &*self.name,
                ?refused,
                "cannot open a listening stream to the server"
            );
            match refused {
                Refused::Rpc(error)
                    if error.code == code::METHOD_NOT_FOUND && current.is_none() =>
                {
                    self.interest.settle(&fresh, Said::Refused);
                    return closed(way).await;
                }
                refused if !fresh.is_empty() && is_about_the_wish(&refused, current.is_some()) => {
                    most = (fresh.len() / 2).max(1);
                    if fresh.len() == 1 {
                        self.interest.settle(&fresh, Said::Refused);
                    }
                    continue;
                }
                Refused::NotModern(_) if current.is_none() => return,
                _ => self.doubt(),
            }
            let has_stream = current.is_some();
            let waiting = async {
                tokio::select! {
                    () = tokio::time::sleep(jittered(pause)) => false,
                    // The remaining subscriptions may all be accepted.
                    () = self.interest.changed.notified(), if has_stream => false,
                    () = closed(way) => true,
                }
            };
            if self.meanwhile(&mut current, waiting).await {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for a future while processing messages of the open stream.
    async fn meanwhile<T>(
        &self,
        current: &mut Option<Current>,
        awaited: impl Future<Output = T>,
    ) -> T {
        let mut awaited = std::pin::pin!(awaited);
        let forever = Deadline::new(FOREVER, FOREVER);
        while let Some(Current { stream, .. }) = current {
            tokio::select! {
                done = &mut awaited => return done,
                message = stream.next(&forever) => {
                    if !self.hear(message) {
                        *current = None;
                        self.announce();
                    }
                }
            }
        }
        awaited.await
    }

    /// Handles a message of a listening stream; returns `false` at its end.
    fn hear(&self, message: Result<Message, Failure>) -> bool {
        match message {
            Ok(Message::Notification { method, params }) => self.heard(&method, &params),
            Ok(Message::Request { .. }) => {}
            Ok(Message::Response { .. } | Message::Error { .. }) | Err(_) => return false,
        }
        true
    }

    /// Opens a stream; `None` if its new subscriptions end in the meantime. A stream that replaces another one is
    /// opened only while somebody waits for it.
    async fn begin_in_time(
        &self,
        way: &Way,
        filter: &Filter,
        fresh: &[Name],
        has_stream: bool,
    ) -> Option<Result<Exchange, Refused>> {
        let left = async {
            while fresh.iter().all(|name| self.interest.wants(name)) {
                self.interest.changed.notified().await;
            }
        };
        let patience = if has_stream { ACKNOWLEDGE } else { FOREVER };
        tokio::select! {
            opened = self.begin_listening(way, filter) => Some(opened),
            () = left => None,
            () = tokio::time::sleep(patience) => {
                Some(Err(Failure::new(Kind::Timeout, "The server did not confirm the subscription \
                    in time").into()))
            }
        }
    }

    /// Opens a stream and reads it up to the server's response to the subscriptions.
    async fn begin_listening(&self, way: &Way, filter: &Filter) -> Result<Exchange, Refused> {
        let mut stream = self.open_listening(way, filter).await?;
        let forever = Deadline::new(FOREVER, FOREVER);
        match tokio::time::timeout(ACKNOWLEDGE, stream.next(&forever)).await {
            Ok(Ok(Message::Notification { method, params })) => {
                self.heard(&method, &params);
                if let (true, Ok(agreed)) =
                    (*method == *method::ACKNOWLEDGED, Filter::read(&params))
                {
                    let left_out = &names(filter) - &names(&agreed);
                    self.interest.settle(&left_out, Said::Refused);
                }
            }
            Ok(Ok(Message::Error { error, .. })) => return Err(Refused::Rpc(error)),
            Ok(Ok(Message::Response { .. })) => {
                let why = "The server's stream ended before it began";
                return Err(Failure::new(Kind::StreamEnded, why).into());
            }
            Ok(Err(failure)) => return Err(failure.into()),
            Ok(Ok(Message::Request { .. })) | Err(_) => {}
        }
        Ok(stream)
    }

    fn heard(&self, name: &str, params: &Object) {
        if name == method::ACKNOWLEDGED {
            if let Ok(filter) = Filter::read(params) {
                self.interest.settle(&names(&filter), Said::Agreed);
            }
            return;
        }
        let mut params = params.clone();
        if let Some(meta) = params.object_mut("_meta") {
            meta.remove(doorward_mcp::meta::SUBSCRIPTION_ID);
        }
        doorward_mcp::meta::drop_empty(&mut params);
        self.unsolicited(name, &params);
    }

    async fn open_listening(&self, way: &Way, filter: &Filter) -> Result<Exchange, Refused> {
        let mut client = Client { info: Some(self.shared.info.clone()), ..Client::default() };
        if !filter.tasks.is_empty() {
            let mut extensions = Object::new();
            extensions.set(doorward_mcp::capabilities::TASKS_EXTENSION, Object::new());
            client.capabilities.set("extensions", extensions);
        }
        let asked = self.own_request(method::LISTEN, &client);
        let mut params = Object::new();
        params.set("notifications", filter.to_object());
        self.open_modern(way, &asked, params, Vec::new(), &asked.deadline).await
    }
}

/// The open stream and its subscriptions.
struct Current {
    stream: Exchange,
    filter: Filter,
}

/// Whether a refused listening request may be about its subscriptions: the server has responded.
/// Before the first successful stream, only a response of the protocol counts.
fn is_about_the_wish(refused: &Refused, has_stream: bool) -> bool {
    match refused {
        Refused::Rpc(_) => true,
        Refused::NotModern(failure) | Refused::Failed(failure) => {
            has_stream && matches!(failure.kind, Kind::HttpStatus | Kind::Timeout)
        }
    }
}

/// Completes when the connection ends: when a program exits; never for HTTP.
async fn closed(way: &Way) {
    match way {
        Way::Http(_) => std::future::pending().await,
        Way::Pipe(pipe) => pipe.stop.cancelled().await,
    }
}
