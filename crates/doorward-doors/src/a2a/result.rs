//! What came of a call, in the words of A2A: results as parts, refusals as states with a message.

use bytes::Bytes;
use doorward_a2a::part::Content;
use doorward_a2a::{Artifact, Message, Part, Role, TaskState};
use doorward_gateway::call::CallId;
use doorward_mcp::interaction::{InputRequired, is_tool_error, requests};
use doorward_mcp::names::split_uri;
use doorward_mcp::{Object, Value};

use super::message;
use crate::rest::answer::data_of;
use crate::rest::problem::Problem;

/// The artifact of a task: it has one.
const ARTIFACT: &str = "result";
/// Members of metadata, as those of MCP's `_meta` are named.
pub const ERROR: &str = "doorward/error";
pub const CALL: &str = "doorward/call";
pub const USAGE: &str = "doorward/usage";
pub const TOOL: &str = "doorward/tool";
const PROGRESS: &str = "doorward/progress";
const LOG: &str = "doorward/log";

/// What a task becomes, what its agent says to it, and what it has produced.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub state: TaskState,
    pub message: Option<Message>,
    pub artifact: Option<Artifact>,
}

impl Outcome {
    pub fn said(state: TaskState, parts: Vec<Part>) -> Self {
        Self { state, message: Some(said(parts)), artifact: None }
    }
}

/// A message of the agent. Its task and context are put in by the task.
pub fn said(parts: Vec<Part>) -> Message {
    Message::new(CallId::next().to_string(), Role::Agent, parts)
}

/// A complete result. `server` is whose name URIs of resources begin with: they are its own here, where nobody reads them
/// through the gateway.
pub fn complete(result: &Object, tool: &str, server: Option<&str>) -> Outcome {
    let parts = parts(result, server);
    if is_tool_error(result) {
        let parts = if parts.is_empty() { vec![Part::text("The tool has failed")] } else { parts };
        return Outcome::said(TaskState::Failed, parts);
    }
    let mut artifact = Artifact::new(ARTIFACT, parts);
    artifact.name = Some(tool.to_owned());
    artifact.metadata = result.get("_meta").filter(|it| it.as_object().is_some()).cloned();
    Outcome { state: TaskState::Completed, message: None, artifact: Some(artifact) }
}

/// The content of a result: what is structured as data, and blocks that say more than that.
fn parts(result: &Object, server: Option<&str>) -> Vec<Part> {
    let (_, more) = data_of(result);
    let structured = result.get("structuredContent").filter(|it| !it.is_null());
    let mut parts: Vec<Part> =
        structured.map(|data| Part::data(data.clone())).into_iter().collect();
    if structured.is_none() || more.is_some() {
        let blocks = result.get("content").and_then(Value::as_array).unwrap_or_default();
        parts.extend(blocks.iter().map(|block| part(block, server)));
    }
    parts
}

/// A content block of MCP. What A2A has no word for is data, as it is.
fn part(block: &Value, server: Option<&str>) -> Part {
    let whole = || Part::data(block.clone());
    let Some(object) = block.as_object() else { return whole() };
    let text = |name: &str| object.string(name).map(std::borrow::Cow::into_owned);
    let string = |name: &str| object.get(name).filter(|it| it.as_str().is_some()).cloned();
    let mut part = match object.string("type").as_deref() {
        Some("text") => string("text").map(|text| Part::new(Content::Text(text))),
        Some("image" | "audio") => string("data")
            .map(|data| Part { media_type: text("mimeType"), ..Part::new(Content::Raw(data)) }),
        Some("resource_link") => string("uri").map(|uri| own(uri, server)).map(|uri| Part {
            media_type: text("mimeType"),
            filename: text("name"),
            ..Part::new(Content::Url(uri))
        }),
        Some("resource") => object.object("resource").and_then(|inner| embedded(&inner, server)),
        _ => None,
    }
    .unwrap_or_else(whole);
    let mut metadata = part.metadata.as_ref().and_then(Value::as_object).unwrap_or_default();
    for name in ["annotations", "_meta"] {
        if let Some(value) = object.get(name).filter(|it| !it.is_null()) {
            metadata.to_mut().set(name, value.clone());
        }
    }
    let metadata = metadata.into_owned();
    part.metadata = (!metadata.is_empty()).then(|| metadata.into());
    part
}

/// The URI that a server has given to a resource.
fn own(uri: Value, server: Option<&str>) -> Value {
    let text = uri.as_str();
    let split = text.as_deref().and_then(split_uri);
    match split.filter(|(of, _)| Some(*of) == server) {
        Some((_, own)) => Value::text(own),
        None => uri,
    }
}

