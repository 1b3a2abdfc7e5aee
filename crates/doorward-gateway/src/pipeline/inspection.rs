//! Stage: inspects what the caller sends. What is found are facts that policies may use; what the settings replace is
//! replaced before anything else sees it. A refusal is returned after the policies ([`refused`]).

use std::sync::Arc;

use doorward_guards::inspection::{
    Direction, Found, Guard, InspectedParts, Inspecting, LARGE, Parts, Refused, Target, Verdict,
};
use doorward_mcp::method;
use doorward_schema::NoTurn;
use doorward_upstream::catalog::kind_of;
use doorward_upstream::state::names_a_task;

use super::arguments::headers_agree;
use crate::call::{Call, CallError, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::record;

pub struct Inspection;

impl Stage for Inspection {
    fn name(&self) -> &'static str {
        "inspection"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if !gateway.inspection.is_on() {
            return Step::CONTINUE;
        }
        let Some(guard) = guard(gateway, call) else { return Step::CONTINUE };
        let inspecting = match &call.notes.inspection {
            // A check or an approver has changed the arguments.
            Some(before) => Inspecting::again(guard, before),
            None => Inspecting::new(guard),
        };
        let guard = inspecting.guard.clone();
        call.notes.inspection = Some(Box::new(inspecting));
        let about_task = names_a_task(&call.method);
        let parts = Parts::of(&call.method, &call.params, call.retry.as_ref(), about_task);
        if parts.bytes() < LARGE {
            apply(gateway, call, parts.inspect(&guard));
            return Step::CONTINUE;
        }
        let Some(server) = call.route.as_ref().map(|route| route.server.clone()) else {
            return Step::CONTINUE;
        };
        Step::Later(Box::pin(async move {
            let principal = call.caller.principal.clone();
            let inspecting = move || parts.inspect(&guard);
            let inspected = server.catalog.checks.run(&principal.id, inspecting).await;
            let inspected = inspected.map_err(NoTurn::failure)?.ok_or_else(|| NoTurn.failure())?;
            apply(gateway, call, inspected);
            Ok(None)
        }))
    }
}

fn guard(gateway: &Gateway, call: &Call) -> Option<Guard> {
    let route = call.route.as_ref()?;
    let reference;
    let name = match &*call.method {
        method::TOOLS_CALL | method::PROMPTS_GET => call.params.string("name"),
        method::RESOURCES_READ => call.params.string("uri"),
        method::COMPLETE => {
            reference = call.params.object("ref").unwrap_or_default();
            reference.string("name").or_else(|| reference.string("uri"))
        }
        of if names_a_task(of) => record::subject(call),
        // Lists are definitions.
        of if of == method::DISCOVER || of == method::LISTEN || kind_of(of).is_some() => {
            return None;
        }
        _ => None,
    };
    let target = name.as_deref().map_or(Target::Unknown, Target::Named);
    let tenant = call.caller.principal.who.tenant.as_deref();
    gateway.inspection.guard(&route.server.name, target, tenant)
}

fn apply(gateway: &Gateway, call: &mut Call, inspected: InspectedParts) {
    // Headers mirror what the client has sent, which is not sent on.
    if call.param_headers.is_some() && inspected.change_arguments() && headers_agree(call).is_ok() {
        call.param_headers = None;
    }
    let (found, verdict) = inspected.apply(&mut call.params, call.retry.as_mut());
    let Some(inspecting) = &mut call.notes.inspection else { return };
    match verdict {
        Verdict::Pass => {}
        Verdict::Hold(what) => {
            call.notes.held = inspecting.guard.approval().map(|approval| {
                Box::new(approval.hold("inspection", format!("It contains {what}")))
            });
        }
        Verdict::Refuse(refused) => inspecting.refused = Some(refused),
    }
    if found.is_empty() {
        return;
    }
    let facts = call.notes.facts.get_or_insert_default();
    facts.findings.extend(found.findings.iter().cloned());
    facts.data.extend(found.classes());
    report(gateway, Direction::Arguments, &found, inspecting.refused.as_ref());
    inspecting.arguments.add(found);
}

/// Why a call is refused for what it contains, if it is.
pub(super) fn refused(call: &Call) -> Option<CallError> {
    let refused = call.notes.inspection.as_ref()?.refused.as_ref()?;
    let subject = match &*call.method {
        method::RESOURCES_READ => "The URI contains",
        _ => "The arguments contain",
    };
    Some(refused.error(subject, &call.id.to_string()).into())
}

/// Counts and logs what was found in one direction of a call.
pub(super) fn report(
    gateway: &Gateway,
    direction: Direction,
    found: &Found,
    refused: Option<&Refused>,
) {
    let metrics = &gateway.shared.metrics.inspection;
    let direction = direction.as_str();
    found.findings.iter().for_each(|signal| metrics.finding(direction, signal));
    for ((class, action), count) in &found.data {
        metrics.data(direction, class, action, *count);
    }
    let (findings, data) = (&found.findings, found.classes());
    match refused {
        Some(refused) => {
            metrics.refused(direction, refused.code);
            let (code, place) = (refused.code, &*refused.place);
            tracing::info!(direction, code, place, ?findings, ?data, "refused by inspection");
        }
        None => tracing::debug!(direction, ?findings, ?data, "found by inspection"),
    }
}
