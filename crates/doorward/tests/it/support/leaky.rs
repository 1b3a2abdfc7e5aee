//! A server that returns a given text in every place where the protocol allows text.

use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::hostile::{Asked, Era, Hostile, answer, begin_stream, event, result_text, with_habit};

/// The server, and the requests that it has received.
pub struct Leaky {
    pub server: Hostile,
    pub received: Arc<Mutex<Vec<Asked>>>,
}

/// Starts a server that returns the text everywhere.
pub fn start(era: Era, text: &str) -> Leaky {
    let received = Arc::<Mutex<Vec<Asked>>>::default();
    let (seen, text) = (received.clone(), text.to_owned());
    let server = with_habit(era, move |asked, stream| {
        seen.lock().push(asked.clone());
        reply(era, asked, stream, &text)
    });
    Leaky { server, received }
}

impl Leaky {
    pub fn config(&self, more: &str) -> String {
        format!("servers: {{s: {{url: \"{}\"}}}}\n{more}", self.server.url())
    }

    /// The arguments of the last tool call.
    pub fn arguments(&self) -> Value {
        let received = self.received.lock();
        let last = received.iter().rfind(|asked| asked.message["method"] == "tools/call");
        last.map_or(Value::Null, |asked| asked.message["params"]["arguments"].clone())
    }
}

fn reply(era: Era, asked: &Asked, stream: &mut TcpStream, text: &str) -> bool {
    let params = &asked.message["params"];
    let result = match asked.message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {}, "prompts": {}, "resources": {}, "logging": {}, "completions": {} } }),
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {}, "prompts": {}, "resources": {}, "logging": {}, "completions": {} },
            "serverInfo": { "name": "leaky", "version": "1" } }),
        "tools/list" => json!({ "tools": tools() }),
        "prompts/list" => json!({ "prompts": [{ "name": "p", "arguments": [{ "name": "a" }] }] }),
        "resources/list" => json!({ "resources": [] }),
        "resources/templates/list" => json!({ "resourceTemplates": [] }),
        "prompts/get" => json!({ "description": text, "messages": [
            { "role": "user", "content": { "type": "text", "text": text } } ] }),
        "resources/read" => json!({ "contents": [{ "uri": params["uri"], "text": text }] }),
        "completion/complete" => json!({ "completion": { "values": [text] } }),
        "tools/call" => match params["name"].as_str().unwrap_or_default() {
            "echo" => json!({ "content": [
                { "type": "text", "text": params["arguments"].to_string() } ],
                "_meta": { "example.com/note": text } }),
            "fails" => {
                let error = json!({ "code": -32000, "message": format!("failed: {text}"), "data": { "detail": text } });
                let message =
                    json!({ "jsonrpc": "2.0", "id": asked.message["id"], "error": error });
                answer(stream, 200, "application/json", message.to_string().as_bytes());
                return true;
            }
            "streams" => {
                streams(asked, stream, text);
                return true;
            }
            "asks" if params.get("inputResponses").is_none() => json!({
                "resultType": "input_required", "requestState": "kept-as-it-is-0123456789",
                "inputRequests": { "q1": { "method": "elicitation/create", "params": {
                    "mode": "form", "message": text,
                    "requestedSchema": { "type": "object", "properties": { "x": { "type": "string", "description": text } } } } } } }),
            "asks" => {
                json!({ "content": [{ "type": "text", "text": params["inputResponses"].to_string() }] })
            }
            // Structured content with the caller's arguments.
            _ => json!({ "content": [{ "type": "text", "text": params["arguments"].to_string() }],
                "structuredContent": params["arguments"] }),
        },
        _ => return false,
    };
    let mut result = result;
    result["ttlMs"] = 60_000.into();
    result["cacheScope"] = "private".into();
    if era == Era::Modern && result.get("resultType").is_none() {
        result["resultType"] = "complete".into();
    }
    let body = result_text(asked, &result);
    answer(stream, 200, "application/json", body.as_bytes());
    true
}

fn tools() -> Value {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } });
    let mut tools: Vec<Value> = ["echo", "fails", "streams", "asks", "free"].map(tool).into();
    let mut loose = tool("loose");
    loose["outputSchema"] = json!({ "type": "object", "properties": {
        "card": { "type": ["integer", "null"] }, "mail": { "type": "string" } } });
    let mut strict = tool("strict");
    strict["outputSchema"] = json!({ "type": "object", "properties": {
        "card": { "type": "integer" }, "mail": { "type": "string", "pattern": "@" } } });
    let mut mirrored = tool("mirrored");
    mirrored["inputSchema"] = json!({ "type": "object", "properties": {
        "to": { "type": "string", "x-mcp-header": "To" } } });
    tools.extend([loose, strict, mirrored]);
    tools.into()
}

/// Sends progress, a log message and the result as events.
fn streams(asked: &Asked, stream: &mut TcpStream, text: &str) {
    begin_stream(stream);
    let token = &asked.message["params"]["_meta"]["progressToken"];
    let notification = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
    };
    if !token.is_null() {
        let progress = json!({ "progressToken": token, "progress": 1, "message": text });
        event(stream, &notification("notifications/progress", progress));
    }
    let log = json!({ "level": "error", "logger": "l", "data": { "said": text } });
    event(stream, &notification("notifications/message", log));
    let result =
        json!({ "content": [{ "type": "text", "text": "done" }], "resultType": "complete" });
    event(stream, &result_text(asked, &result));
    let _ = stream.shutdown(std::net::Shutdown::Both);
}
