//! What a message wants: a call of a tool, answers to what a tool asks for, or something in words.

use doorward_a2a::error::{Error, ErrorKind, Violation};
use doorward_a2a::part::Content;
use doorward_a2a::{Message, Role};
use doorward_mcp::{Object, Value};
use serde_json::json;

/// The extension of the protocol by which messages call tools, as the agent card announces it.
pub const EXTENSION: &str = "urn:doorward:a2a:tools:1";
/// Members of data parts.
const TOOL: &str = "tool";
const ARGUMENTS: &str = "arguments";
const RESPONSES: &str = "inputResponses";
/// What the agent asks for, by key.
pub const REQUESTS: &str = "inputRequests";

/// What a message wants.
#[derive(Debug, Clone)]
pub enum Intent {
    Call {
        tool: String,
        arguments: Object,
    },
    /// Answers to requests, by their keys.
    Answers(Object),
    Text(String),
}

/// The extension, as the card describes it.
pub fn extension() -> serde_json::Value {
    json!({
        "uri": EXTENSION,
        "required": false,
        "description": "A data part {\"tool\": \"server/tool\", \"arguments\": {…}} calls a tool. A data part \
            {\"inputResponses\": {key: {\"action\": \"accept\", \"content\": {…}}}} answers the 'inputRequests' of a task \
            that requires input.",
    })
}

pub fn invalid(field: &str, why: &str) -> Error {
    let mut error =
        Error::new(ErrorKind::InvalidParams, format!("Invalid parameters: '{field}' {why}"));
    error.violations = vec![Violation { field: field.to_owned(), description: why.to_owned() }];
    error
}

impl Intent {
    /// Reads a message. Texts beside a data part are for people: they stay in the history of the task.
    pub fn of(message: &Message) -> Result<Self, Error> {
        if message.role != Role::User {
            return Err(invalid("message.role", "must be that of a user"));
        }
        let mut found = None;
        let mut texts = Vec::new();
        for (number, part) in message.parts.iter().enumerate() {
            let field = format!("message.parts[{number}]");
            match &part.content {
                Content::Text(text) => texts.push(text.as_str().unwrap_or_default().into_owned()),
                Content::Data(data) => {
                    let read = data_part(data, &format!("{field}.data"))?;
                    if found.replace(read).is_some() {
                        return Err(invalid(
                            &field,
                            "is the second data part; send one call in a message",
                        ));
                    }
                }
                Content::Raw(_) | Content::Url(_) => {
                    let why = "Files are not taken; send text, or a data part that calls a tool";
                    return Err(
                        Error::new(ErrorKind::ContentTypeNotSupported, why).with("part", field)
                    );
                }
            }
        }
        if let Some(found) = found {
            return Ok(found);
        }
        let text = texts.join("\n");
        match text.trim().is_empty() {
            true => {
                Err(invalid("message.parts", "must have text, or a data part that calls a tool"))
            }
            false => Ok(Self::Text(text)),
        }
    }
}

fn data_part(data: &Value, field: &str) -> Result<Intent, Error> {
    let wrong = |why: &str| Err(invalid(field, why));
    let Some(object) = data.as_object() else {
        return wrong("must be an object with 'tool' and 'arguments'");
    };
    let known = [TOOL, ARGUMENTS, RESPONSES];
    let is_known = |name: &[u8]| known.iter().any(|known| known.as_bytes() == name);
    if object.members().iter().any(|member| !is_known(&member.name)) {
        return wrong("has a member beside 'tool', 'arguments' and 'inputResponses'");
    }
    let inner = |name: &str| match object.get(name).filter(|it| !it.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_object() {
            Some(object) => Ok(Some(with_integers(&object))),
            None => Err(invalid(&format!("{field}.{name}"), "must be an object")),
        },
    };
    match (object.get(TOOL), inner(ARGUMENTS)?, inner(RESPONSES)?) {
        (Some(tool), arguments, None) => match tool.as_str().filter(|tool| !tool.is_empty()) {
            Some(tool) => {
                let (tool, arguments) = (tool.into_owned(), arguments.unwrap_or_default());
                Ok(Intent::Call { tool, arguments })
            }
            None => Err(invalid(&format!("{field}.tool"), "must be the name of a tool")),
        },
        (None, None, Some(responses)) => Ok(Intent::Answers(responses)),
        (Some(_), _, Some(_)) => wrong("has both 'tool' and 'inputResponses'; send one of them"),
        (None, _, _) => wrong("needs 'tool', or 'inputResponses'"),
    }
}

/// The same with `3` in the place of `3.0`: data of A2A has no integers, and clients on SDKs with Protocol Buffers send them
/// so. Servers take the one for an integer, and many not the other.
fn with_integers(object: &Object) -> Object {
    let text = object.to_bytes();
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut is_string) = (0, false);
    while let Some(byte) = text.get(at).copied() {
        if is_string && byte == b'\\' {
            out.extend_from_slice(&text[at..text.len().min(at + 2)]);
            at += 2;
            continue;
        }
        is_string ^= byte == b'"';
        if byte == b'.' && !is_string {
            let zeros = text[at + 1..].iter().take_while(|byte| **byte == b'0').count();
            let after = text.get(at + 1 + zeros);
            if zeros > 0
                && !after.is_some_and(|it| it.is_ascii_digit() || matches!(it, b'e' | b'E'))
            {
                at += 1 + zeros;
                continue;
            }
        }
        out.push(byte);
        at += 1;
    }
    Object::parse(&out.into()).unwrap_or_else(|| object.clone())
}

