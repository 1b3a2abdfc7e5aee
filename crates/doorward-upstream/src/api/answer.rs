//! Converts the response of an API into the result of a tool.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::json::{Limits, Names, items};
use doorward_mcp::{Object, Value};
use doorward_openapi::Tool;
use http::StatusCode;
use serde_json::json;

use super::pages::Page;

/// Maximum number of characters of an error response that are returned.
const MOST_TOLD: usize = 4_000;

/// The result of a successful response: JSON as structured content and as text, both unchanged byte
/// by byte, so that no number changes; other content according to its media type.
pub(super) fn result(tool: &Tool, page: &Page) -> Object {
    let Page { status, kind, body, .. } = page;
    let written = page.is_json().then(|| written(body)).flatten();
    let content = if let Some(written) = &written {
        json!({ "type": "text", "text": String::from_utf8_lossy(written) })
    } else if body.is_empty() {
        json!({ "type": "text", "text": format!("done (HTTP {})", status.as_u16()) })
    } else if let (true, Ok(text)) = (is_text(kind), std::str::from_utf8(body)) {
        json!({ "type": "text", "text": text })
    } else if kind.starts_with("image/") || kind.starts_with("audio/") {
        let of = kind.split('/').next().unwrap_or("image");
        json!({ "type": of, "data": STANDARD.encode(body), "mimeType": kind })
    } else {
        let mime = if kind.is_empty() { "application/octet-stream" } else { kind };
        let uri = format!("api:{}", tool.name);
        let resource = json!({ "uri": uri, "mimeType": mime, "blob": STANDARD.encode(body) });
        json!({ "type": "resource", "resource": resource })
    };
    let mut result = object(json!({ "resultType": "complete", "content": [content] }));
    if let Some(written) = written {
        let wraps = tool.wraps || !written.starts_with(b"{");
        let mut structured = Value::Raw(written);
        if wraps {
            let mut whole = Object::new();
            whole.set("result", structured);
            structured = whole.into();
        }
        result.set("structuredContent", structured);
    }
    result
}

/// JSON as the API wrote it. Ambiguous JSON, such as a duplicate member, is serialized again.
fn written(body: &Bytes) -> Option<Bytes> {
    let limits = Limits { names: Names::StrictEnvelope, ..Limits::default() };
    let alone = Bytes::from([b"[", &body[..], b"]"].concat());
    match items(&alone, limits) {
        Ok(mut found) if found.len() == 1 => found.pop(),
        _ => {
            let read: serde_json::Value = serde_json::from_slice(body).ok()?;
            Some(read.to_string().into())
        }
    }
}

fn is_text(kind: &str) -> bool {
    kind.is_empty()
        || kind.starts_with("text/")
        || kind.ends_with("json")
        || kind.ends_with("xml")
        || kind.ends_with("yaml")
        || kind == "application/javascript"
}

/// The error in the API's words: problem details (RFC 9457), or the response body.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> Object {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let words: Vec<String> = ["title", "detail", "message", "error_description", "error"]
        .into_iter()
        .filter_map(said)
        .collect();
    let mut text = format!("The API responded with HTTP {}", status.as_u16());
    if !words.is_empty() {
        text.push_str(": ");
        text.push_str(&words.join(": "));
    }
    let whole = String::from_utf8_lossy(body);
    let whole: String = whole.chars().take(MOST_TOLD).collect();
    if !whole.trim().is_empty() {
        text.push('\n');
        text.push_str(&whole);
    }
    wrong(&text, Some(status))
}

pub(super) fn wrong(text: &str, status: Option<StatusCode>) -> Object {
    let mut result = json!({
        "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": true,
    });
    if let Some(status) = status {
        let told = json!({ "kind": Kind::HttpStatus.as_str(), "status": status.as_u16() });
        result["_meta"] = json!({ "doorward/error": told });
    }
    object(result)
}

#[allow(clippy::needless_pass_by_value)] // Reads better where it is called.
pub(super) fn object(value: serde_json::Value) -> Object {
    Object::from_serde(&value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_as_it_was_written() {
        let told = |text: &'static str| written(&Bytes::from_static(text.as_bytes()));
        for (text, expected) in [
            ("{\"amount\": 12345678901234567890.10}\n", "{\"amount\": 12345678901234567890.10}"),
            (" [1, 1e400]", ""),
            ("[1, 2]", "[1, 2]"),
            ("\"text\"", "\"text\""),
            ("{\"id\": 1, \"ID\": 2}", "{\"id\": 1, \"ID\": 2}"),
            ("{\"a\": 1, \"a\": 2}", "{\"a\":2}"),
            ("1, 2", ""),
            ("{", ""),
            ("1]", ""),
        ] {
            assert_eq!(told(text).unwrap_or_default(), expected, "{text}");
        }
    }
}
