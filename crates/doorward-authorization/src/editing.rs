//! Editing on the page for approvals: fields for the arguments that may be edited, what was changed in them, and texts in which
//! everything can be seen.

use std::fmt::Write;

use doorward_governance::approvals::{Approval, Edits};
use doorward_mcp::display::is_harmful;
use serde_json::{Map, Value as Json};

use super::form::Form;
use super::page::escaped;

/// What the fields of the page's form begin with.
const FIELD: &str = "edit.";
/// The field of a form that has such fields.
const EDITS: &str = "edits";

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
fn editable<'a>(approval: &'a Approval, masked: &str) -> (Map<String, Json>, Vec<&'a str>) {
    let arguments = serde_json::from_str(&approval.subject.arguments).unwrap_or_default();
    let is_masked = |name: &str| {
        let value: Option<&Json> = Map::get(&arguments, name);
        value.is_some_and(|value| value.to_string().contains(masked))
    };
    let names = approval.editable().into_iter().filter(|name| !is_masked(name)).collect();
    (arguments, names)
}

/// Fields of the page's form for the arguments that may be edited. `masked` is what is in the place of a masked value.
pub fn fields(approval: &Approval, masked: &str) -> String {
    let (arguments, names) = editable(approval, masked);
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
pub fn read(form: &Form, approval: &Approval, masked: &str) -> Result<Edits, String> {
    let (arguments, names) = editable(approval, masked);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn approval(arguments: &Json) -> Approval {
        serde_json::from_value(json!({
            "id": "a", "digest": "d", "asker": { "kind": "user", "id": "ann" },
            "subject": { "portal": "", "server": "s", "method": "tools/call", "name": "t",
                         "arguments": arguments.to_string(), "policies": "v" },
            "holds": [{ "policy": "p", "approvers": ["role:lead"], "ttl": 60, "people": 1,
                        "edit": ["text", "count", "odd", "token", "new"] }],
            "memories": [], "state": "waiting", "created": 0, "expires": 60, "votes": [],
        }))
        .unwrap()
    }

    fn arguments() -> Json {
        json!({ "text": "a <b>", "count": 5, "odd": "a\u{200b}b", "token": "[masked]", "other": 1 })
    }

    /// The edits that are read from a form with these fields; all other fields are as the page presented them.
    fn edited(fields: &[(&str, &str)]) -> Result<Edits, String> {
        let mut all = vec![("edits", "yes"), ("edit.text", "a <b>"), ("edit.count", "5")];
        all.push(("edit.odd", "\"a\\u200bb\""));
        all.retain(|(name, _)| !fields.iter().any(|(edited, _)| name == edited));
        all.extend(fields);
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(all);
        read(&Form::read(text.finish().as_bytes()), &approval(&arguments()), "[masked]")
    }

    #[test]
    fn a_form_shows_what_may_be_edited_and_nothing_unseen() {
        let fields = fields(&approval(&arguments()), "[masked]");
        for part in [
            "name=\"edit.text\" value=\"a &lt;b&gt;\"",
            "name=\"edit.count\" value=\"5\"",
            "name=\"edit.odd\" value=\"&quot;a\\u200bb&quot;\"",
            "name=\"edit.new\" value=\"\"",
        ] {
            assert!(fields.contains(part), "{part}: {fields}");
        }
        assert!(!fields.contains("token") && !fields.contains("other"), "{fields}");
        assert!(!fields.contains('\u{200b}'), "{fields}");
    }

    #[test]
    fn only_what_was_changed_is_an_edit() {
        assert_eq!(edited(&[]), Ok(Edits::new()));
        // Different white space is not an edit.
        assert_eq!(edited(&[("edit.count", " 5 ")]), Ok(Edits::new()));
        let some = edited(&[("edit.text", "\"c\""), ("edit.count", "6"), ("edit.new", "[1]")]);
        let expected = [("text", json!("\"c\"")), ("count", json!(6)), ("new", json!([1]))];
        assert_eq!(some, Ok(expected.map(|(name, value)| (name.to_owned(), value)).into()));
        // A string may be empty; a number may not.
        assert_eq!(edited(&[("edit.text", "")]), Ok([("text".to_owned(), json!(""))].into()));
        assert!(edited(&[("edit.count", "")]).unwrap_err().contains("'count' is not JSON"));
        assert!(edited(&[("edit.odd", "plain")]).is_err());
        // Fields of arguments that cannot be edited are ignored.
        assert_eq!(edited(&[("edit.token", "x"), ("edit.other", "2")]), Ok(Edits::new()));
        // A form without the `edits` field, such as a page that was opened before an update.
        let bare = read(&Form::read(b"edit.text=c"), &approval(&arguments()), "[masked]");
        assert_eq!(bare, Ok(Edits::new()));
    }
}
