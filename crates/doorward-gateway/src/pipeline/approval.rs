//! Stage: calls that policies or other stages hold until people have approved them. It comes after validation, so that what
//! is shown to them is what a server would be sent, and before anything is charged or recorded as begun.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_policy::Verdict;

use super::arguments::Arguments;
use super::flow;
use super::inspection::Inspection;
use super::policy::{self, EDITED_IS_HELD};
use crate::approvals::answer;
use crate::approvals::approved::continues_from;
use crate::approvals::editing;
use crate::approvals::hold::{ANOTHER, hold};
use crate::call::{Call, CallError, Events, Failure, HeldTask, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Settling, Stage, Step};
use crate::record::word;
use doorward_upstream::state::names_a_task;

pub struct Approval;

impl Stage for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn enter<'a>(
        &self,
        gateway: &'a Arc<Gateway>,
        call: &'a mut Call,
        events: &'a Events,
    ) -> Step<'a> {
        let by_policies =
            call.notes.decision.as_ref().is_some_and(|it| it.verdict == Verdict::Hold);
        match by_policies || call.notes.held.is_some() {
            // Only an approval lets a task run once.
            false if call.notes.runs.is_some() => Step::refuse(answer::denied(call, ANOTHER)),
            // What the user has declined is not done, be it that it needs no approval any more.
            false => answer::taken(call).map_or_else(Step::refuse, |_| Step::CONTINUE),
            true => Step::Later(Box::pin(async move {
                let brings = match gateway.flow.is_on() {
                    true => flow::brought(gateway, call),
                    false => BTreeSet::new(),
                };
                let reply = hold(gateway, call, brings).await?;
                if call.notes.edited.is_some() {
                    recheck(gateway, call, events).await?;
                }
                Ok(reply)
            })),
        }
    }

    /// A server that asks for input will be sent the same call again, which is let through once. What was not sent gives
    /// its approval back.
    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        if let Some(edits) = call.notes.edited.take() {
            editing::tell(call, &edits, reply);
            call.notes.edited = Some(edits);
        }
        let approved = call.notes.approval.as_deref_mut()?;
        let (from, is_answered, outcome) = match reply {
            Ok(Reply::Result(result)) => (continues_from(result), true, word(result).into_owned()),
            Ok(Reply::Listening(_)) => (None, true, "listening".to_owned()),
            Ok(Reply::Held(_)) | Err(_) => (None, false, "error".to_owned()),
        };
        Some(Box::pin(async move {
            if is_answered {
                // By the server, or from the cache.
                approved.note_answered().await;
            }
            approved.settle(from.as_deref(), &outcome).await;
        }))
    }
}

/// Stage: requests about the tasks of held calls, which their door answers. It comes after the limits, which count them.
pub struct HeldTasks;

impl Stage for HeldTasks {
    fn name(&self) -> &'static str {
        "held_tasks"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let asks = call.notes.can_be_task && names_a_task(&call.method);
        match asks.then(|| answer::held_task(gateway, call)).flatten() {
            Some(id) => Step::Now(Ok(Some(Reply::Held(HeldTask::Named(id))))),
            None => Step::CONTINUE,
        }
    }
}

/// Ends the approval of a call that an approver has edited if it is not permitted, or not valid, as it is now.
async fn recheck(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    events: &Events,
) -> Result<(), CallError> {
    let Err(error) = check_edited(gateway, call, events).await else { return Ok(()) };
    if let Some(approved) = &mut call.notes.approval {
        approved.end("the call is not permitted, or not valid, as it was edited").await;
    }
    call.notes.approval = None;
    Err(error)
}

/// Takes edited arguments through inspection, policies and validation. They may be held for nothing that was not approved.
async fn check_edited(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    events: &Events,
) -> Result<(), CallError> {
    let approved = call.notes.held.take();
    let inspected = Inspection.enter(gateway, call, events).decision().await;
    let held = std::mem::replace(&mut call.notes.held, approved);
    inspected?;
    if held.is_some() && held != call.notes.held {
        return Err(Failure::new(Kind::Denied, EDITED_IS_HELD).into());
    }
    policy::judge_again(gateway, call)?;
    Arguments.enter(gateway, call, events).decision().await.map(|_| ())
}
