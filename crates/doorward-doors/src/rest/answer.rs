//! Responses of the REST API: what came of a call, in its form.

use bytes::Bytes;
use doorward_gateway::call::{CallId, Receipt};
use doorward_mcp::interaction::is_tool_error;
use doorward_mcp::{Object, Value};
use doorward_store::{Amount, Store};
use doorward_web::Body;
use doorward_web::response::json;
use http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

use super::types::{Executed, Failure, Pending, Usage};

pub const REQUEST_ID: &str = "doorward-request-id";
/// How long the balance of an account is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// When a call that is pending is to be asked about again, in seconds.
const POLL: u32 = 2;

/// A response before it is written.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// A server may have executed something.
    pub is_sent: bool,
}

impl Answer {
    pub fn of(status: StatusCode, body: &impl Serialize) -> Self {
        // Serializing to memory fails only for maps with keys that are not strings; there are none.
        let body = serde_json::to_vec(body).unwrap_or_default().into();
        Self { status, headers: HeaderMap::new(), body, is_sent: false }
    }

    pub fn sent(self, is_sent: bool) -> Self {
        Self { is_sent, ..self }
    }

    pub fn header(mut self, name: impl http::header::IntoHeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn response(self) -> Response<Body> {
        let mut response = match self.body.is_empty() {
            true => doorward_web::response::empty(self.status),
            false => json(self.body),
        };
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.headers.contains_key(CACHE_CONTROL) {
            headers.remove(CACHE_CONTROL);
        }
        headers.extend(self.headers);
        response
    }
}

/// A call that was made, as far as its response names it.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: CallId,
    /// `server/tool`.
    pub tool: String,
    pub provider: String,
}

/// A JSON text as it is.
pub fn raw(text: &Bytes) -> Option<Box<RawValue>> {
    RawValue::from_string(std::str::from_utf8(text).ok()?.to_owned()).ok()
}

/// The response with a complete result.
pub fn executed(made: &Made, result: &Object, usage: Usage) -> Answer {
    let (data, content) = data_of(result);
    let body = Executed {
        id: made.id.to_string(),
        tool: made.tool.clone(),
        provider: made.provider.clone(),
        data: data.as_ref().and_then(raw),
        content: content.as_ref().and_then(raw),
        is_error: is_tool_error(result),
        usage,
    };
    Answer::of(StatusCode::OK, &body)
}

/// What a result says: its structured content or its text, and its content blocks, if there is more in them.
pub fn data_of(result: &Object) -> (Option<Bytes>, Option<Bytes>) {
    let content = result.get("content");
    let blocks = content.and_then(Value::as_array).unwrap_or_default();
    let texts: Vec<String> = blocks.iter().map_while(text_of).collect();
    let is_plain = texts.len() == blocks.len() && blocks.iter().all(is_bare);
    let content = content.map(Value::to_bytes);
    if let Some(structured) = result.get("structuredContent").filter(|it| !it.is_null()) {
        let structured = structured.to_bytes();
        let is_same = |text: &String| {
            serde_json::from_str::<serde_json::Value>(text).ok()
                == serde_json::from_slice(&structured).ok()
        };
        let says_all = is_plain && texts.iter().all(is_same);
        return (Some(structured), content.filter(|_| !says_all));
    }
    match is_plain && texts.len() == 1 {
        true => (Some(Value::text(&texts[0]).to_bytes()), None),
        false if texts.is_empty() => (None, content.filter(|_| !blocks.is_empty())),
        false => (Some(Value::text(&texts.join("\n\n")).to_bytes()), content),
    }
}

fn text_of(block: &Value) -> Option<String> {
    let block = block.as_object()?;
    let text = block.string("text").filter(|_| block.string("type").as_deref() == Some("text"));
    text.map(std::borrow::Cow::into_owned)
}

/// Whether a text block has nothing but its text.
fn is_bare(block: &Value) -> bool {
    block.as_object().is_some_and(|block| block.members().len() == 2)
}

/// The response to a call that waits for something.
pub fn pending(path: &str, id: &str, message: Option<String>) -> Answer {
    let body = Pending {
        id: id.to_owned(),
        status: "pending",
        message,
        poll_after_ms: u64::from(POLL) * 1_000,
    };
    let mut answer = Answer::of(StatusCode::ACCEPTED, &body).header(LOCATION, path);
    answer.headers.insert(RETRY_AFTER, HeaderValue::from(POLL));
    answer
}

/// The response to a call for which a server requires input.
pub fn input_required(request: &str, requests: &Object, resume: Option<String>) -> Answer {
    let message = "The server requires input. Send the answers to /api/v1/execute/{id}";
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = super::problem::Problem::new(status, "input_required", message);
    let requests = raw(&requests.to_bytes());
    Answer::of(status, &Failure { error: problem.fault(request), requests, resume })
}

/// What a call has used.
pub async fn usage(store: Option<&Store>, receipt: &Receipt, began: Instant) -> Usage {
    let charged = receipt.charged();
    let mut balance: Option<Amount> = None;
    if let Some(store) = store {
        for account in &charged.accounts {
            let asked = tokio::time::timeout(PATIENCE, store.credit_left(account)).await;
            let Ok(Ok(Some(left))) = asked else { continue };
            balance = Some(balance.map_or(left, |least| Amount(least.0.min(left.0))));
        }
    }
    Usage {
        cost: Some(Amount(charged.price)),
        balance_remaining: balance,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_the_structured_content_or_the_text_and_nothing_is_left_out() {
        for (result, data, content) in [
            (r#"{"content":[{"type":"text","text":"a"}]}"#, Some(r#""a""#), None),
            (r#"{"content":[]}"#, None, None),
            (r#"{}"#, None, None),
            (
                r#"{"content":[{"type":"text","text":"{\"a\": 1}"}],"structuredContent":{"a":1}}"#,
                Some(r#"{"a":1}"#),
                None,
            ),
            (
                r#"{"content":[{"type":"text","text":"other"}],"structuredContent":{"a":1}}"#,
                Some(r#"{"a":1}"#),
                Some(r#"[{"type":"text","text":"other"}]"#),
            ),
            (
                r#"{"content":[{"type":"image","data":"","mimeType":"image/png"}]}"#,
                None,
                Some(r#"[{"type":"image","data":"","mimeType":"image/png"}]"#),
            ),
            (
                r#"{"content":[{"type":"text","text":"a","annotations":{}}]}"#,
                Some(r#""a""#),
                Some(r#"[{"type":"text","text":"a","annotations":{}}]"#),
            ),
        ] {
            let read = Object::parse(&Bytes::from_static(result.as_bytes())).unwrap();
            let (told, more) = data_of(&read);
            assert_eq!(told, data.map(Bytes::from), "{result}");
            assert_eq!(more, content.map(Bytes::from), "{result}");
        }
    }
}
