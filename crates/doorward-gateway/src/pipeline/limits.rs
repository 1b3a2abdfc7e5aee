//! Stage: applies rate limits. It comes after the policies, so that a limit reveals nothing that is hidden, and denied
//! calls do not count.

use std::sync::Arc;

use doorward_policy::PrincipalKind;

use crate::call::{Call, CallError, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::record;
use doorward_identity::identity::Grant;
use doorward_limits::rates::{Outcome, Subject};

pub struct Limits;

impl Stage for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if gateway.limiter.is_empty() {
            return Step::CONTINUE;
        }
        let outcome = {
            let target = record::target(call);
            let subject = subject(call, target.as_deref());
            gateway.limiter.count(&subject, &gateway.shared.metrics)
        };
        match outcome {
            Outcome::Taken(taken) => {
                call.notes.taken = taken;
                tell(gateway, call);
                Step::CONTINUE
            }
            Outcome::Refused(limited) => Step::refuse(CallError::Limited(limited)),
            Outcome::Ask(asked) => Step::Later(Box::pin(async move {
                let taken = gateway.limiter.ask(asked, &gateway.shared.metrics).await;
                call.notes.taken = taken.map_err(CallError::Limited)?;
                tell(gateway, call);
                Ok(None)
            })),
        }
    }
}

/// Tells the door, if it wants to know, what is left.
fn tell(gateway: &Gateway, call: &Call) {
    if let Some(wanted) = &call.notes.nearest {
        let target = record::target(call);
        if let Some(nearest) = gateway.limiter.nearest(&subject(call, target.as_deref())) {
            // A call is counted once.
            let _ = wanted.set(nearest);
        }
    }
}

/// What a call is counted by.
fn subject<'a>(call: &'a Call, target: Option<&'a str>) -> Subject<'a> {
    let principal = &call.caller.principal;
    let who = &principal.who;
    Subject {
        tenant: who.tenant.as_deref(),
        teams: &who.teams,
        user: &principal.counted,
        agent: match who.kind {
            PrincipalKind::Agent => Some(&who.id),
            PrincipalKind::User | PrincipalKind::ServiceAccount => principal.agent.as_deref(),
        },
        key: match &principal.grant {
            Grant::Key { id, .. } => Some(&id.0),
            Grant::Open | Grant::Token { .. } | Grant::Certificate => None,
        },
        server: call.route.as_ref().map(|route| &*route.server.name),
        tool: target,
        address: call.caller.address,
        write: record::is_write(call),
    }
}
