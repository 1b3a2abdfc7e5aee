//! Arguments that an approver has set: checked when they decide, put into the call that runs, and told its caller.

use std::fmt::Write;

use doorward_authorization::form::Form;
use doorward_authorization::page::escaped;
use doorward_governance::approvals::{Approval, Edits};
use doorward_mcp::display::is_harmful;
use doorward_mcp::{Object, Value, method};
use doorward_observability::audit::mask::MASKED;
use doorward_schema::Effort;
use serde_json::{Map, Value as Json, json};

use crate::call::{Call, CallError, Reply};
use crate::gateway::Gateway;

/// What the fields of the page's form begin with.
const FIELD: &str = "edit.";
/// The field of a form that has such fields.
const EDITS: &str = "edits";

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
    let Some(schema) = tool.as_ref().and_then(|tool| tool.schemas.input.as_ref()) else {
        return Ok(());
    };
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
        Some(failure) => Err(format!("'{}' {}", failure.path, failure.problem)),
        None => Ok(()),
    }
}

/// How an argument is edited on the page: as a text, or as JSON; and what is in its field.
fn shown(arguments: &Map<String, Json>, name: &str) -> (bool, String) {
    match arguments.get(name) {
        None => (false, String::new()),
        Some(Json::String(text)) if visible(text) == *text => (true, text.clone()),
        Some(value) => {
            let mut out = String::new();
            for letter in value.to_string().chars() {
                if is_unseen(letter) {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        _ = write!(out, "\\u{unit:04x}");
                    }
                } else {
                    out.push(letter);
                }
            }
            (false, out)
        }
    }
}

/// The arguments as approvers see them, and which of them may be edited: not those that are masked.
fn editable(approval: &Approval) -> (Map<String, Json>, Vec<&str>) {
    let arguments = serde_json::from_str(&approval.subject.arguments).unwrap_or_default();
    let masked = |name: &str| {
        let value: Option<&Json> = Map::get(&arguments, name);
        value.is_some_and(|value| value.to_string().contains(MASKED))
    };
    let names = approval.editable().into_iter().filter(|name| !masked(name)).collect();
    (arguments, names)
}

/// Fields of the page's form for the arguments that may be edited.
pub fn fields(approval: &Approval) -> String {
    let (arguments, names) = editable(approval);
    let field = |name: &&str| {
        let (is_text, value) = shown(&arguments, name);
        let how = if is_text { "text" } else { "JSON" };
        format!(
            "<label>{} ({how})<input name=\"{FIELD}{}\" value=\"{}\" autocomplete=\"off\"></label>",
            escaped(&visible(name)),
            escaped(name),
            escaped(&value)
        )
    };
    if names.is_empty() {
        return String::new();
    }
    let fields: String = names.iter().map(field).collect();
    format!("<input type=\"hidden\" name=\"{EDITS}\" value=\"yes\">{fields}")
}

/// What was edited in the form. The error says what cannot be read.
pub fn read(form: &Form, approval: &Approval) -> Result<Edits, String> {
    let (arguments, names) = editable(approval);
    let mut edits = Edits::new();
    if form.get(EDITS).is_none() {
        return Ok(edits);
    }
    for name in names {
        // An empty field is not among those of a form.
        let text = form.get(&format!("{FIELD}{name}")).unwrap_or_default();
        let (is_text, before) = shown(&arguments, name);
        if text == before {
            continue;
        }
        let value = match is_text {
            true => text.into(),
            false => serde_json::from_str(text)
                .map_err(|_| format!("'{name}' is not JSON, such as 5 or \"text\""))?,
        };
        if arguments.get(name) != Some(&value) {
            edits.insert(name.to_owned(), value);
        }
    }
    Ok(edits)
}

/// Whether a letter cannot be seen, or changes how others are.
fn is_unseen(letter: char) -> bool {
    letter == '\u{fe0f}' || (letter.is_control() && letter != '\n') || is_harmful(letter)
}

/// With what cannot be seen written out, so that nothing is approved unseen.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unseen(letter) {
            out.push_str(&letter.escape_unicode().to_string());
        } else {
            out.push(letter);
        }
    }
    out
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
        Err(_) | Ok(Reply::Listening(_)) => {}
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
