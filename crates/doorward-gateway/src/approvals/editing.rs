//! Arguments that an approver has set: checked when they decide, put into the call that runs, and told its caller.

use doorward_governance::approvals::{Approval, Edits};
use doorward_mcp::{Object, Value, method};
use doorward_schema::Effort;
use serde_json::json;

use crate::call::{Call, CallError, Reply};
use crate::gateway::Gateway;

const UNKNOWN: &str = "the arguments cannot be edited now: the gateway does not know the tool, \
    because its server is unavailable. Approve without edits, or try again later";

/// Puts edited arguments into the parameters of a call.
pub fn apply(params: &mut Object, edits: &Edits) {
    let mut arguments = params.object("arguments").unwrap_or_default().into_owned();
    for (name, value) in edits {
        arguments.set(name, Value::from_serde(value));
    }
    params.set("arguments", arguments);
}

/// Has a call run with edited arguments. Its headers mirror those that its client has sent.
pub fn put(call: &mut Call, edits: &Edits) {
    apply(&mut call.params, edits);
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

/// Edited arguments in words.
pub fn in_words(edits: &Edits) -> String {
    let all: Vec<String> = edits.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    all.join(", ")
}

/// Tells the caller that the call has run with other arguments than theirs.
pub fn tell(call: &Call, edits: &Edits, reply: &mut Result<Reply, CallError>) {
    let text = format!("An approver has changed arguments of this call: {}", in_words(edits));
    match reply {
        Ok(Reply::Result(result)) => {
            let mut about = result.object("_meta").unwrap_or_default().into_owned();
            about.set("doorward/approval", Value::from_serde(&json!({ "edited": edits })));
            result.set("_meta", about);
            if *call.method == *method::TOOLS_CALL
                && let Some(mut content) = result.get("content").and_then(Value::as_array)
            {
                content.push(Value::from_serde(&json!({ "type": "text", "text": text })));
                result.set("content", Value::array(&content));
            }
        }
        Err(CallError::Rpc(error)) => error.message = format!("{}. {text}", error.message),
        Err(CallError::Gateway(failure) | CallError::Refused { failure, .. }) => {
            failure.message = format!("{}. {text}", failure.message);
        }
        // It was not sent.
        Err(_) | Ok(Reply::Listening(_) | Reply::Held(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_edited_becomes_another() {
        let text = r#"{"name":"pay","arguments":{"amount":250.00,"big":12345678901234567890123}}"#;
        let mut params = Object::parse(&text.as_bytes().to_vec().into()).unwrap();
        let edits = Edits::from([("amount".into(), json!(99.5)), ("note".into(), json!("ok"))]);
        apply(&mut params, &edits);
        let text = String::from_utf8(params.to_bytes().to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"name":"pay","arguments":{"amount":99.5,"big":12345678901234567890123,"note":"ok"}}"#
        );
    }
}
