//! Stage: calls that policies hold until people have approved them. It comes after validation, so that what is shown to
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
        let held =
            call.notes.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Hold);
        match held {
            false => Step::CONTINUE,
            true => Step::Later(Box::pin(hold(gateway, call))),
        }
    }

    /// A server that asks for input will be sent the same call again, which is let through once.
    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let approved = call.notes.approval.as_deref()?;
        let Ok(Reply::Result(result)) = reply else { return None };
        let state = continues_from(result)?;
        Some(Box::pin(async move { approved.goes_on(&state).await }))
    }
}
