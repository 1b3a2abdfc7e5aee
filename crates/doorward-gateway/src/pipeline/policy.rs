//! Stage: policies. What a caller may not see is answered as if it did not exist; what they may see but not do, with
//! the reason.

use std::sync::Arc;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::names::qualified_uri;
use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Object, RpcError, method};
use doorward_policy::{Action, Arguments, Decision, Facts, Hold, Target, TargetKind, Verdict};

use crate::access::decide::Asking;
use crate::access::targets::target;
use crate::call::{AboutTask, Call, CallError, Events, Failure, Reply, Route};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use doorward_identity::identity::Grant;
use doorward_upstream::catalog::kind_of;
use doorward_upstream::state::names_a_task;

pub struct Policy;

impl Stage for Policy {
    fn name(&self) -> &'static str {
        "policy"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if gateway.is_unrestricted(&call.caller.principal, &call.portal) {
            return Step::CONTINUE;
        }
        let Some(route) = &call.route else { return Step::CONTINUE };
        let (decision, judged) = judge(gateway, call, route);
        call.notes.decision = decision;
        match judged {
            Ok(()) => Step::CONTINUE,
            Err(error) => Step::refuse(error),
        }
    }

    /// What was answered to somebody who had to say who they are is nobody else's (attack T22).
    fn leave(&self, _: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        if call.caller.principal.grant == Grant::Open {
            return;
        }
        if let Ok(Reply::Result(result)) = reply
            && let Some(hints) = CacheHints::read(result).filter(|hints| hints.public)
        {
            CacheHints { public: false, ..hints }.put(result);
        }
    }
}

/// Why a call does not run that an approver has edited.
pub(super) const EDITED_IS_HELD: &str = "As it was edited, the call requires another approval";

/// Asks again for a call that an approver has edited: nothing may hold it that has not held it before.
pub fn judge_again(gateway: &Gateway, call: &mut Call) -> Result<(), CallError> {
    let Some(route) = &call.route else { return Ok(()) };
    if gateway.is_unrestricted(&call.caller.principal, &call.portal) {
        return Ok(());
    }
    let (decision, judged) = judge(gateway, call, route);
    let before = call.notes.decision.take();
    let approved = before.as_ref().map(|before| &before.holds[..]).unwrap_or_default();
    let is_new = |hold: &Hold| !approved.contains(hold);
    let held_anew = decision.as_ref().is_some_and(|now| now.holds.iter().any(is_new));
    // What it was held for stays in its record.
    if judged.is_ok() && !held_anew {
        call.notes.decision = before;
        return Ok(());
    }
    call.notes.decision = decision;
    judged?;
    Err(Failure::new(Kind::Denied, EDITED_IS_HELD).into())
}

/// A decision, where one had to be taken, and what comes of it.
type Judged = (Option<Box<Decision>>, Result<(), CallError>);

fn judge(gateway: &Gateway, call: &Call, route: &Route) -> Judged {
    let server = &route.server;
    let name = |member: &str| {
        call.params.string(member).map(std::borrow::Cow::into_owned).unwrap_or_default()
    };
    match &*call.method {
        method::TOOLS_CALL => {
            let name = name("name");
            let Some(tool) = &route.tool else { return (None, Err(absent(call, "tool", &name))) };
            let target = target(server, TargetKind::Tool, &name, Some(tool));
            let arguments = gateway.arguments(&call.params);
            ask(gateway, call, Action::Call, &target, arguments, || absent(call, "tool", &name))
        }
        method::PROMPTS_GET => {
            let name = name("name");
            let target = target(server, TargetKind::Prompt, &name, None);
            let arguments = gateway.arguments(&call.params);
            ask(gateway, call, Action::Get, &target, arguments, || absent(call, "prompt", &name))
        }
        method::RESOURCES_READ => {
            let uri = name("uri");
            let target = target(server, TargetKind::Resource, &uri, None);
            let nothing = Arguments::default();
            ask(gateway, call, Action::Read, &target, nothing, || absent(call, "resource", &uri))
        }
        method::COMPLETE => {
            let reference = call.params.object("ref").unwrap_or_default();
            let uri = reference.string("uri");
            let kind = if uri.is_some() { TargetKind::Resource } else { TargetKind::Prompt };
            let name = uri.or_else(|| reference.string("name")).unwrap_or_default();
            let target = target(server, kind, &name, None);
            let unknown =
                || RpcError::invalid_params("'ref' does not name a known prompt or resource");
            ask(gateway, call, Action::Complete, &target, Arguments::default(), || unknown().into())
        }
        // What its server asks for in the midst of a task is another part of the call that has created it.
        method::TASKS_UPDATE => {
            // Of an unknown task, the server says so.
            let Some(AboutTask { of, tool }) = call.notes.task.as_deref() else {
                return (None, Ok(()));
            };
            let target = target(server, TargetKind::Tool, &of.tool, tool.as_deref());
            let arguments = match &of.arguments {
                None => Arguments::Any,
                Some(arguments) => {
                    let mut params = Object::new();
                    params.set("arguments", arguments.clone());
                    gateway.arguments(&params)
                }
            };
            ask(gateway, call, Action::Call, &target, arguments, || unknown_task().into())
        }
        // A task belongs to who started it, which its sealed id shows.
        of if names_a_task(of) => (None, Ok(())),
        // What is told in lists is filtered there.
        method::DISCOVER | method::LISTEN => (None, Ok(())),
        of if kind_of(of).is_some() => (None, Ok(())),
        // What an extension's method does, no policy can say.
        of => (None, Err(RpcError::method_not_found(of).into())),
    }
}

