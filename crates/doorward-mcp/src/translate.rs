//! Translates results and errors from one era to the other. Each function names the page of the specification
//! that it follows.

use std::borrow::Cow;

use crate::error::{RpcError, code};
use crate::interaction::{InputRequest, InputRequired};
use crate::json::{Object, Value};
use crate::meta;
use crate::method;
use crate::revision::Revision;
use crate::tasks;

/// How long a result may be cached, and whether it may be shared (spec 2026-07-28 server/utilities/caching).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheHints {
    pub ttl_ms: u64,
    pub public: bool,
}

impl CacheHints {
    pub const NONE: Self = Self { ttl_ms: 0, public: false };

    pub fn put(self, result: &mut Object) {
        result.set("ttlMs", Value::Raw(self.ttl_ms.to_string().into()));
        result.set("cacheScope", if self.public { "public" } else { "private" });
    }

    /// The hints of a modern result; `None` if it has none.
    pub fn read(result: &Object) -> Option<Self> {
        Some(Self {
            ttl_ms: result.get("ttlMs")?.as_u64()?,
            public: result.string("cacheScope").as_deref() == Some("public"),
        })
    }
}

/// Converts a handshake-era server's result to a modern one.
pub fn result_to_modern(of: &str, result: &mut Object) {
    if !result.contains("resultType") {
        result.set("resultType", "complete");
    }
    if method::is_cacheable(of) && CacheHints::read(result).is_none() {
        CacheHints::NONE.put(result);
    }
}

/// Converts a complete modern result for a handshake-era client of `revision`.
pub fn result_to_handshake(of: &str, result: &mut Object, revision: Revision) {
    result.remove("resultType");
    if method::is_cacheable(of) {
        result.remove("ttlMs");
        result.remove("cacheScope");
    }
    if result.object("_meta").is_some_and(|meta| meta.contains(meta::SERVER_INFO)) {
        if let Some(meta) = result.object_mut("_meta") {
            meta.remove(meta::SERVER_INFO);
        }
        meta::drop_empty(result);
    }
    match of {
        method::TOOLS_CALL => {
            structured_content(result);
            content_of(result, "content", revision);
        }
        method::PROMPTS_GET => messages_of(result, revision),
        _ => {}
    }
}

/// Before 2026-07-28, structured content must be an object (spec 2025-11-25 server/tools): other values become
/// text.
fn structured_content(result: &mut Object) {
    let Some(value) = result.get("structuredContent") else { return };
    if value.as_object().is_some() {
        return;
    }
    let text = String::from_utf8_lossy(&value.to_bytes()).into_owned();
    result.remove("structuredContent");
    let mut items = result.get("content").and_then(Value::as_array).unwrap_or_default();
    let has_text = items.iter().any(|item| {
        item.as_object().is_some_and(|item| item.string("type").as_deref() == Some("text"))
    });
    if !has_text {
        items.push(text_block(&text));
        result.set("content", Value::array(&items));
    }
}

/// Removes an `outputSchema` that is not an object schema, since old clients would expect an object.
pub fn tool_to_handshake(tool: &mut Object, _revision: Revision) {
    let root_is_object = tool
        .object("outputSchema")
        .is_none_or(|schema| schema.string("type").as_deref() == Some("object"));
    if !root_is_object {
        tool.remove("outputSchema");
    }
}

fn text_block(text: &str) -> Value {
    let mut block = Object::new();
    block.set("type", "text");
    block.set("text", text);
    Value::Object(block)
}

/// Content types that a revision lacks become text: links before 2025-06-18, audio before 2025-03-26.
fn block_for(block: &Object, revision: Revision) -> Option<Value> {
    match block.string("type")?.as_ref() {
        "resource_link" if revision < Revision::V2025_06_18 => {
            let uri = block.string("uri").unwrap_or_default();
            let name = block.string("title").or_else(|| block.string("name")).unwrap_or_default();
            Some(text_block(&format!("[Resource: {name}] {uri}")))
        }
        "audio" if revision < Revision::V2025_03_26 => {
            let kind = block.string("mimeType").unwrap_or("audio".into());
            Some(text_block(&format!("[Audio of type {kind}, which this client does not support]")))
        }
        _ => None,
    }
}