/// A resource within a result; its URI is metadata.
fn embedded(resource: &Object, server: Option<&str>) -> Option<Part> {
    let string = |name: &str| resource.get(name).filter(|it| it.as_str().is_some()).cloned();
    let content = match (string("text"), string("blob")) {
        (Some(text), _) => Content::Text(text),
        (None, Some(blob)) => Content::Raw(blob),
        (None, None) => return None,
    };
    let mut metadata = Object::new();
    if let Some(uri) = string("uri") {
        metadata.set("uri", own(uri, server));
    }
    Some(Part {
        media_type: resource.string("mimeType").map(std::borrow::Cow::into_owned),
        metadata: (!metadata.is_empty()).then(|| metadata.into()),
        ..Part::new(content)
    })
}

/// Why a call has no result: what was refused, and may not be tried as it is, is rejected; everything else has failed.
pub fn refused(problem: Problem, call: CallId) -> Outcome {
    let state = if problem.status.as_u16() < 500 { TaskState::Rejected } else { TaskState::Failed };
    let mut text = problem.message.clone();
    for detail in &problem.details {
        text.push_str(&format!("\n{}: {}", detail.pointer, detail.message));
    }
    let retry_after = problem.headers.get(http::header::RETRY_AFTER).cloned();
    let mut error = Object::from_serde(&problem.fault(&call.to_string())).unwrap_or_default();
    if let Some(seconds) = retry_after.and_then(|it| it.to_str().ok()?.parse::<i64>().ok()) {
        error.set("retry_after", Value::number(seconds));
    }
    let mut message = said(vec![Part::text(&text)]);
    message.metadata = Some(metadata(ERROR, error));
    Outcome { state, message: Some(message), artifact: None }
}

pub fn metadata(name: &str, value: impl Into<Value>) -> Value {
    let mut metadata = Object::new();
    metadata.set(name, value);
    metadata.into()
}

/// What a server, or the gateway, asks for: the requests as data, and in words. `consent` is where the links begin by which
/// users authorize the gateway.
pub fn asked(required: &InputRequired, consent: &str) -> Outcome {
    let all = required.requests.iter();
    let is_consent = |url: &str| url.starts_with(consent);
    let needs_consent =
        all.clone().any(|one| one.params.string("url").as_deref().is_some_and(is_consent));
    let mut lines: Vec<String> = all
        .map(|one| {
            let text = one.params.string("message").unwrap_or_default();
            let url = one.params.string("url").map(|url| format!(": {url}")).unwrap_or_default();
            format!("{text}{url}")
        })
        .collect();
    if lines.is_empty() {
        lines.push("The server goes on once it is sent a message".to_owned());
    }
    let mut data = Object::new();
    data.set(message::REQUESTS, requests(required.requests.iter().cloned()));
    let state = if needs_consent { TaskState::AuthRequired } else { TaskState::InputRequired };
    Outcome::said(state, vec![Part::text(&lines.join("\n")), Part::data(data.into())])
}

