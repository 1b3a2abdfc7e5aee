//! Stage: external checks. Before the call, they come after validation, so that they are asked about what a server would be
//! sent; what they change is validated and decided by the policies once more. After it, they are asked about whatever is
//! returned, cached results among it, for each caller.
//!
//! Elicitation and sampling requests, progress and log messages pass unchecked.

use std::sync::Arc;

use doorward_config::CheckWhen;
use doorward_governance::approvals::join;
use doorward_guards::checks::{self, Part, Refused, Subject};
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, RpcError, Value, interaction, method};
use doorward_observability::audit::mask::masked_value;
use doorward_upstream::state::names_a_task;
use serde_json::json;

use super::checked::Checked;
use super::policy::Policy;
use super::results;
use crate::call::{Call, CallError, Events, Failure, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Decision, Settling, Stage, Step, again};
use crate::record;

pub struct Checks;

impl Stage for Checks {
    fn name(&self) -> &'static str {
        "checks"
    }

    fn enter<'a>(
        &self,
        gateway: &'a Arc<Gateway>,
        call: &'a mut Call,
        events: &'a Events,
    ) -> Step<'a> {
        let Some(checks) = gateway.checks.load() else { return Step::CONTINUE };
        let Some(route) = &call.route else { return Step::CONTINUE };
        let is_task = names_a_task(&call.method);
        let name = record::subject(call);
        if name.is_none() && !is_task {
            return Step::CONTINUE;
        }
        let concern = |when| checks.concern(when, &route.server.name, name.as_deref());
        let before = !is_task && concern(CheckWhen::Before);
        if !before && !concern(CheckWhen::After) {
            return Step::CONTINUE;
        }
        let (shared, reports) = (gateway.shared.clone(), Vec::new());
        let about = about(call);
        call.notes.checks = Some(Box::new(Checked { checks, shared, about, reports }));
        match before {
            true => Step::Later(Box::pin(ask_before(gateway, call, events))),
            false => Step::CONTINUE,
        }
    }

    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let checked = call.notes.checks.as_ref()?;
        let (part, body) = answer_of(call, reply)?;
        let server = &call.route.as_ref()?.server.name;
        let name = record::subject(call);
        let concern = checked.checks.concern(CheckWhen::After, server, name.as_deref());
        concern.then(|| -> Settling<'a> { Box::pin(ask_after(call, reply, part, body)) })
    }
}

/// The answer of a server, where it has one that is shown to the client as it is.
fn answer_of(call: &Call, reply: &Result<Reply, CallError>) -> Option<(Part, Object)> {
    match reply {
        Ok(Reply::Result(result)) => {
            let is_final = match names_a_task(&call.method) {
                true => result.contains("result") || result.contains("error"),
                false => interaction::result_type(result) == "complete",
            };
            is_final.then(|| (Part::Result, result.clone()))
        }
        // Errors of the gateway are its own words.
        Err(CallError::Rpc(error)) if !call.notes.upstream.is_zero() => {
            Some((Part::Error, Object::parse(&error.to_bytes())?))
        }
        _ => None,
    }
}

/// What checks are told of a call beside its arguments or answer.
fn about(call: &Call) -> serde_json::Value {
    let principal = &call.caller.principal;
    let who = &principal.who;
    let facts = call.notes.facts.as_deref().cloned().unwrap_or_default();
    let settings = call.route.as_ref().map(|route| &route.server.settings);
    json!({
        "principal": {
            "kind": who.kind, "id": who.id, "tenant": who.tenant, "teams": who.teams, "roles": who.roles,
            "agent": principal.agent, "chain": principal.chain,
        },
        "protocol": call.protocol.as_str(),
        "portal": call.portal.name(),
        "write": record::is_write(call),
        "environment": settings.and_then(|settings| settings.environment.as_deref()),
        "findings": facts.findings,
        "flow": facts.flow,
    })
}

/// Asks about a part of a call, and notes what was said.
async fn ask(
    call: &mut Call,
    checked: &mut Checked,
    part: Part,
    body: Object,
) -> (checks::Outcome, Object) {
    let settings = checked.shared.audit.settings().clone();
    let mask = |value: serde_json::Value| masked_value(&settings, value);
    let id = call.id.to_string();
    let name = record::subject(call);
    let facts = match part {
        Part::Arguments => &call.notes.facts,
        _ => &call.notes.returned,
    };
    let data = facts.as_ref().map(|facts| facts.data.clone()).unwrap_or_default();
    let mut subject = Subject {
        call: &id,
        server: call.route.as_ref().map_or("", |route| &*route.server.name),
        method: &call.method,
        name: name.as_deref(),
        about: checked.about.clone(),
        mask: &mask,
        part,
        body,
        data,
        labels: call.notes.labels.clone(),
    };
    let mut outcome = checked.checks.clone().ask(&mut subject).await;
    let Subject { body, data, labels, .. } = subject;
    drop(name);
    checked.note(std::mem::take(&mut outcome.reports));
    call.notes.labels = labels;
    if !data.is_empty() {
        let facts = match part {
            Part::Arguments => &mut call.notes.facts,
            _ => &mut call.notes.returned,
        };
        facts.get_or_insert_default().data = data;
    }
    (outcome, body)
}

