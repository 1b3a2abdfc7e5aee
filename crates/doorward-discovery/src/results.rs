//! The results of a search and of a request for details.
//!
//! They are one JSON text: structured content would cost a model the same words twice.

use bytes::Bytes;
use doorward_compact::shorten;
use doorward_mcp::{Object, Value};

/// The description of a tool that was found is cut at the end of a sentence, or of a word, at about this many characters.
const LONGEST: usize = 240;
/// Arguments that are named for a tool that was found.
const MOST_ARGUMENTS: usize = 16;

/// A tool that was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// As the caller's lists have it.
    pub name: &'a str,
    pub definition: &'a Bytes,
    pub reads_only: bool,
}

/// A tool whose details were asked for.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub name: &'a str,
    /// `None` if the caller has no such tool.
    pub definition: Option<&'a Bytes>,
}

/// The result of a search: `{"tools":[{"name","description","arguments","read_only"}],"more":true}`. `has_more` says that
/// further tools fit.
pub fn found<'a>(
    tools: impl IntoIterator<Item = Found<'a>>,
    is_full: bool,
    has_more: bool,
) -> Object {
    let tools: Vec<Value> = tools
        .into_iter()
        .map(|tool| if is_full { Value::Raw(tool.definition.clone()) } else { brief(tool) })
        .collect();
    let mut body = Object::new();
    let hint = match (tools.is_empty(), has_more) {
        (true, _) => Some("Nothing fits. Try other words, or fewer."),
        (false, true) => Some("More tools fit: search in other words, or with a higher limit."),
        (false, false) => None,
    };
    body.set("tools", Value::array(&tools));
    if let Some(hint) = hint {
        body.set("hint", hint);
    }
    result(&body)
}

/// The result of a request for details: `{"tools":[…],"unknown":["name"]}`.
pub fn details<'a>(tools: impl IntoIterator<Item = Known<'a>>) -> Object {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for Known { name, definition } in tools {
        match definition {
            Some(definition) => known.push(Value::Raw(definition.clone())),
            None => unknown.push(Value::text(name)),
        }
    }
    let mut body = Object::new();
    body.set("tools", Value::array(&known));
    if !unknown.is_empty() {
        body.set("unknown", Value::array(&unknown));
    }
    result(&body)
}

fn result(body: &Object) -> Object {
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let mut content = Object::new();
    content.set("type", "text");
    content.set("text", text.as_str());
    let mut result = Object::new();
    result.set("content", Value::array(&[Value::Object(content)]));
    result.set("resultType", "complete");
    result
}

fn brief(tool: Found<'_>) -> Value {
    let definition = Object::parse(tool.definition).unwrap_or_default();
    let mut brief = Object::new();
    brief.set("name", tool.name);
    let description = definition.string("description").or_else(|| definition.string("title"));
    brief.set("description", &*first_words(&description.unwrap_or_default()));
    brief.set("arguments", arguments(&definition).as_str());
    if tool.reads_only {
        brief.set("read_only", Value::bool(true));
    }
    Value::Object(brief)
}

/// The names of a tool's arguments, required ones first: `to, subject, cc?`.
fn arguments(definition: &Object) -> String {
    let schema = definition.object("inputSchema").unwrap_or_default();
    let properties = schema.object("properties").unwrap_or_default();
    let required = schema.get("required").and_then(Value::as_array).unwrap_or_default();
    let is_required = |name: &str| required.iter().any(|it| it.as_str().as_deref() == Some(name));
    let names = properties.members().iter().map(|member| String::from_utf8_lossy(&member.name));
    let (first, then): (Vec<_>, Vec<_>) = names.partition(|name| is_required(name));
    let (count, shown) = (first.len() + then.len(), first.len());
    let all = first.into_iter().chain(then).enumerate();
    let mut text = String::new();
    for (at, name) in all.take(MOST_ARGUMENTS) {
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(&name);
        if at >= shown {
            text.push('?');
        }
    }
    if count > MOST_ARGUMENTS {
        text.push_str(", …");
    }
    text
}

/// The beginning of a description, on one line.
fn first_words(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // Far enough to find where to cut.
        if line.len() > LONGEST * 8 {
            break;
        }
    }
    shorten(&line, LONGEST).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn text(result: &Object) -> serde_json::Value {
        let content = result.to_serde();
        serde_json::from_str(content["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    fn definition() -> Bytes {
        json!({
            "name": "mail__send", "description": "Sends a mail.\n Twice.", "inputSchema": {
                "type": "object", "properties": { "cc": {}, "to": {}, "subject": {} }, "required": ["to", "subject"],
            },
        })
        .to_string()
        .into()
    }

    #[test]
    fn what_is_found_is_told_briefly() {
        let definition = definition();
        let found = found(
            [Found { name: "send", definition: &definition, reads_only: false }],
            false,
            false,
        );
        let expected = json!({
            "tools": [{ "name": "send", "description": "Sends a mail. Twice.", "arguments": "subject, to, cc?" }],
        });
        let told = text(&found);
        assert_eq!(told["tools"][0]["name"], expected["tools"][0]["name"]);
        assert_eq!(told["tools"][0]["description"], expected["tools"][0]["description"]);
        let arguments = told["tools"][0]["arguments"].as_str().unwrap();
        assert!(
            arguments.ends_with("cc?") && arguments.contains("to") && !arguments.contains("to?")
        );
        assert!(told.get("hint").is_none());
    }

    #[test]
    fn nothing_found_says_what_to_do() {
        assert!(text(&found([], false, false))["hint"].is_string());
    }

    #[test]
    fn details_name_what_is_unknown() {
        let definition = definition();
        let all = [
            Known { name: "a", definition: Some(&definition) },
            Known { name: "b", definition: None },
        ];
        let told = text(&details(all));
        assert_eq!(told["tools"][0]["inputSchema"]["type"], "object");
        assert_eq!(told["unknown"], json!(["b"]));
    }

    #[test]
    fn a_long_description_ends_with_a_sentence_or_a_word() {
        let sentences = "Sends one. ".repeat(60);
        let cut = first_words(&sentences);
        assert!(cut.ends_with("one. …") && cut.chars().count() <= LONGEST, "{cut}");
        let words = "word ".repeat(200);
        assert!(first_words(&words).ends_with("word…"), "{}", first_words(&words));
        for text in ["漢字".repeat(400), "é".repeat(1_000), "文。".repeat(300)] {
            assert!(first_words(&text).chars().count() <= LONGEST + 1);
        }
    }
}
