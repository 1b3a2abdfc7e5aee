//! Stage: calls that policies or other stages hold until people have approved them. It comes after validation, so that what is shown to
//! them is what a server would be sent, and before anything is charged or recorded as begun.

use std::sync::Arc;

use doorward_policy::Verdict;

use crate::approvals::approved::continues_from;
use crate::approvals::hold::hold;
use crate::call::{Call, CallError, Events, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Settling, Stage, Step};

pub struct Approval;

impl Stage for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let by_policies =
            call.notes.decision.as_ref().is_some_and(|it| it.verdict == Verdict::Hold);
        match by_policies || call.notes.held.is_some() {
            false => Step::CONTINUE,
            true => Step::Later(Box::pin(hold(gateway, call))),
        }
    }

    /// A server that asks for input will be sent the same call again, which is let through once. What was not sent gives
    /// its approval back.
    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let approved = call.notes.approval.as_deref_mut()?;
        let (from, is_answered) = match reply {
            Ok(Reply::Result(result)) => (continues_from(result), true),
            Ok(Reply::Listening(_)) => (None, true),
            Err(_) => (None, false),
        };
        if is_answered {
            // By the server, or from the cache.
            approved.note_sent(true);
        }
        Some(Box::pin(async move { approved.settle(from.as_deref()).await }))
    }
}