/// Asks with the arguments, and if these are refused, whether any would do.
fn ask(
    gateway: &Gateway,
    call: &Call,
    action: Action,
    target: &Target,
    arguments: Arguments,
    absent: impl FnOnce() -> CallError,
) -> Judged {
    let asking = call.asking();
    let unknown = call.notes.conversing.as_ref().and_then(|conversing| conversing.unknown);
    let again = unknown.map(|why| (why, arguments.clone()));
    let mut decision = Box::new(gateway.decide(&asking, action, target, arguments));
    // Whether it would be the same if the caller carried nothing.
    if !decision.is_allowed()
        && let Some((why, arguments)) = again
    {
        let known = call
            .notes
            .facts
            .as_deref()
            .map(|facts| Facts { flow: std::collections::BTreeSet::new(), ..facts.clone() });
        let asking = Asking { facts: known.as_ref(), ..call.asking() };
        let otherwise = gateway.decide(&asking, action, target, arguments);
        if otherwise.verdict != decision.verdict {
            decision.note = Some(why.explained());
        }
    }
    // What is held goes on to the stage of approvals, with its arguments validated.
    if decision.is_allowed() || decision.verdict == Verdict::Hold {
        return (Some(decision), Ok(()));
    }
    tell(call, action, target, &decision);
    // As lists do: what was learnt of this call says nothing of another.
    let listing = Asking { facts: None, ..asking };
    let visible = gateway.decide(&listing, action, target, Arguments::Any).is_possible();
    let error = if visible { CallError::Denied(decision.clone()) } else { absent() };
    (Some(decision), Err(error))
}

/// All of a refusal, for the operator.
fn tell(call: &Call, action: Action, target: &Target, decision: &Decision) {
    let policies: Vec<&str> = decision.policies.iter().map(|policy| policy.id.as_str()).collect();
    tracing::info!(
        principal = &*call.caller.principal.id,
        action = action.as_str(),
        target = target.id(),
        code = decision.code.as_str(),
        policies = ?policies,
        errors = ?decision.errors,
        reason = decision.reason(),
        "denied"
    );
}

/// The answer for what is not there, and for what must seem so.
pub fn absent(call: &Call, what: &str, name: &str) -> CallError {
    // As the client wrote it: a portal may have other names.
    let name = match (&call.shown_name, &call.route) {
        (Some(shown), _) => shown.to_string(),
        (None, Some(route)) if call.portal.is_merged() && what == "resource" => {
            qualified_uri(&route.server.name, name)
        }
        _ => name.to_owned(),
    };
    if what == "resource" {
        return unknown_resource(&name).into();
    }
    RpcError::invalid_params(format!("Unknown {what}: {name}")).into()
}

pub fn unknown_task() -> RpcError {
    RpcError::invalid_params("Unknown task")
}

pub fn unknown_resource(uri: &str) -> RpcError {
    RpcError::new(code::INVALID_PARAMS, format!("Resource not found: {uri}"))
        .with_data(&serde_json::json!({ "uri": uri }))
}