/// What a call tells meanwhile, as a message of the agent; `None` for what A2A has no place for.
pub fn told(notification: &Bytes) -> Option<Message> {
    let read = Object::parse(notification)?;
    let mut params = read.object("params")?.into_owned();
    params.remove("progressToken");
    let (name, text) = match &*read.string("method")? {
        doorward_mcp::method::PROGRESS => {
            let number = |name: &str| {
                params.get(name).map(|it| String::from_utf8_lossy(&it.to_bytes()).into_owned())
            };
            let counted = match (number("progress"), number("total")) {
                (Some(done), Some(all)) => format!("{done} of {all}"),
                (done, _) => done.unwrap_or_default(),
            };
            let text = params.string("message").map(std::borrow::Cow::into_owned);
            (PROGRESS, text.unwrap_or(counted))
        }
        doorward_mcp::method::LOG => {
            let data = params.get("data").cloned().unwrap_or_else(Value::null);
            let text = data.as_str().map(std::borrow::Cow::into_owned);
            let whole = || String::from_utf8_lossy(&data.to_bytes()).into_owned();
            (LOG, text.unwrap_or_else(whole))
        }
        _ => return None,
    };
    let mut message = said(vec![Part::text(&text)]);
    message.metadata = Some(metadata(name, params));
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_a2a::{Reply, Revision, Task};

    fn object(text: &str) -> Object {
        Object::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    /// The parts as clients of 1.0 read them.
    fn written(outcome: &Outcome) -> serde_json::Value {
        let mut task = Task::new("t", "c", outcome.state);
        task.artifacts = outcome.artifact.clone().map(|artifact| vec![artifact]);
        task.status.message = outcome.message.clone();
        let text = Reply::Task(task.into()).to_http(Revision::V1_0);
        let task: serde_json::Value = serde_json::from_slice(&text).unwrap();
        match outcome.artifact {
            Some(_) => task["artifacts"][0]["parts"].clone(),
            None => task["status"]["message"]["parts"].clone(),
        }
    }

    #[test]
    fn each_kind_of_content_has_its_part() {
        for (result, parts) in [
            (r#"{"content":[{"type":"text","text":"a"}]}"#, r#"[{"text":"a"}]"#),
            (
                r#"{"content":[{"type":"text","text":"{\"a\": 1}"}],"structuredContent":{"a":1}}"#,
                r#"[{"data":{"a":1}}]"#,
            ),
            (
                r#"{"content":[{"type":"text","text":"more"}],"structuredContent":{"a":1}}"#,
                r#"[{"data":{"a":1}},{"text":"more"}]"#,
            ),
            (
                r#"{"content":[{"type":"image","data":"aGk=","mimeType":"image/png"}]}"#,
                r#"[{"raw":"aGk=","mediaType":"image/png"}]"#,
            ),
            (
                r#"{"content":[{"type":"audio","data":"aGk=","mimeType":"audio/wav"}]}"#,
                r#"[{"raw":"aGk=","mediaType":"audio/wav"}]"#,
            ),
            (
                r#"{"content":[{"type":"resource_link","uri":"s+https://x.example/a","name":"a","mimeType":"text/plain"}]}"#,
                r#"[{"url":"https://x.example/a","filename":"a","mediaType":"text/plain"}]"#,
            ),
            (
                r#"{"content":[{"type":"resource","resource":{"uri":"s+f:a","blob":"aGk="}}]}"#,
                r#"[{"raw":"aGk=","metadata":{"uri":"f:a"}}]"#,
            ),
            (
                r#"{"content":[{"type":"text","text":"a","annotations":{"audience":["user"]}}]}"#,
                r#"[{"text":"a","metadata":{"annotations":{"audience":["user"]}}}]"#,
            ),
            (r#"{"content":[{"type":"new","x":1}]}"#, r#"[{"data":{"type":"new","x":1}}]"#),
            (r#"{"content":[{"type":"text","text":7}]}"#, r#"[{"data":{"type":"text","text":7}}]"#),
        ] {
            let outcome = complete(&object(result), "s/t", Some("s"));
            assert_eq!(outcome.state, TaskState::Completed);
            let parts: serde_json::Value = serde_json::from_str(parts).unwrap();
            assert_eq!(written(&outcome), parts, "{result}");
        }
        let failed = r#"{"content":[{"type":"text","text":"no"}],"isError":true}"#;
        let failed = complete(&object(failed), "s/t", None);
        assert_eq!(failed.state, TaskState::Failed);
        assert_eq!(written(&failed)[0]["text"], "no");
    }

    #[test]
    fn a_link_to_authorize_is_told_from_other_input() {
        let asked = |url: &str| {
            let text = format!(
                r#"{{"inputRequests":{{"k":{{"method":"elicitation/create","params":{{"mode":"url","message":"Open","url":"{url}"}}}}}}}}"#
            );
            asked(&InputRequired::read(&object(&text)).unwrap(), "https://g.example/oauth/connect?")
        };
        let consent = asked("https://g.example/oauth/connect?request=x");
        assert_eq!(consent.state, TaskState::AuthRequired);
        let text = &written(&consent)[0]["text"];
        assert_eq!(text, "Open: https://g.example/oauth/connect?request=x");
        let other = asked("https://evil.example/?https://g.example/oauth/connect?request=x");
        assert_eq!(other.state, TaskState::InputRequired);
        assert!(written(&other)[1]["data"]["inputRequests"]["k"].is_object());
    }

    #[test]
    fn progress_and_logs_are_told_and_nothing_else() {
        let told = |text: &str| told(&Bytes::copy_from_slice(text.as_bytes()));
        let progress = r#"{"method":"notifications/progress","params":{"progressToken":1,"progress":1,"total":3}}"#;
        let message = told(progress).unwrap();
        assert_eq!(message.parts[0].as_text().unwrap(), "1 of 3");
        assert_eq!(
            message.metadata.unwrap().to_bytes(),
            r#"{"doorward/progress":{"progress":1,"total":3}}"#
        );
        let log = r#"{"method":"notifications/message","params":{"level":"info","data":{"a":1}}}"#;
        assert_eq!(told(log).unwrap().parts[0].as_text().unwrap(), r#"{"a":1}"#);
        assert!(told(r#"{"method":"notifications/other","params":{}}"#).is_none());
    }
}
