//! A listener's stream: the acknowledgement, the changes, and at a graceful end the result (spec 2026-07-28
//! basic/patterns/subscriptions).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::meta::Client;
use doorward_mcp::{Id, Object, Revision, message, meta, method, sse};
use futures_util::Stream;

use super::call_stream::KeepAlive;
use super::held_task;
use doorward_gateway::call::{Asks, Call, Events, Portal, Protocol, Reply};
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::Caller;
use doorward_upstream::switchboard::Listener;

/// Reads the tasks that a listener is told about, as its own request would. A server's notification carries the task's
/// result, its questions and its errors, which policies, inspection and checks have not seen: so it only says that there is
/// something to read.
#[derive(Clone)]
pub struct TaskReader {
    gateway: Arc<Gateway>,
    caller: Caller,
    portal: Portal,
    revision: Revision,
    protocol: Protocol,
    client: Arc<Client>,
}

impl TaskReader {
    /// For the caller of `subscriptions/listen`; `None` for other calls.
    pub fn of(gateway: &Arc<Gateway>, call: &Call) -> Option<Self> {
        (*call.method == *method::LISTEN).then(|| Self {
            gateway: gateway.clone(),
            caller: call.caller.clone(),
            portal: call.portal.clone(),
            revision: call.revision,
            protocol: call.protocol,
            client: call.client.clone(),
        })
    }

    /// The task, as `tasks/get` returns it. `None` if the caller may not read it any more.
    async fn read(self, id: String) -> Option<Object> {
        let Self { gateway, caller, portal, revision, protocol, client } = self;
        let mut params = Object::new();
        params.set("taskId", id.as_str());
        let asks = Asks {
            caller,
            protocol,
            portal,
            revision,
            client,
            session: None,
            conversation: None,
            retry: None,
            param_headers: None,
            discovery: None,
        };
        let call = gateway.call(asks, "tasks/get", params);
        match held_task::run(gateway, call, Events::ignored()).await {
            Ok(Reply::Result(mut task)) => {
                task.remove("resultType");
                Some(task)
            }
            _ => None,
        }
    }
}

type Reading = Pin<Box<dyn Future<Output = Option<Object>> + Send>>;

pub struct ListenStream {
    id: Id,
    listener: Option<Listener>,
    acknowledged: bool,
    keep_alive: KeepAlive,
    tasks: Option<Box<TaskReader>>,
    /// The task that has changed, while it is read.
    reading: Option<Reading>,
}

impl ListenStream {
    pub fn new(
        id: Id,
        listener: Listener,
        keep_alive: Duration,
        tasks: Option<TaskReader>,
    ) -> Self {
        let tasks = tasks.filter(|_| !listener.honoured.tasks.is_empty()).map(Box::new);
        Self {
            id,
            listener: Some(listener),
            acknowledged: false,
            keep_alive: KeepAlive::new(keep_alive),
            tasks,
            reading: None,
        }
    }

    fn event(&self, method: &str, mut params: Object) -> Bytes {
        self.mark(&mut params);
        sse::encode(&message::notification(method, &params), None)
    }

    fn mark(&self, object: &mut Object) {
        if let Some(meta) = object.object_mut("_meta") {
            meta.set(meta::SUBSCRIPTION_ID, self.id.to_value());
        }
    }
}

impl Stream for ListenStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        loop {
            if let Some(reading) = &mut this.reading {
                match reading.as_mut().poll(context) {
                    Poll::Ready(task) => {
                        this.reading = None;
                        if let Some(task) = task {
                            return Poll::Ready(Some(this.event(method::TASK_CHANGED, task)));
                        }
                    }
                    Poll::Pending => return this.keep_alive.poll(context).map(Some),
                }
            }
            let Some(listener) = &mut this.listener else { return Poll::Ready(None) };
            if !this.acknowledged {
                this.acknowledged = true;
                let mut params = Object::new();
                params.set("notifications", listener.honoured.to_object());
                return Poll::Ready(Some(this.event(method::ACKNOWLEDGED, params)));
            }
            match listener.poll_next(context) {
                Poll::Ready(Some(notice)) if *notice.method == *method::TASK_CHANGED => {
                    let id = notice.params.string("taskId");
                    let reader = this.tasks.clone().zip(id);
                    this.reading = reader
                        .map(|(reader, id)| Box::pin(reader.read(id.into_owned())) as Reading);
                }
                Poll::Ready(Some(notice)) => {
                    return Poll::Ready(Some(this.event(&notice.method, notice.params.clone())));
                }
                Poll::Ready(None) => {
                    this.listener = None;
                    let mut result = Object::new();
                    result.set("resultType", "complete");
                    this.mark(&mut result);
                    return Poll::Ready(Some(sse::encode(
                        &message::response(&this.id, &result),
                        None,
                    )));
                }
                Poll::Pending => return this.keep_alive.poll(context).map(Some),
            }
        }
    }
}
