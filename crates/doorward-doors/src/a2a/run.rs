//! Makes the call of a task, to its end, whether or not somebody waits for it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use doorward_a2a::TaskState;
use doorward_gateway::call::{Protocol, Reply};
use doorward_gateway::pipeline::{self, Refusal};
use doorward_mcp::interaction::{InputRequired, Retry, requests, result_type};
use doorward_mcp::{Object, Value, method};
use doorward_store::{AgentTask, now};
use tokio::time::Instant;

use super::Door;
use super::kept::{LEASE, Next};
use super::live::{Live, Registered};
use super::result::{CALL, Outcome, TOOL, USAGE, asked, complete, refused, told};
use crate::rest::answer;
use crate::rest::execute::{refused_arguments, unknown};
use crate::rest::making::{Abilities, Named, Ready};
use crate::rest::problem::Problem;

const RENEW: Duration = Duration::from_secs(2);
/// How long storing what came of a call is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);

/// What is called, and what it goes on with.
pub struct Job {
    pub params: Object,
    pub named: Named,
    pub retry: Option<Retry>,
}

impl Job {
    /// The call; a refusal is one of the request, and not of a task.
    pub fn ready(&mut self, door: &Door) -> Result<Ready, Box<Problem>> {
        let (params, of, retry) = (self.params.clone(), method::TOOLS_CALL, self.retry.take());
        let ready = door.visit.call(Protocol::A2a, Abilities::Input, true, of, params, retry)?;
        door.visit.admit(&ready.call)?;
        Ok(ready)
    }

    /// How it goes on once its client has answered.
    fn next(&self, required: InputRequired) -> Next {
        let text = |object: &Object| String::from_utf8_lossy(&object.to_bytes()).into_owned();
        Next::Input {
            params: text(&self.params),
            told: self.named.told.clone(),
            shown: self.named.shown.clone(),
            requests: text(&requests(required.requests)),
            state: required.state,
        }
    }
}

/// A task whose call is made.
pub struct Runner {
    pub door: Arc<Door>,
    pub job: Job,
    pub live: Arc<Live>,
    pub registered: Registered,
    /// Of the task in the store.
    pub version: i64,
}

/// How a call has ended.
enum End {
    Reply(Result<Reply, Refusal>),
    Cancelled,
    /// Others have changed the task.
    Changed,
}

impl Runner {
    pub async fn run(self, ready: Ready) {
        let Self { door, job, live, registered, version } = self;
        let Ready { call, receipt, began, id, .. } = ready;
        let (events, mut receiver) = door.visit.events();
        let task = live.now().0.id;
        let gateway = door.visit.gateway.clone();
        let mut running = Box::pin(pipeline::run(gateway, call, events));
        let mut changed = pin!(changed(&door, &task, version));
        let end = loop {
            tokio::select! {
                biased;
                reply = &mut running => break End::Reply(reply),
                () = live.cancel.cancelled() => break End::Cancelled,
                () = &mut changed => break End::Changed,
                Some(event) = receiver.recv() => live.tell_if(told(&event)),
            }
        };
        // Where it has not ended, this ends it at its server.
        drop(running);
        while let Ok(event) = receiver.try_recv() {
            live.tell_if(told(&event));
        }
        let mut metadata = Object::new();
        metadata.set(CALL, &*id.to_string());
        let (outcome, next) = match end {
            End::Changed => {
                if let Ok(kept) = door.kept(&task).await {
                    live.replace(kept.task);
                }
                return;
            }
            End::Cancelled => {
                let (state, message, artifact) = (TaskState::Canceled, None, None);
                (Outcome { state, message, artifact }, None)
            }
            End::Reply(Err(refusal)) => {
                let Named { shown, told } = &job.named;
                (refused(Problem::of_refusal(&refusal, shown, told), id), None)
            }
            End::Reply(Ok(Reply::Result(result))) => {
                // Only who has a result is told what a name stands for.
                let made = door.visit.made(id, &job.named);
                metadata.set(TOOL, &*made.tool);
                match &*result_type(&result) {
                    "complete" => match refused_arguments(&result, receipt.is_sent()) {
                        Some(problem) => (refused(problem, id), None),
                        None => {
                            let usage = answer::usage(Some(&door.store), &receipt, began).await;
                            metadata.set(USAGE, Value::from_serde(&usage));
                            let is_merged = door.visit.portal.is_merged();
                            let server = is_merged.then_some(&*made.provider);
                            (complete(&result, &made.tool, server), None)
                        }
                    },
                    "input_required" => match InputRequired::read(&result) {
                        Ok(required) => {
                            let origin = door.visit.gateway.identity.resources.origin();
                            let outcome = asked(&required, &format!("{origin}/oauth/connect?"));
                            (outcome, Some(job.next(required)))
                        }
                        Err(why) => (refused(unknown(why), id), None),
                    },
                    other => (refused(unknown(other), id), None),
                }
            }
            End::Reply(Ok(Reply::Listening(_) | Reply::Held(_))) => {
                (refused(unknown("stream"), id), None)
            }
        };
        let Outcome { state, message, artifact } = outcome;
        let ended = live.with(state, message, artifact, Some(metadata.into()));
        let row = door.row(&ended.task, next.as_ref(), version);
        if store(&door, &row).await {
            live.show(ended);
        } else if let Ok(kept) = door.kept(&task).await {
            live.replace(kept.task);
        } else {
            live.show(ended);
        }
        drop(registered);
    }
}

/// Renews the lease of a task for as long as it is polled; ends if others have changed the task.
async fn changed(door: &Door, id: &str, version: i64) {
    loop {
        tokio::time::sleep(RENEW).await;
        match door.store.renew_agent_task(id, version, now() + LEASE).await {
            Ok(true) => {}
            Ok(false) => return,
            // If it fails for long, the task counts as lost until what came of it is stored.
            Err(error) => tracing::debug!(%error, "the lease of a task was not renewed"),
        }
    }
}

/// Stores what a task has become; false if others have changed it, or if the store fails for long.
async fn store(door: &Door, row: &AgentTask) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        match door.store.change_agent_task(row).await {
            Ok(changed) => return changed,
            Err(error) if Instant::now() >= end => {
                tracing::warn!(%error, task = row.id, "the result of a task is lost, for the store fails");
                return false;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