fn content_of(result: &mut Object, member: &str, revision: Revision) {
    if revision >= Revision::V2025_06_18 {
        return;
    }
    let Some(mut items) = result.get(member).and_then(Value::as_array) else { return };
    let mut changed = false;
    for item in &mut items {
        if let Some(block) = item.as_object().and_then(|block| block_for(&block, revision)) {
            *item = block;
            changed = true;
        }
    }
    if changed {
        result.set(member, Value::array(&items));
    }
}

fn messages_of(result: &mut Object, revision: Revision) {
    if revision >= Revision::V2025_06_18 {
        return;
    }
    let Some(mut messages) = result.get("messages").and_then(Value::as_array) else { return };
    for message in &mut messages {
        let Some(mut inner) = message.as_object().map(Cow::into_owned) else { continue };
        let block = inner.object("content").and_then(|block| block_for(&block, revision));
        if let Some(block) = block {
            inner.set("content", block);
            *message = Value::Object(inner);
        }
    }
    result.set("messages", Value::array(&messages));
}

/// A handshake-era server's error in the modern era.
pub enum ModernError {
    Error(RpcError),
    /// -32042: the server requires URLs to be opened and the request to be retried.
    Input(InputRequired),
}

/// Translates a handshake-era server's error (spec 2026-07-28 basic/index, client/elicitation). `uri` is the
/// parameter of `resources/read`.
pub fn error_to_modern(error: RpcError, uri: Option<&str>) -> ModernError {
    match error.code {
        code::RESOURCE_NOT_FOUND => {
            ModernError::Error(resource_not_found(error, uri, code::INVALID_PARAMS))
        }
        code::URL_ELICITATION_REQUIRED => match url_elicitations(&error) {
            Some(requests) => ModernError::Input(InputRequired { requests, state: None }),
            None => ModernError::Error(error),
        },
        _ => ModernError::Error(error),
    }
}

fn resource_not_found(mut error: RpcError, uri: Option<&str>, code: i64) -> RpcError {
    error.code = code;
    if error.data.is_none()
        && let Some(uri) = uri
    {
        error = error.with_data(&serde_json::json!({ "uri": uri }));
    }
    error
}

fn url_elicitations(error: &RpcError) -> Option<Vec<InputRequest>> {
    let data = error.data.as_ref()?.as_object()?.into_owned();
    let elicitations = data.get("elicitations")?.as_array()?;
    let requests: Vec<_> = elicitations
        .iter()
        .enumerate()
        .filter_map(|(at, elicitation)| {
            let mut params = elicitation.as_object()?.into_owned();
            params.remove("elicitationId");
            params.set("mode", "url");
            Some(InputRequest { key: format!("url-{at}"), method: method::ELICIT.into(), params })
        })
        .collect();
    (!requests.is_empty()).then_some(requests)
}

/// Translates a modern error for a handshake-era client. `uri` is the parameter of `resources/read`.
pub fn error_to_handshake(of: &str, error: RpcError, uri: Option<&str>) -> RpcError {
    let names_the_uri = || {
        let data = error.data.as_ref().and_then(Value::as_object);
        uri.is_some() && data.is_some_and(|data| data.string("uri").as_deref() == uri)
    };
    if of == method::RESOURCES_READ && error.code == code::INVALID_PARAMS && names_the_uri() {
        return resource_not_found(error, uri, code::RESOURCE_NOT_FOUND);
    }
    error
}

/// Converts a modern server's input request for a handshake-era client. URL mode requires an id there, for which
/// the gateway's request id is used.
pub fn question_to_handshake(request: &InputRequest, id: &str) -> Object {
    let mut params = request.params.clone();
    if request.method == method::ELICIT
        && params.string("mode").as_deref() == Some("url")
        && !params.contains("elicitationId")
    {
        params.set("elicitationId", id);
    }
    params
}

