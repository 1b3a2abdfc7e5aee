//! Stage: inspects what servers return, before anything else sees it: results, errors and, during the call, notifications.
//!
//! It comes before the cache, so what is served from it is inspected for each caller, by the settings in force.

use std::sync::Arc;

use doorward_guards::inspection::{
    Direction, ErrorTexts, Inspected, LARGE, Refused, Verdict, Watch, codes,
};
use doorward_mcp::{Object, method};
use doorward_schema::{Effort, NoTurn};

use super::inspection::report;
use super::results;
use crate::call::{Call, CallError, Events, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Settling, Stage, Step};
use doorward_upstream::catalog::ToolEntry;

pub struct Answers;

impl Stage for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, _: &'a mut Call, _: &'a Events) -> Step<'a> {
        Step::CONTINUE
    }

    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let guard = call.notes.inspection.as_ref()?.guard.clone();
        match reply {
            Ok(Reply::Result(result)) if result.size_hint() < LARGE => {
                let (inspected, changed) = guard.result(&call.method, result.clone());
                let text = note(call, reply, inspected).and(changed)?;
                match output_schema(call, &text) {
                    Some(tool) => Some(Box::pin(checked(call, reply, tool, text))),
                    None => {
                        *reply = Ok(Reply::Result(text));
                        None
                    }
                }
            }
            Ok(Reply::Result(result)) => {
                let (method, result) = (call.method.clone(), result.clone());
                Some(Box::pin(async move {
                    let inspecting = move || guard.result(&method, result);
                    let Some((inspected, changed)) = away(call, reply, inspecting).await else {
                        return;
                    };
                    let Some(text) = note(call, reply, inspected).and(changed) else { return };
                    match output_schema(call, &text) {
                        Some(tool) => checked(call, reply, tool, text).await,
                        None => *reply = Ok(Reply::Result(text)),
                    }
                }))
            }
            Ok(Reply::Listening(_) | Reply::Held(_)) => None,
            Err(error) => {
                let texts = texts(error)?;
                if texts.bytes() < LARGE {
                    let (inspected, changed) = guard.error(&texts);
                    note_error(call, reply, inspected, changed);
                    return None;
                }
                Some(Box::pin(async move {
                    let inspecting = move || guard.error(&texts);
                    if let Some((inspected, changed)) = away(call, reply, inspecting).await {
                        note_error(call, reply, inspected, changed);
                    }
                }))
            }
        }
    }

    fn leave(&self, gateway: &Gateway, call: &mut Call, _: &mut Result<Reply, CallError>) {
        let Some(inspecting) = &mut call.notes.inspection else { return };
        let mut refused = inspecting.refused.clone();
        if let Some(watch) = &inspecting.watch {
            let (found, dropped) = watch.take();
            inspecting.returned.add(found);
            refused = refused.or(dropped);
        }
        let found = &inspecting.returned;
        if found.is_empty() && refused.is_none() {
            return;
        }
        let returned = call.notes.returned.get_or_insert_default();
        returned.findings.extend(found.findings.iter().cloned());
        returned.data.extend(found.classes());
        report(gateway, Direction::Results, found, refused.as_ref());
    }
}

/// Events whose notifications are inspected; `None` where nothing is.
pub(super) fn inspected(call: &mut Call, events: &Events) -> Option<Events> {
    let inspecting = call.notes.inspection.as_mut()?;
    let watch = Arc::new(Watch::new(inspecting.guard.clone()));
    inspecting.watch = Some(watch.clone());
    Some(events.clone().filtered(watch))
}

/// Inspects on another thread. `None` if it could not be inspected: the reply is an error then.
async fn away<T: Send + 'static>(
    call: &Call,
    reply: &mut Result<Reply, CallError>,
    inspecting: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let server = call.route.as_ref()?.server.clone();
    let principal = call.caller.principal.clone();
    match server.catalog.checks.run(&principal.id, inspecting).await {
        Ok(Some(inspected)) => Some(inspected),
        Ok(None) | Err(NoTurn) => {
            let mut failure = NoTurn.failure();
            failure.message =
                "The call was made, but too many answers are inspected at once".into();
            // What was done is not to be done again.
            failure.retryable = false;
            *reply = Err(failure.into());
            None
        }
    }
}

/// Notes what was found. `None` if the reply is refused, which it is then.
fn note(call: &mut Call, reply: &mut Result<Reply, CallError>, inspected: Inspected) -> Option<()> {
    let inspecting = call.notes.inspection.as_mut()?;
    inspecting.returned.add(inspected.found);
    let Verdict::Refuse(refused) = inspected.verdict else { return Some(()) };
    refuse(call, reply, refused);
    None
}

fn refuse(call: &mut Call, reply: &mut Result<Reply, CallError>, refused: Refused) {
    let what =
        if *call.method == *method::TOOLS_CALL { "tool was called" } else { "server was asked" };
    let subject = format!("The {what}, but what it returned contains");
    *reply = Err(refused.error(&subject, &call.id.to_string()).into());
    if let Some(inspecting) = &mut call.notes.inspection {
        inspecting.refused = Some(refused);
    }
}

/// The tool whose output schema a changed result has to match. One that did not match before does not have to.
fn output_schema(call: &Call, result: &Object) -> Option<Arc<ToolEntry>> {
    let tool = call.route.as_ref()?.tool.as_ref().filter(|_| !call.notes.invalid_result)?;
    tool.schemas.output.as_ref()?;
    result.contains("structuredContent").then(|| tool.clone())
}

/// Replies with a changed result, if it still matches its output schema.
async fn checked(
    call: &mut Call,
    reply: &mut Result<Reply, CallError>,
    tool: Arc<ToolEntry>,
    result: Object,
) {
    let Some(text) = result.get("structuredContent").map(doorward_mcp::Value::to_bytes) else {
        return;
    };
    let checking = move || results::check(&tool, &text, Effort::Full);
    match away(call, reply, checking).await {
        None => {}
        Some(Ok(())) => *reply = Ok(Reply::Result(result)),
        Some(Err(_)) => {
            let what = "data that cannot be replaced without breaking the tool's output schema";
            let (code, place) = (codes::SCHEMA, "/structuredContent".to_owned());
            refuse(call, reply, Refused { code, what: what.into(), place });
        }
    }
}

/// The texts of an error that come from a server.
fn texts(error: &CallError) -> Option<ErrorTexts> {
    match error {
        CallError::Rpc(error) => Some(ErrorTexts::from(error)),
        CallError::Gateway(failure) | CallError::Refused { failure, .. } => {
            Some(ErrorTexts { code: 0, message: failure.message.clone(), data: None })
        }
        CallError::Denied(_) | CallError::InvalidArguments(_) | CallError::Limited(_) => None,
    }
}

fn note_error(
    call: &mut Call,
    reply: &mut Result<Reply, CallError>,
    inspected: Inspected,
    changed: Option<ErrorTexts>,
) {
    let (Some(()), Some(changed)) = (note(call, reply, inspected), changed) else { return };
    match reply {
        Err(CallError::Rpc(error)) => (error.message, error.data) = (changed.message, changed.data),
        Err(CallError::Gateway(failure) | CallError::Refused { failure, .. }) => {
            failure.message = changed.message;
        }
        _ => {}
    }
}
