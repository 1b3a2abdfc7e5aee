//! Arguments that an approver has set: checked when they decide, put into the call that runs, and told its caller.

use doorward_governance::approvals::{Approval, Edits, edited};
use doorward_mcp::method;
use doorward_schema::Effort;
use serde_json::json;

use crate::call::{Call, CallError, Reply};
use crate::gateway::Gateway;

const UNKNOWN: &str = "the arguments cannot be edited now: the gateway does not know the tool, \
    because its server is unavailable. Approve without edits, or try again later";

/// Has a call run with edited arguments. Its headers mirror those that its client has sent.
pub fn put(call: &mut Call, edits: &Edits) {
    edited::apply(&mut call.params, edits);
    call.param_headers = None;
    call.notes.edited = Some(Box::new(edits.clone()));
}

/// Whether edited arguments fit the tool's schema, as far as can be told without the others, of which some are masked. The
/// whole is validated before the call runs.
pub fn check(gateway: &Gateway, approval: &Approval, edits: &Edits) -> Result<(), String> {
    let subject = &approval.subject;
    if edits.is_empty() || subject.method != method::TOOLS_CALL {
        return Ok(());
    }
    let tool = gateway.server(&subject.server).and_then(|server| server.catalog.latest());
    let tool = tool.and_then(|view| view.tool(&subject.name).cloned());
    let tool = tool.ok_or(UNKNOWN)?;
    let Some(schema) = &tool.schemas.input else { return Ok(()) };
    let mut arguments = serde_json::from_str(&subject.arguments).unwrap_or_else(|_| json!({}));
    if let Some(members) = arguments.as_object_mut() {
        members.extend(edits.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    let length = arguments.to_string().len();
    let Err(mismatches) = schema.check_arguments(&mut arguments, length, Effort::Glance) else {
        return Ok(());
    };
    let is_edited = |path: &str| {
        let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        edits.contains_key(&name.replace("~1", "/").replace("~0", "~"))
    };
    match mismatches.failures.iter().find(|failure| is_edited(&failure.path)) {
        Some(failure) => Err(format!("the edited argument '{}' {}", failure.path, failure.problem)),
        None => Ok(()),
    }
}

/// Tells the caller that the call has run with other arguments than theirs.
pub fn tell(call: &Call, edits: &Edits, reply: &mut Result<Reply, CallError>) {
    let text =
        format!("An approver has changed arguments of this call: {}", edited::in_words(edits));
    match reply {
        Ok(Reply::Result(result)) => {
            let is_tool = *call.method == *method::TOOLS_CALL;
            edited::tell(result, edits, is_tool.then_some(&*text));
        }
        Err(CallError::Rpc(error)) => error.message = format!("{}. {text}", error.message),
        Err(CallError::Gateway(failure) | CallError::Refused { failure, .. }) => {
            failure.message = format!("{}. {text}", failure.message);
        }
        // It was not sent.
        Err(_) | Ok(Reply::Listening(_) | Reply::Held(_)) => {}
    }
}