/// Converts a handshake-era server's request for a modern client.
pub fn question_to_modern(params: &mut Object) {
    params.remove("elicitationId");
    // These members apply to the connection to the server only: progress cannot be reported to it, and the task is
    // known from where the input request occurs.
    if let Some(own) = params.contains("_meta").then(|| params.object_mut("_meta")).flatten() {
        own.remove(meta::PROGRESS_TOKEN);
        own.remove(tasks::RELATED_TASK);
    }
    meta::drop_empty(params);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn object(text: &'static str) -> Object {
        Object::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn results_become_modern() {
        for (of, before, after) in [
            (
                method::TOOLS_CALL,
                r#"{"content":[],"x":1.0}"#,
                r#"{"content":[],"x":1.0,"resultType":"complete"}"#,
            ),
            (
                method::RESOURCES_READ,
                r#"{"contents":[]}"#,
                r#"{"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#,
            ),
        ] {
            let mut result = object(before);
            result_to_modern(of, &mut result);
            assert_eq!(result.to_bytes(), after);
        }
    }

    #[test]
    fn results_have_the_form_of_each_revision() {
        let link = r#"{"content":[{"type":"resource_link","name":"n","uri":"a:b"},{"type":"audio","data":"","mimeType":"audio/wav"}],"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#;
        for (revision, after) in [
            (
                Revision::V2025_06_18,
                r#"{"content":[{"type":"resource_link","name":"n","uri":"a:b"},{"type":"audio","data":"","mimeType":"audio/wav"}]}"#,
            ),
            (
                Revision::V2025_03_26,
                r#"{"content":[{"type":"text","text":"[Resource: n] a:b"},{"type":"audio","data":"","mimeType":"audio/wav"}]}"#,
            ),
            (
                Revision::V2024_11_05,
                r#"{"content":[{"type":"text","text":"[Resource: n] a:b"},{"type":"text","text":"[Audio of type audio/wav, which this client does not support]"}]}"#,
            ),
        ] {
            let mut result = object(link);
            result_to_handshake(method::TOOLS_CALL, &mut result, revision);
            assert_eq!(result.to_bytes(), after, "{revision}");
        }
    }

    #[test]
    fn structured_content_that_is_not_an_object_becomes_text() {
        let mut result = object(r#"{"content":[],"structuredContent":[1,2]}"#);
        result_to_handshake(method::TOOLS_CALL, &mut result, Revision::V2025_11_25);
        assert_eq!(result.to_bytes(), r#"{"content":[{"type":"text","text":"[1,2]"}]}"#);
        let mut result = object(r#"{"content":[],"structuredContent":{"a":1}}"#);
        result_to_handshake(method::TOOLS_CALL, &mut result, Revision::V2025_11_25);
        assert!(result.contains("structuredContent"));
    }

    #[test]
    fn a_missing_resource_has_the_code_of_its_era() {
        let legacy = RpcError::new(code::RESOURCE_NOT_FOUND, "gone");
        let ModernError::Error(modern) = error_to_modern(legacy, Some("a:b")) else { panic!() };
        assert_eq!(modern.code, code::INVALID_PARAMS);
        let back = error_to_handshake(method::RESOURCES_READ, modern, Some("a:b"));
        assert_eq!(back.code, code::RESOURCE_NOT_FOUND);
        let other = RpcError::invalid_params("wrong cursor");
        let back = error_to_handshake(method::RESOURCES_READ, other, Some("a:b"));
        assert_eq!(back.code, code::INVALID_PARAMS);
    }

    #[test]
    fn a_required_url_becomes_an_input_request() {
        let error = RpcError::new(code::URL_ELICITATION_REQUIRED, "open").with_data(
            &serde_json::json!({"elicitations": [{"mode": "url", "elicitationId": "7", "url": "https://a.example", "message": "m"}]}),
        );
        let ModernError::Input(input) = error_to_modern(error, None) else { panic!() };
        assert_eq!(input.requests[0].method, method::ELICIT);
        assert!(!input.requests[0].params.contains("elicitationId"));
    }
}
