//! The built-in sample server: a sample of each protocol feature, to call before a server is configured. It
//! implements the modern form, without a connection.

use std::time::Duration;

use doorward_mcp::interaction::{InputRequest, InputRequired};
use doorward_mcp::meta::{self, LogLevel};
use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Era, Object, RpcError, Value, capabilities, method};
use serde_json::json;

use crate::call_error::CallError;
use crate::{Asked, Contact, Link, Server, Transport};
use doorward_core::Events;
use doorward_mcp::server_info::About;

const CLOCK: &str = "sample://clock";
/// The interval at which the clock notifies subscribers.
pub const TICK: Duration = Duration::from_secs(2);

pub fn contact() -> Contact {
    let about = About {
        capabilities: object(json!({
            "tools": {}, "prompts": {}, "completions": {}, "logging": {},
            "resources": { "subscribe": true },
        })),
        info: Some(Value::from_serde(&json!({
            "name": "doorward-sample", "title": "Doorward's sample server", "version": env!("CARGO_PKG_VERSION"),
        }))),
        instructions: Some(Value::text(
            "A server to try the gateway with: call `echo`, `add` or `slow`.",
        )),
        hints: None,
        extra: None,
    };
    Contact::new(Era::Modern, Transport::BuiltIn, about, Link::Sample)
}

#[allow(clippy::needless_pass_by_value)] // Reads better where it is called.
fn object(value: serde_json::Value) -> Object {
    Object::from_serde(&value).unwrap_or_default()
}

/// Notifies subscribers of the clock's updates while the gateway runs.
pub async fn tick(server: &Server) {
    loop {
        tokio::time::sleep(TICK).await;
        for uri in server.subscribed() {
            server.unsolicited(method::RESOURCE_UPDATED, &object(json!({ "uri": uri })));
        }
    }
}

pub async fn ask(asked: &Asked<'_>, events: &Events) -> Result<Object, CallError> {
    let mut result = match asked.method {
        method::TOOLS_LIST => object(json!({ "tools": tools() })),
        method::PROMPTS_LIST => object(json!({ "prompts": [{
            "name": "greet", "title": "A greeting",
            "description": "Asks the model to greet somebody.",
            "arguments": [{ "name": "name", "description": "Who is greeted.", "required": true }],
        }]})),
        method::RESOURCES_LIST => object(json!({ "resources": [{
            "uri": CLOCK, "name": "clock", "title": "The time", "mimeType": "text/plain",
            "description": "Seconds since 1970; updated every two seconds.",
        }]})),
        method::TEMPLATES_LIST => object(json!({ "resourceTemplates": [{
            "uriTemplate": "sample://greeting/{name}", "name": "greeting", "mimeType": "text/plain",
            "description": "A greeting for a name.",
        }]})),
        method::TOOLS_CALL => return call(asked, events).await,
        method::PROMPTS_GET => prompt(asked)?,
        method::RESOURCES_READ => read(asked)?,
        method::COMPLETE => complete(asked),
        _ => return Err(RpcError::method_not_found(asked.method).into()),
    };
    result.set("resultType", "complete");
    if method::is_cacheable(asked.method) {
        let ttl_ms = if asked.method == method::RESOURCES_READ { 0 } else { 60_000 };
        CacheHints { ttl_ms, public: true }.put(&mut result);
    }
    Ok(result)
}

