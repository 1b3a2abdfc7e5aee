//! One listening stream per server, shared by all who listen: what they want together is asked of
//! the server once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::filter::Filter;
use doorward_mcp::meta::Client;
use doorward_mcp::{Message, Object, RpcError, method};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::exchange::{Deadline, Exchange};
use super::modern::{Refused, Way};
use super::session::SendError;
use super::{Contact, Link, Server, jittered};
use crate::call::{CallError, Failure};

/// How long a subscription may take until the server has acknowledged it.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);
/// A listening stream has no end of its own.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the gateway's listeners want of one server, counted.
#[derive(Debug)]
pub struct Interest {
    uris: Mutex<HashMap<String, usize>>,
    tasks: Mutex<HashMap<String, usize>>,
    changed: Notify,
    /// What the server has acknowledged last.
    acknowledged: watch::Sender<Filter>,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            uris: Mutex::default(),
            tasks: Mutex::default(),
            changed: Notify::new(),
            acknowledged: watch::Sender::new(Filter::default()),
        }
    }
}

impl Interest {
    /// Tells a replica that has come what is wanted of all. It is not being listened to yet.
    pub fn pass_on(&self, to: &Self) {
        *to.uris.lock() = self.uris.lock().keys().map(|uri| (uri.clone(), 1)).collect();
    }

    fn filter(&self) -> Filter {
        Filter {
            uris: self.uris.lock().keys().cloned().collect(),
            tasks: self.tasks.lock().keys().cloned().collect(),
            ..Filter::lists()
        }
    }
}

/// Counts one more; whether it is the first.
fn add(counts: &Mutex<HashMap<String, usize>>, key: &str) -> bool {
    let mut counts = counts.lock();
    let count = counts.entry(key.to_owned()).or_default();
    *count += 1;
    *count == 1
}

/// Counts one less; whether it was the last.
fn subtract(counts: &Mutex<HashMap<String, usize>>, key: &str) -> bool {
    let mut counts = counts.lock();
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
        return true;
    }
    false
}

impl Server {
    /// Wants updates of a resource. Returns when the server has agreed.
    pub async fn subscribe(&self, uri: &str) -> Result<(), CallError> {
        if self.replicas.is_some() {
            return self.subscribe_everywhere(uri).await;
        }
        let contact = self.contact().await?;
        if !add(&self.interest.uris, uri) {
            return Ok(());
        }
        let agreed = match &contact.link {
            Link::Sample => Ok(()),
            Link::Api(_) => Err(RpcError::method_not_found(method::RESOURCES_SUBSCRIBE).into()),
            Link::Modern(_) => {
                self.interest.changed.notify_one();
                if self.is_acknowledged(|filter| filter.uris.contains(uri)).await {
                    Ok(())
                } else {
                    Err(RpcError::invalid_params(
                        "The server does not offer updates of this resource",
                    )
                    .into())
                }
            }
            _ => self.subscribe_in_session(method::RESOURCES_SUBSCRIBE, uri).await,
        };
        if agreed.is_err() {
            subtract(&self.interest.uris, uri);
        }
        agreed
    }

