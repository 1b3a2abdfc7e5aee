//! The server's tools and their implementation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::body::{Body, error, event, json_body, result, stream_body};
use super::{Arguments, Era, Params, Seen, State};

pub(super) fn definitions(count: usize) -> Vec<Value> {
    let tool = |name: &str, properties: Value| {
        json!({
            "name": name,
            "description": format!("The tool {name}, described at a length that is not unusual for tools."),
            "inputSchema": { "type": "object", "properties": properties },
        })
    };
    let mut tools = vec![
        tool("echo", json!({ "text": { "type": "string" } })),
        tool("big", json!({ "bytes": { "type": "integer" } })),
        tool("slow", json!({ "ms": { "type": "integer" } })),
        tool("notify", json!({ "count": { "type": "integer" }, "bytes": { "type": "integer" } })),
        tool("touch", json!({})),
        tool("ask", json!({})),
        tool("write", json!({ "text": { "type": "string" } })),
    ];
    for number in 0..count.saturating_sub(tools.len()) {
        tools.push(tool(
            &format!("tool-{number}"),
            // No two schemas are the same.
            json!({
                "query": { "type": "string", "description": "What to look for", "maxLength": 1_000 + number },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100 + number },
                "order": { "enum": ["newest", "oldest"] },
                "labels": { "type": "array", "items": { "type": "string", "pattern": "^[a-z-]+$" } },
            }),
        ));
    }
    tools
}

/// Counts a request as open while it lives.
struct Counted(Arc<Seen>);

impl Counted {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.open.fetch_add(1, Ordering::SeqCst);
        Self(seen.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) async fn call(state: Arc<State>, id: &RawValue, params: Params) -> Response<Body> {
    state.seen.calls.fetch_add(1, Ordering::Relaxed);
    let counted = Counted::new(&state.seen);
    let arguments = &params.arguments;
    match params.name.as_str() {
        "write" => {
            *state.seen.writes.lock().entry(arguments.text.clone()).or_default() += 1;
            json_body(result(id, &state.said(&arguments.text)))
        }
        "echo" => json_body(result(id, &state.said(&arguments.text))),
        other if other.starts_with("tool-") => json_body(result(id, &state.said("found"))),
        "big" => json_body(result(id, &state.said(&"x".repeat(arguments.bytes.min(64 << 20))))),
        "touch" => {
            state.touch().await;
            json_body(result(id, &state.said("touched")))
        }
        "slow" => {
            let (sender, receiver) = mpsc::channel(1);
            let (id, ms) = (id.to_owned(), arguments.ms);
            tokio::spawn(async move {
                let _counted = counted;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(ms)) => {
                        let _ = sender.send(event(&result(&id, &state.said("slept")))).await;
                    }
                    () = sender.closed() => {
                        state.seen.cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            stream_body(receiver)
        }
        "notify" => {
            let (sender, receiver) = mpsc::channel(16);
            tokio::spawn(notify(state, id.to_owned(), params, sender, counted));
            stream_body(receiver)
        }
        "ask" => ask(state, id, &params, counted),
        _ => json_body(error(id, -32602, "no such tool")),
    }
}

/// Sends numbered notifications of mixed kinds and sizes, then the result.
async fn notify(
    state: Arc<State>,
    id: Box<RawValue>,
    params: Params,
    sender: mpsc::Sender<Bytes>,
    _counted: Counted,
) {
    let token = params.meta["progressToken"].clone();
    let Arguments { count, bytes, .. } = params.arguments;
    for number in 0..count {
        let text = "n".repeat(bytes * (number % 7) / 6);
        let notice = if number % 3 == 0 && !token.is_null() {
            json!({ "method": "notifications/progress", "params": {
                "progressToken": token, "progress": number, "message": text } })
        } else {
            json!({ "method": "notifications/vendor/numbered", "params": {
                "number": number, "text": text } })
        };
        let mut notice = notice;
        notice["jsonrpc"] = "2.0".into();
        if sender.send(event(&notice.to_string())).await.is_err() {
            return;
        }
    }
    let _ = sender.send(event(&result(&id, &state.said("told")))).await;
}

/// Elicits a name in the way of the era.
fn ask(state: Arc<State>, id: &RawValue, params: &Params, counted: Counted) -> Response<Body> {
    let question = json!({
        "message": "Your name?",
        "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } } },
    });
    let greet =
        |answer: &Value| format!("hello {}", answer["content"]["name"].as_str().unwrap_or("?"));
    if state.era == Era::Modern {
        if let Some(answer) = params.responses.get("name") {
            return json_body(result(id, &state.said(&greet(answer))));
        }
        let required = json!({
            "resultType": "input_required",
            "inputRequests": { "name": { "method": "elicitation/create", "params": question } },
            "requestState": "asked",
        });
        return json_body(result(id, &required.to_string()));
    }
    let (sender, receiver) = mpsc::channel(2);
    let id = id.to_owned();
    tokio::spawn(async move {
        let _counted = counted;
        let number = state.next_question.fetch_add(1, Ordering::Relaxed).cast_signed();
        let (answered, answer) = oneshot::channel();
        state.questions.lock().insert(number, answered);
        let question = json!({
            "jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": question });
        let _ = sender.send(event(&question.to_string())).await;
        tokio::select! {
            answer = answer => {
                let text = greet(&answer.unwrap_or_default());
                let _ = sender.send(event(&result(&id, &state.said(&text)))).await;
            }
            () = sender.closed() => {}
        }
        state.questions.lock().remove(&number);
    });
    stream_body(receiver)
}
