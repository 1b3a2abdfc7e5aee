//! Runs the call of a task that was approved, whether or not somebody asks meanwhile.

use std::sync::Arc;
use std::time::Duration;

use doorward_gateway::call::{Call, Events, Reply};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{self, Refusal};
use doorward_mcp::RpcError;
use doorward_store::{ApprovalTask, Store, now};
use tokio::sync::Notify;

use super::purpose;
use super::stored::Outcome;

/// How long a task counts as running without a sign of life, in seconds. Longer than the lease of an approval: by then, one
/// that was not used is given back.
pub const LEASE: i64 = 60;
const RENEW: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(1);

const _: () = assert!(LEASE > 2 * doorward_store::LEASE);

pub struct Runner {
    pub gateway: Arc<Gateway>,
    pub store: Store,
    pub principal: String,
    /// As it was claimed.
    pub task: ApprovalTask,
    /// How often its server has asked for input.
    pub round: u32,
}

impl Runner {
    /// Keeps what comes of the call. Whoever has changed the task meanwhile has cancelled it: the call is dropped.
    pub async fn run(self, call: Box<Call>) {
        let Self { gateway, store, principal, task, round } = self;
        let done = Notify::new();
        let mut renewing = Box::pin(renewed(&gateway, &store, task, &done));
        let mut running = Box::pin(pipeline::run(gateway.clone(), call, Events::ignored()));
        let (reply, task) = tokio::select! {
            reply = &mut running => {
                done.notify_one();
                let Some(task) = renewing.await else { return };
                (reply, task)
            }
            // Others have it, or nobody can tell.
            _ = &mut renewing => return,
        };
        let reply = match reply {
            Ok(Reply::Result(result)) => Ok(result),
            Ok(_) => Err(RpcError::invalid_request("The call has no result")),
            Err(Refusal { error, .. }) => Err(error),
        };
        let (state, outcome) = Outcome::of(reply, round);
        let sealer = &gateway.shared.sealer;
        let outcome = sealer.seal(&outcome, &principal, &purpose(&task.id), None);
        let (id, lease) = (task.id.clone(), task.lease);
        let ended = ApprovalTask { state, outcome, lease: 0, ..task };
        while let Err(error) = store.change_approval_task(ended.clone(), now()).await {
            if lease <= now() {
                tracing::warn!(%error, task = id, "the result of a task is lost, for the store fails");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Renews the lease of a task until it is done; the task then. `None` if others have changed it, or if the store fails for so
/// long that they may.
async fn renewed(
    gateway: &Gateway,
    store: &Store,
    mut task: ApprovalTask,
    done: &Notify,
) -> Option<ApprovalTask> {
    let mut news = gateway.approvals.follow();
    loop {
        tokio::select! {
            () = done.notified() => return Some(task),
            () = news.wait(&task.id, RENEW) => {}
        }
        let next = ApprovalTask { lease: now() + LEASE, ..task.clone() };
        match store.change_approval_task(next, now()).await {
            Ok(renewed) => task = renewed?,
            Err(error) if task.lease <= now() => {
                tracing::warn!(%error, task = task.id, "a task is given up, for the store fails");
                return None;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
