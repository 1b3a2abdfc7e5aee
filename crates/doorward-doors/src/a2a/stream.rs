//! Events of a task as a stream: first the task, then what becomes of it. Closing a stream cancels nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_a2a::event::StatusUpdate;
use doorward_a2a::fields::Other;
use doorward_a2a::{Binding, Event, rpc};
use doorward_mcp::sse;
use doorward_web::Body;
use doorward_web::response::events;
use http::Response;

use super::Door;
use super::live::{Live, Place};

/// How often a task is looked at that waits for its client, or that another replica works on.
const LOOK: Duration = Duration::from_secs(1);

/// Where events come from.
pub enum Source {
    Live {
        live: Arc<Live>,
        place: Place,
        /// The stream does not end where the task waits for its client.
        goes_on: bool,
    },
    /// The store, from this version on.
    Store {
        id: String,
        version: i64,
    },
    Over,
}

struct Following {
    door: Arc<Door>,
    first: Option<Event>,
    source: Source,
}

pub fn response(door: &Arc<Door>, first: Event, source: Source) -> Response<Body> {
    let following = Following { door: door.clone(), first: Some(first), source };
    let keep_alive = door.visit.gateway.shared.timeouts.keep_alive.0;
    let frames = futures_util::stream::unfold(following, move |mut following| async move {
        match tokio::time::timeout(keep_alive, following.next()).await {
            Ok(Some(event)) => Some((following.frame(&event), following)),
            Ok(None) => None,
            Err(_) => Some((sse::KEEP_ALIVE, following)),
        }
    });
    events(Body::stream(frames))
}

impl Following {
    fn frame(&self, event: &Event) -> Bytes {
        let asked = &self.door.asked;
        let data = match (asked.binding, &asked.id) {
            (Binding::JsonRpc, Some(id)) => rpc::write_event(id, event, asked.revision),
            _ => event.to_bytes(asked.revision, asked.binding),
        };
        sse::encode(&data, None)
    }

    /// The next event. Nothing is lost if it is not waited for to its end.
    async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match &mut self.source {
                Source::Over => return None,
                Source::Live { live, place, goes_on } => {
                    if let Some(event) = live.next(place).await {
                        return Some(event);
                    }
                    let (task, goes_on) = (live.now().0, *goes_on);
                    if !goes_on || task.status.state.is_terminal() {
                        self.source = Source::Over;
                        continue;
                    }
                    // It waits for its client; what it was is what its stream has had last.
                    let kept = self.door.kept(&task.id).await.ok()?;
                    self.source = Source::Store { id: task.id, version: kept.row.version };
                    if kept.task.status.state != task.status.state {
                        return Some(status(&kept.task));
                    }
                }
                Source::Store { id, version } => {
                    let closing = self.door.visit.gateway.closing.clone();
                    tokio::select! {
                        () = tokio::time::sleep(LOOK) => {}
                        () = closing.cancelled() => return None,
                    }
                    if let Some(live) = self.door.running.find(id) {
                        let (task, place) = live.now();
                        self.source = Source::Live { live, place, goes_on: true };
                        return Some(Event::Task(task.into()));
                    }
                    let kept = self.door.kept(id).await.ok()?;
                    if kept.row.version == *version {
                        continue;
                    }
                    *version = kept.row.version;
                    if kept.task.status.state.is_terminal() {
                        self.source = Source::Over;
                        // With what it has produced.
                        return Some(Event::Task(kept.task.into()));
                    }
                    return Some(status(&kept.task));
                }
            }
        }
    }
}

fn status(task: &doorward_a2a::Task) -> Event {
    Event::Status(Box::new(StatusUpdate {
        task_id: task.id.clone(),
        context_id: task.context_id.clone(),
        status: task.status.clone(),
        is_final: task.status.state.is_terminal(),
        metadata: None,
        other: Other::default(),
    }))
}