    /// Wants updates of all replicas: each may be the one that learns of something. Those that cannot be reached
    /// now are told when they can.
    async fn subscribe_everywhere(&self, uri: &str) -> Result<(), CallError> {
        self.contact().await?;
        if !add(&self.interest.uris, uri) {
            return Ok(());
        }
        let members = self.members();
        let asking = members.iter().map(|member| async move {
            if !member.is_reachable() {
                add(&member.interest.uris, uri);
                return None;
            }
            let agreed = Box::pin(member.subscribe(uri)).await;
            if matches!(agreed, Err(CallError::Gateway(_))) {
                add(&member.interest.uris, uri);
            }
            Some(agreed)
        });
        let answers: Vec<_> = join_all(asking).await.into_iter().flatten().collect();
        let mut refused = None;
        for answer in answers {
            match answer {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        self.unsubscribe(uri);
        Err(refused.unwrap_or_else(|| {
            Failure::new(Kind::Unreachable, "None of the server's replicas can be asked").into()
        }))
    }

    /// Wants them no more.
    pub fn unsubscribe(&self, uri: &str) {
        if !subtract(&self.interest.uris, uri) {
            return;
        }
        if self.replicas.is_some() {
            return self.members().iter().for_each(|member| member.unsubscribe(uri));
        }
        match self.known().as_deref() {
            Some(Contact { link: Link::Modern(_), .. }) => self.interest.changed.notify_one(),
            Some(Contact { link: Link::Sample | Link::Api(_), .. }) | None => {}
            Some(_) => {
                let Some(server) = self.this.upgrade() else { return };
                let uri = uri.to_owned();
                self.shared.tasks.spawn(async move {
                    let _ = server.subscribe_in_session(method::RESOURCES_UNSUBSCRIBE, &uri).await;
                });
            }
        }
    }

    /// Wants the state of a task told (tasks extension). Returns whether the server agreed.
    pub async fn subscribe_task(&self, task: &str) -> bool {
        let modern =
            matches!(self.contact().await.as_deref(), Ok(Contact { link: Link::Modern(_), .. }));
        if !modern {
            return false;
        }
        if add(&self.interest.tasks, task) {
            self.interest.changed.notify_one();
        }
        let agreed = self.is_acknowledged(|filter| filter.tasks.contains(task)).await;
        if !agreed {
            self.unsubscribe_task(task);
        }
        agreed
    }

    pub fn unsubscribe_task(&self, task: &str) {
        if subtract(&self.interest.tasks, task) {
            self.interest.changed.notify_one();
        }
    }

    async fn is_acknowledged(&self, has: impl Fn(&Filter) -> bool) -> bool {
        let mut acknowledged = self.interest.acknowledged.subscribe();
        let waiting = acknowledged.wait_for(|filter| has(filter));
        tokio::time::timeout(ACKNOWLEDGE, waiting).await.is_ok_and(|waited| waited.is_ok())
    }

    async fn subscribe_in_session(&self, method: &str, uri: &str) -> Result<(), CallError> {
        let Some(session) = self.base_session() else { return Ok(()) };
        let mut params = Object::new();
        params.set("uri", uri);
        match session.ask(method, params, self.shared.timeouts.own_request()).await {
            Ok(_) => Ok(()),
            Err(SendError::Rpc(mut error)) => {
                if error.code == code::RESOURCE_NOT_FOUND {
                    error.code = code::INVALID_PARAMS;
                }
                Err(error.into())
            }
            Err(SendError::Failed(failure)) => Err(failure.into()),
            // The keeper opens another session, and subscribes there.
            Err(SendError::Lost) => {
                self.pool.forget(&session);
                Ok(())
            }
        }
    }

    /// Listens to a handshake-era server until its session ends.
    pub(super) async fn listen_handshake(self: &Arc<Self>) {
        let Some(session) = self.base_session() else { return };
        let uris: Vec<String> = self.interest.uris.lock().keys().cloned().collect();
        for uri in uris {
            if let Err(error) = self.subscribe_in_session(method::RESOURCES_SUBSCRIBE, &uri).await {
                tracing::warn!(
                    server = &*self.name,
                    uri,
                    ?error,
                    "a subscription could not be renewed"
                );
            }
        }
        let listening = self.shared.tasks.spawn(session.clone().listen());
        session.closed().await;
        listening.abort();
    }

    /// Listens to a modern server until contact is lost. When the wishes change, the new stream is
    /// opened before the old one is closed, so that nothing is missed in between.
    pub(super) async fn listen_modern(self: &Arc<Self>, way: &Way, contact: &Contact) {
        let mut pause = Duration::from_millis(500);
        let mut current: Option<Exchange> = None;
        let forever = Deadline::new(FOREVER, FOREVER);
        loop {
            let wanted = self.interest.filter().honoured_by(&contact.about.capabilities);
            self.interest.acknowledged.send_replace(Filter::default());
            if wanted.is_empty() {
                drop(current.take());
                tokio::select! {
                    () = self.interest.changed.notified() => continue,
                    () = closed(way) => return,
                }
            }
            let mut stream = match self.open_listening(way, &wanted).await {
                Ok(stream) => stream,
                Err(Refused::Rpc(error)) if error.code == code::METHOD_NOT_FOUND => {
                    tracing::debug!(server = &*self.name, "the server offers nothing to listen to");
                    return closed(way).await;
                }
                Err(Refused::NotModern(_)) => return,
                Err(refused) => {
                    tracing::debug!(server = &*self.name, ?refused, "cannot listen to the server");
                    self.doubt();
                    tokio::select! {
                        () = tokio::time::sleep(jittered(pause)) => {}
                        () = closed(way) => return,
                    }
                    pause = (pause * 2).min(Duration::from_secs(60));
                    continue;
                }
            };
            drop(current.take());
            let ended = loop {
                tokio::select! {
                    () = self.interest.changed.notified() => break false,
                    message = stream.next(&forever) => match message {
                        Ok(Message::Notification { method, params }) => {
                            self.heard(&method, &params);
                            pause = Duration::from_millis(500);
                        }
                        Ok(Message::Request { .. }) => {}
                        Ok(Message::Response { .. } | Message::Error { .. }) | Err(_) => break true,
                    },
                }
            };
            if ended {
                // What happened meanwhile is not known: look again.
                tokio::select! {
                    () = tokio::time::sleep(jittered(pause)) => {}
                    () = closed(way) => return,
                }
                pause = (pause * 2).min(Duration::from_secs(60));
                self.announce();
            } else {
                current = Some(stream);
            }
        }
    }

    fn heard(&self, name: &str, params: &Object) {
        if name == method::ACKNOWLEDGED {
            if let Ok(filter) = Filter::read(params) {
                self.interest.acknowledged.send_replace(filter);
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

    /// The URIs somebody listens to.
    pub fn subscribed(&self) -> BTreeSet<String> {
        self.interest.uris.lock().keys().cloned().collect()
    }
}

/// Ends when the way to the server does: a program's end; HTTP has none.
async fn closed(way: &Way) {
    match way {
        Way::Http(_) => std::future::pending().await,
        Way::Pipe(pipe) => pipe.stop.cancelled().await,
    }
}