fn tools() -> serde_json::Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!([
        {
            "name": "echo", "title": "Echo", "description": "Returns the given text.",
            "inputSchema": { "type": "object", "properties": { "text": text("What to say.") }, "required": ["text"] },
            "annotations": { "readOnlyHint": true },
        },
        {
            "name": "add", "title": "Add", "description": "Adds two numbers.",
            "inputSchema": {
                "type": "object",
                "properties": { "a": { "type": "number" }, "b": { "type": "number" } },
                "required": ["a", "b"],
            },
            "outputSchema": {
                "type": "object", "properties": { "sum": { "type": "number" } }, "required": ["sum"],
            },
            "annotations": { "readOnlyHint": true },
        },
        {
            "name": "slow", "title": "Slow", "description": "Runs slowly, and reports its progress.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "steps": { "type": "integer", "minimum": 1, "maximum": 100, "default": 5 },
                    "pause_ms": { "type": "integer", "minimum": 0, "maximum": 5000, "default": 200 },
                },
            },
            "annotations": { "readOnlyHint": true },
        },
        {
            "name": "introduce", "title": "Introduce", "description": "Asks for your name, and greets you.",
            "inputSchema": { "type": "object" },
            "annotations": { "readOnlyHint": true },
        },
        {
            "name": "ask_model", "title": "Ask the model", "description": "Asks the client's model a question.",
            "inputSchema": { "type": "object", "properties": { "question": text("The question.") }, "required": ["question"] },
            "annotations": { "readOnlyHint": true },
        },
    ])
}

fn said(text: &str) -> Object {
    object(json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] }))
}

fn wrong(text: &str) -> Object {
    object(json!({
        "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": true,
    }))
}

async fn call(asked: &Asked<'_>, events: &Events) -> Result<Object, CallError> {
    let name = asked.params.string("name").unwrap_or_default();
    let arguments = asked.params.object("arguments").unwrap_or_default();
    match name.as_ref() {
        "echo" => Ok(match arguments.string("text") {
            Some(text) => said(&text),
            None => wrong("'text' must be a string"),
        }),
        "add" => {
            let arguments = arguments.to_serde();
            let number = |name: &str| arguments.get(name).and_then(serde_json::Value::as_f64);
            Ok(match (number("a"), number("b")) {
                (Some(a), Some(b)) => {
                    let sum = a + b;
                    let sum = if sum.fract() == 0.0 && sum.abs() < 9e15 {
                        json!(sum as i64)
                    } else {
                        json!(sum)
                    };
                    let mut result = said(&sum.to_string());
                    result.set("structuredContent", object(json!({ "sum": sum })));
                    result
                }
                _ => wrong("'a' and 'b' must be numbers"),
            })
        }
        "slow" => slow(asked, &arguments, events).await,
        "introduce" => introduce(asked),
        "ask_model" => ask_model(asked, &arguments),
        other => Err(RpcError::invalid_params(format!("Unknown tool: {other}")).into()),
    }
}

async fn slow(asked: &Asked<'_>, arguments: &Object, events: &Events) -> Result<Object, CallError> {
    let number = |name: &str, default: u64, most: u64| {
        arguments.get(name).map_or(Some(default), Value::as_u64).filter(|number| *number <= most)
    };
    let (Some(steps), Some(pause)) = (number("steps", 5, 100), number("pause_ms", 200, 5000))
    else {
        return Ok(wrong("'steps' must be 1 to 100 and 'pause_ms' 0 to 5000"));
    };
    let token = meta::progress_token(&asked.params);
    let logs = asked.client.log_level.is_some_and(|level| level <= LogLevel::Info);
    for step in 1..=steps {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if let Some(token) = &token {
            let mut progress = object(
                json!({ "progress": step, "total": steps, "message": format!("step {step} of {steps}") }),
            );
            progress.set("progressToken", token.clone());
            let _ = events.notify(method::PROGRESS, &progress).await;
        }
        if logs {
            let log = object(
                json!({ "level": "info", "logger": "slow", "data": format!("step {step}") }),
            );
            let _ = events.notify(method::LOG, &log).await;
        }
    }
    Ok(said(&format!("done in {steps} steps")))
}

fn needs(
    asked: &Asked<'_>,
    capability: &str,
    key: &str,
    request: (&str, serde_json::Value),
) -> Result<Object, CallError> {
    let (method, params) = request;
    let params = object(params);
    if capabilities::missing_for(&asked.client.capabilities, method, &params).is_some() {
        return Err(RpcError::missing_capability(capability).into());
    }
    let request = InputRequest { key: key.to_owned(), method: method.to_owned(), params };
    Ok(InputRequired { requests: vec![request], state: None }.to_result())
}

