//! Arguments that an approver has set, in the call that runs and in its result.

use doorward_mcp::{Object, Value};
use serde_json::json;

use super::Edits;

/// Puts edited arguments into the parameters of a call.
pub fn apply(params: &mut Object, edits: &Edits) {
    let mut arguments = params.object("arguments").unwrap_or_default().into_owned();
    for (name, value) in edits {
        arguments.set(name, Value::from_serde(value));
    }
    params.set("arguments", arguments);
}

/// Edited arguments in words.
pub fn in_words(edits: &Edits) -> String {
    let all: Vec<String> = edits.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    all.join(", ")
}

/// Adds edited arguments to a result, and a text for the model to its content.
pub fn tell(result: &mut Object, edits: &Edits, text: Option<&str>) {
    let mut about = result.object("_meta").unwrap_or_default().into_owned();
    about.set("doorward/approval", Value::from_serde(&json!({ "edited": edits })));
    result.set("_meta", about);
    if let Some(text) = text
        && let Some(mut content) = result.get("content").and_then(Value::as_array)
    {
        content.push(Value::from_serde(&json!({ "type": "text", "text": text })));
        result.set("content", Value::array(&content));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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