async fn ask_before(gateway: &Arc<Gateway>, call: &mut Call, events: &Events) -> Decision {
    let has_arguments = matches!(&*call.method, method::TOOLS_CALL | method::PROMPTS_GET);
    let body = match has_arguments {
        true => call.params.object("arguments").unwrap_or_default().into_owned(),
        false => only(&call.params, "uri"),
    };
    let Some(mut checked) = call.notes.checks.take() else { return Ok(None) };
    let before = call.notes.facts.as_ref().map(|facts| facts.data.len());
    let (outcome, body) = ask(call, &mut checked, Part::Arguments, body).await;
    call.notes.checks = Some(checked);
    if let Some(refused) = &outcome.refused {
        return Err(refusal(refused, false));
    }
    if outcome.changed {
        if !has_arguments {
            return Err(Failure::new(
                Kind::CheckRefused,
                "A check changes the URI, which is not possible",
            )
            .into());
        }
        call.params.set("arguments", Value::Object(body));
        // They mirror what the client has sent; the server is sent those of the new arguments.
        call.param_headers = None;
    }
    let finds = call.notes.facts.as_ref().map(|facts| facts.data.len()) != before;
    let learns = carries_more(call) || finds;
    let reply = match (outcome.changed, learns) {
        (true, _) => again(gateway, call, events).await?,
        // The arguments are the same: they are not inspected again, which would undo what was turned back in them.
        (false, true) => Policy.enter(gateway, call, events).decision().await?,
        (false, false) => None,
    };
    if reply.is_some() {
        return Ok(reply);
    }
    outcome.held.into_iter().try_for_each(|held| hold(call, held)).map(|()| None)
}

/// Adds the labels that checks have given the call to those that its caller carries, for the policies.
fn carries_more(call: &mut Call) -> bool {
    if call.notes.labels.is_empty() {
        return false;
    }
    let flow = &mut call.notes.facts.get_or_insert_default().flow;
    let before = flow.len();
    flow.extend(call.notes.labels.iter().cloned());
    flow.len() > before
}

/// An object with one member of another.
fn only(params: &Object, member: &str) -> Object {
    let mut object = Object::new();
    if let Some(value) = params.get(member) {
        object.set(member, value.clone());
    }
    object
}

/// Lets people decide about the call. What two parts of the gateway hold for different people is refused: nobody could
/// approve it.
fn hold(call: &mut Call, held: checks::Held) -> Result<(), CallError> {
    let check = &held.check;
    let reason = match held.reason.is_empty() {
        true => format!("The check '{check}' requires approval"),
        false => held.reason,
    };
    let hold = held.approval.hold(&format!("check:{check}"), reason);
    join(&mut call.notes.held, hold).map_err(|others| {
        let why = format!("so does {others}, for other approvers");
        let message = format!("The check '{check}' holds the call for approval: {why}");
        Failure::new(Kind::CheckRefused, message).into()
    })
}

/// The error of a call that a check does not let through.
fn refusal(refused: &Refused, was_called: bool) -> CallError {
    let kind = if refused.failed { Kind::CheckFailed } else { Kind::CheckRefused };
    let retryable = refused.failed && !was_called;
    Failure { retryable, ..Failure::new(kind, refused.message(was_called)) }.into()
}

async fn ask_after(
    call: &mut Call,
    reply: &mut Result<Reply, CallError>,
    part: Part,
    body: Object,
) {
    let Some(mut checked) = call.notes.checks.take() else { return };
    let (outcome, body) = ask(call, &mut checked, part, body).await;
    let most = checked.shared.limits.message.0;
    call.notes.checks = Some(checked);
    if let Some(refused) = &outcome.refused {
        *reply = Err(refusal(refused, true));
        return;
    }
    if !outcome.changed {
        return;
    }
    let changed = match part {
        _ if body.size_hint() > most => Err("it made the result larger than the limit"),
        Part::Error => {
            RpcError::read(&body).map(|error| Err(error.into())).ok_or("it made no error of it")
        }
        _ => fits(call, reply, &body).await.map(|()| Ok(Reply::Result(body))),
    };
    *reply = changed.unwrap_or_else(|why| {
        let message = format!("The server was called, but a check changed its result: {why}");
        Err(Failure::new(Kind::CheckFailed, message).into())
    });
}

/// Whether a changed result can be returned in the place of the server's.
async fn fits(
    call: &Call,
    reply: &Result<Reply, CallError>,
    changed: &Object,
) -> Result<(), &'static str> {
    let Ok(Reply::Result(result)) = reply else { return Err("there is none") };
    if !checks::is_same_kind(result, changed) {
        return Err("it is another kind of result");
    }
    match call.notes.invalid_result || results::fits(call, changed).await {
        true => Ok(()),
        false => Err("it does not match the tool's output schema"),
    }
}