fn introduce(asked: &Asked<'_>) -> Result<Object, CallError> {
    if let Some((_, error)) = asked.refused.first() {
        return Ok(wrong(&format!("I could not ask: {}", error.message)));
    }
    let Some(answer) = asked.retry.and_then(|retry| retry.responses.object("name")) else {
        return needs(
            asked,
            "elicitation",
            "name",
            (
                method::ELICIT,
                json!({
                    "mode": "form",
                    "message": "What is your name?",
                    "requestedSchema": {
                        "type": "object",
                        "properties": { "name": { "type": "string", "title": "Your name" } },
                        "required": ["name"],
                    },
                }),
            ),
        );
    };
    Ok(match answer.string("action").as_deref() {
        Some("accept") => {
            let name = answer
                .object("content")
                .and_then(|content| content.string("name").map(std::borrow::Cow::into_owned));
            said(&format!("Hello, {}!", name.unwrap_or_else(|| "stranger".into())))
        }
        Some("decline") => said("Then I greet you without a name."),
        _ => said("Another time, then."),
    })
}

fn ask_model(asked: &Asked<'_>, arguments: &Object) -> Result<Object, CallError> {
    let Some(question) = arguments.string("question") else {
        return Ok(wrong("'question' must be a string"));
    };
    if let Some((_, error)) = asked.refused.first() {
        return Ok(wrong(&format!("I could not ask: {}", error.message)));
    }
    let Some(answer) = asked.retry.and_then(|retry| retry.responses.object("answer")) else {
        return needs(
            asked,
            "sampling",
            "answer",
            (
                method::SAMPLE,
                json!({
                    "messages": [{ "role": "user", "content": { "type": "text", "text": question } }],
                    "maxTokens": 200,
                }),
            ),
        );
    };
    let text = answer
        .object("content")
        .and_then(|content| content.string("text").map(std::borrow::Cow::into_owned));
    Ok(said(&format!("The model said: {}", text.unwrap_or_default())))
}

fn prompt(asked: &Asked<'_>) -> Result<Object, CallError> {
    if asked.params.string("name").as_deref() != Some("greet") {
        return Err(RpcError::invalid_params("Unknown prompt").into());
    }
    let arguments = asked.params.object("arguments").unwrap_or_default();
    let name = arguments
        .string("name")
        .ok_or_else(|| RpcError::invalid_params("The argument 'name' is missing"))?;
    Ok(object(json!({
        "description": "A greeting",
        "messages": [{ "role": "user", "content": { "type": "text", "text": format!("Please greet {name}.") } }],
    })))
}

fn read(asked: &Asked<'_>) -> Result<Object, CallError> {
    let uri = asked.params.string("uri").unwrap_or_default();
    let text = if uri == CLOCK {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs()).to_string()
    } else if let Some(name) =
        uri.strip_prefix("sample://greeting/").filter(|name| !name.is_empty())
    {
        format!("Hello, {name}!")
    } else {
        return Err(RpcError::invalid_params(format!("Resource not found: {uri}"))
            .with_data(&json!({ "uri": uri }))
            .into());
    };
    Ok(object(json!({ "contents": [{ "uri": uri, "mimeType": "text/plain", "text": text }] })))
}

fn complete(asked: &Asked<'_>) -> Object {
    let argument = asked.params.object("argument").unwrap_or_default();
    let begun = argument.string("value").unwrap_or_default().to_lowercase();
    let names = ["Ada", "Barbara", "Edsger", "Grace", "Tony"];
    let values: Vec<_> =
        names.iter().filter(|name| name.to_lowercase().starts_with(&begun)).collect();
    object(json!({ "completion": { "values": values, "total": values.len(), "hasMore": false } }))
}
