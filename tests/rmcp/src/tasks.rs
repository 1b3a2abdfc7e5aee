//! The tools that run as tasks (extension `io.modelcontextprotocol/tasks`) where the client knows tasks.

use std::time::Duration;

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::decoded;

pub const NAMES: &[&str] = &[
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];

/// Those that cannot be called by a client without tasks.
const REQUIRED: &[&str] = &["failing_job", "confirm_delete", "multi_input", "test_tool_with_task"];

pub async fn call(
    tasks: &TaskManager,
    request: &CallToolRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let name = request.name.to_string();
    let as_task = cx.client_capabilities().is_some_and(|declared| declared.supports_tasks());
    if !as_task && REQUIRED.contains(&name.as_str()) {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    let arguments = json!(request.arguments);
    if !as_task {
        return match name.as_str() {
            "slow_compute" => {
                tokio::time::sleep(seconds(&arguments)).await;
                Ok(text("computed").into())
            }
            _ => Err(ErrorData::internal_error("this job always fails", None)),
        };
    }
    let mut user = None;
    if name == "test_tool_with_task" {
        let answer = request.input_responses.as_ref().and_then(|given| given.get("user_name"));
        let Some(answer) = answer.filter(|answer| answer.is_object()) else {
            let asked = json!({"user_name": question("What is your name?", "name", "string")});
            return Ok(InputRequiredResult::from_input_requests(decoded(asked)?).into());
        };
        user = Some(answer["content"]["name"].as_str().unwrap_or("friend").to_owned());
    }
    let task = tasks.spawn(TaskOptions::default(), move |task| {
        Box::pin(async move { job(&name, &arguments, user, task).await })
    });
    Ok(CreateTaskResult::new(task).into())
}

async fn job(
    name: &str,
    arguments: &Value,
    user: Option<String>,
    task: TaskContext,
) -> Result<CallToolResult, TaskExit> {
    let ask = |key: &'static str, request: Value| {
        let request = decoded::<InputRequest>(request).expect("a request");
        task.request_input(key, request)
    };
    match name {
        "slow_compute" => tokio::select! {
            () = task.cancelled() => Err(TaskExit::Cancelled),
            () = tokio::time::sleep(seconds(arguments)) => Ok(text("computed")),
        },
        "failing_job" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(CallToolResult::error(vec![ContentBlock::text("the job went wrong")]))
        }
        "protocol_error_job" => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Err(TaskExit::Error(ErrorData::internal_error("this job always fails", None)))
        }
        "confirm_delete" => {
            let answer = ask("confirm", question("Delete it?", "confirm", "boolean")).await?;
            Ok(text(&format!("confirmed: {}", answer["content"]["confirm"])))
        }
        "multi_input" => {
            let first = ask("first", question("The first value?", "value", "string"));
            let second = ask("second", question("The second value?", "value", "string"));
            let (first, second) = tokio::join!(first, second);
            Ok(text(&format!("{} and {}", first?["content"]["value"], second?["content"]["value"])))
        }
        _ => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(text(&format!("Hello, {}!", user.unwrap_or_default())))
        }
    }
}

fn seconds(arguments: &Value) -> Duration {
    Duration::from_secs_f64(arguments["seconds"].as_f64().unwrap_or(1.0).clamp(0.0, 60.0))
}

fn text(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn question(message: &str, property: &str, kind: &str) -> Value {
    let schema =
        json!({"type": "object", "properties": {property: {"type": kind}}, "required": [property]});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}