/// The only property that a schema requires, if it is a string.
pub fn only_text(schema: &Object) -> Option<String> {
    let required = schema.get("required")?.as_array()?;
    let [name] = &required[..] else { return None };
    let name = name.as_str()?.into_owned();
    let property = schema.object("properties")?.object(&name)?.into_owned();
    (property.string("type").as_deref() == Some("string")).then_some(name)
}

/// The answers that a text is to what was asked: to links, that they were opened; to one form with one required text, that.
pub fn answers(requests: &Object, text: &str) -> Option<Object> {
    let mut answers = Object::new();
    let mut forms = 0;
    for member in requests.members() {
        let key = String::from_utf8_lossy(&member.name);
        let params = member.value.as_object()?.object("params")?.into_owned();
        let mut answer = Object::new();
        answer.set("action", "accept");
        if params.string("mode").as_deref() != Some("url") {
            forms += 1;
            let mut content = Object::new();
            content.set(&only_text(&*params.object("requestedSchema")?)?, text);
            answer.set("content", content);
        }
        answers.set(&key, answer);
    }
    (forms <= 1).then_some(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doorward_a2a::Part;

    fn raw(text: &str) -> Value {
        Value::Raw(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn intent(parts: Vec<Part>) -> Result<Intent, Error> {
        Intent::of(&Message::new("m", Role::User, parts))
    }

    #[test]
    fn a_message_calls_answers_or_asks() {
        let call = r#"{"tool":"s/t","arguments":{"a":1}}"#;
        let read = intent(vec![Part::text("please"), Part::data(raw(call))]).unwrap();
        let Intent::Call { tool, arguments } = read else { panic!("{read:?}") };
        assert_eq!((&*tool, &*arguments.to_bytes()), ("s/t", &br#"{"a":1}"#[..]));
        assert!(matches!(
            intent(vec![Part::data(raw(r#"{"tool":"t"}"#))]),
            Ok(Intent::Call { .. })
        ));
        let answers = raw(r#"{"inputResponses":{}}"#);
        assert!(matches!(intent(vec![Part::data(answers)]), Ok(Intent::Answers(_))));
        let text = intent(vec![Part::text("a"), Part::text("b")]);
        assert!(matches!(text, Ok(Intent::Text(text)) if text == "a\nb"));
        for data in [
            "7",
            "{}",
            r#"{"tool":7}"#,
            r#"{"tool":""}"#,
            r#"{"tool":"t","arguments":[]}"#,
            r#"{"tool":"t","args":{}}"#,
            r#"{"tool":"t","inputResponses":{}}"#,
            r#"{"arguments":{}}"#,
        ] {
            let error = intent(vec![Part::data(raw(data))]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidParams, "{data}");
            assert!(error.violations[0].field.starts_with("message.parts[0].data"), "{data}");
        }
        assert!(intent(vec![Part::text(" ")]).is_err());
        assert!(intent(vec![Part::data(raw(call)), Part::data(raw(call))]).is_err());
        let file = intent(vec![Part::new(Content::Url(Value::text("https://x.example")))]);
        assert_eq!(file.unwrap_err().kind, ErrorKind::ContentTypeNotSupported);
        assert!(Intent::of(&Message::new("m", Role::Agent, vec![Part::text("x")])).is_err());
    }

    #[test]
    fn whole_numbers_are_integers() {
        for (sent, read) in [
            (r#"{"a":3.0,"b":[-2.00,1.5,1.05,0.0]}"#, r#"{"a":3,"b":[-2,1.5,1.05,0]}"#),
            (r#"{"a":"3.0","b\"1.0":"\\","c":1.0}"#, r#"{"a":"3.0","b\"1.0":"\\","c":1}"#),
            (r#"{"a":1.0e3,"b":10,"c":1.0}"#, r#"{"a":1.0e3,"b":10,"c":1}"#),
        ] {
            let object = Object::parse(&Bytes::copy_from_slice(sent.as_bytes())).unwrap();
            assert_eq!(with_integers(&object).to_bytes(), read, "{sent}");
        }
    }

    #[test]
    fn a_text_answers_one_question_that_takes_a_text() {
        let form = |properties: &str, required: &str| {
            format!(
                r#"{{"method":"elicitation/create","params":{{"requestedSchema":{{"type":"object","properties":{properties},"required":{required}}}}}}}"#
            )
        };
        let name = form(r#"{"name":{"type":"string"}}"#, r#"["name"]"#);
        let number = form(r#"{"age":{"type":"integer"}}"#, r#"["age"]"#);
        let link = r#"{"method":"elicitation/create","params":{"mode":"url","url":"https://x"}}"#;
        let answered = |text: String| {
            let requests = Object::parse(&Bytes::from(text)).unwrap();
            answers(&requests, "Ann").map(|it| String::from_utf8(it.to_bytes().to_vec()).unwrap())
        };
        assert_eq!(
            answered(format!(r#"{{"k":{name}}}"#)).unwrap(),
            r#"{"k":{"action":"accept","content":{"name":"Ann"}}}"#
        );
        assert_eq!(answered(format!(r#"{{"k":{link}}}"#)).unwrap(), r#"{"k":{"action":"accept"}}"#);
        assert_eq!(answered("{}".into()).unwrap(), "{}");
        assert!(answered(format!(r#"{{"k":{number}}}"#)).is_none());
        assert!(answered(format!(r#"{{"k":{name},"l":{name}}}"#)).is_none());
    }
}
