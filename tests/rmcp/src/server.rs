//! A server on rmcp: `server both|modern|REVISION http PORT`, or `… stdio`. With a revision it speaks
//! that one and those before.
//!
//! It offers what the catalogue of `tests/conformance` describes: all that the official conformance
//! suite asks of a server, tasks included, and the features of the interoperation matrix.
#![allow(deprecated)] // roots, sampling and logging are, and are served nevertheless

mod ask;
mod catalogue;
mod tasks;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ask::Asked;
use catalogue::{CATALOGUE, filled};
use rmcp::model::*;
use rmcp::service::{
    NotificationContext, Peer, RequestContext, SubscriptionContext, SubscriptionSink,
};
use rmcp::task_manager::TaskManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Map, Value, json};

type Context = RequestContext<RoleServer>;

/// What all sessions share.
#[derive(Default)]
struct Shared {
    tasks: TaskManager,
    cancelled: AtomicU64,
    grown: AtomicU64,
    next: AtomicU64,
    listeners: Mutex<HashMap<u64, SubscriptionSink>>,
    /// Clients of the handshake era.
    sessions: Mutex<Vec<Peer<RoleServer>>>,
}

#[derive(Clone)]
struct Fixture {
    versions: Vec<ProtocolVersion>,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy)]
enum Change {
    Tools,
    Prompts,
    Resource(&'static str),
}

impl Fixture {
    /// Tells all who listen, in either era. Those who are gone are forgotten.
    async fn announce(&self, change: Change) {
        let listeners: Vec<_> = self.shared.listeners.lock().unwrap().values().cloned().collect();
        for listener in listeners {
            let _ = match change {
                Change::Tools => listener.notify_tool_list_changed().await,
                Change::Prompts => listener.notify_prompt_list_changed().await,
                Change::Resource(uri) => listener.notify_resource_updated(uri).await,
            };
        }
        let sessions = std::mem::take(&mut *self.shared.sessions.lock().unwrap());
        for session in sessions {
            let told = match change {
                Change::Tools => session.notify_tool_list_changed().await,
                Change::Prompts => session.notify_prompt_list_changed().await,
                Change::Resource(uri) => {
                    session
                        .notify_resource_updated(ResourceUpdatedNotificationParam::new(uri))
                        .await
                }
            };
            if told.is_ok() {
                self.shared.sessions.lock().unwrap().push(session);
            }
        }
    }

    /// The tools that only code can be.
    async fn act(&self, name: &str, cx: &Context) -> Result<CallToolResult, ErrorData> {
        let done = |text: &str| Ok(CallToolResult::success(vec![ContentBlock::text(text)]));
        match name {
            "test_tool_with_logging" => {
                for line in
                    ["Tool execution started", "Tool processing data", "Tool execution completed"]
                {
                    log(cx, LoggingLevel::Info, line).await;
                    pause(50).await;
                }
                done("logged")
            }
            "test_logging_tool" => {
                if let Some(level) = cx.meta.log_level() {
                    log(cx, level, "the client wants to hear").await;
                }
                done("logged where wanted")
            }
            "log" => {
                log(cx, LoggingLevel::Info, "a log line").await;
                done("logged")
            }
            "test_tool_with_progress" => {
                progress(cx, &[0.0, 50.0, 100.0], 100.0).await;
                done("done")
            }
            "progress" => {
                progress(cx, &[1.0, 2.0, 3.0], 3.0).await;
                done("done")
            }
            "test_trigger_tool_change" => {
                self.announce(Change::Tools).await;
                done("announced")
            }
            "test_trigger_prompt_change" => {
                self.announce(Change::Prompts).await;
                done("announced")
            }
            "test_missing_capability" => {
                if cx.client_capabilities().is_none_or(|declared| declared.sampling.is_none()) {
                    let needed = ClientCapabilities::builder().enable_sampling().build();
                    return Err(ErrorData::missing_required_client_capability(needed));
                }
                done("sampling is declared")
            }
            "slow" => {
                tokio::select! {
                    () = cx.ct.cancelled() => {
                        self.shared.cancelled.fetch_add(1, Ordering::Relaxed);
                        done("cancelled")
                    }
                    () = pause(30_000) => done("not cancelled"),
                }
            }
            "cancelled" => done(&self.shared.cancelled.load(Ordering::Relaxed).to_string()),
            "touch" => {
                self.announce(Change::Resource("test://watched")).await;
                done("touched")
            }
            "grow" => {
                self.shared.grown.fetch_add(1, Ordering::Relaxed);
                self.announce(Change::Tools).await;
                done("grew")
            }
            _ if name.starts_with("grown-") => done("grown"),
            _ => Err(ErrorData::invalid_params(format!("Unknown tool: {name}"), None)),
        }
    }
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

async fn log(cx: &Context, level: LoggingLevel, line: &str) {
    let _ = cx
        .peer
        .notify_logging_message(LoggingMessageNotificationParam::new(level, json!(line)))
        .await;
}

async fn progress(cx: &Context, steps: &[f64], total: f64) {
    for step in steps {
        if let Some(token) = cx.meta.get_progress_token() {
            let told = ProgressNotificationParam::new(token.clone(), *step).with_total(total);
            let _ = cx.peer.notify_progress(told.with_message("on the way")).await;
        }
        pause(50).await;
    }
}

fn decoded<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// An entry of the catalogue with its key as its name.
fn named(key: &str, entry: &Value, name: &str) -> Value {
    let mut entry = entry.clone();
    for internal in ["result", "ask", "then", "state", "optional", "messages", "text", "blob"] {
        entry.as_object_mut().unwrap().remove(internal);
    }
    entry[name] = key.into();
    entry
}

/// All entries of one part of the catalogue.
fn entries<T: serde::de::DeserializeOwned>(part: &str, name: &str) -> Result<Vec<T>, ErrorData> {
    CATALOGUE[part]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, entry)| decoded(named(key, entry, name)))
        .collect()
}

const TTL: u64 = 60_000;
const USAGE: &str = "server both|modern|REVISION http PORT|stdio";

impl ServerHandler for Fixture {
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Owned(self.versions.clone())
    }

    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_logging()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_tasks()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("rmcp-fixture", "1.0.0"))
            .with_instructions("A server for tests.")
    }

    async fn on_initialized(&self, cx: NotificationContext<RoleServer>) {
        self.shared.sessions.lock().unwrap().push(cx.peer);
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let entry = CATALOGUE["tools"].get(name)?;
        serde_json::from_value(named(name, entry, "name")).ok()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools: Vec<Tool> = entries("tools", "name")?;
        let schema: Map<String, Value> = decoded(json!({"type": "object"}))?;
        for grown in 0..self.shared.grown.load(Ordering::Relaxed) {
            tools.push(Tool::new(
                format!("grown-{grown}"),
                "A tool that came later",
                schema.clone(),
            ));
        }
        Ok(ListToolsResult::with_all_items(tools)
            .with_ttl_ms(TTL)
            .with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        if tasks::NAMES.contains(&name) {
            return tasks::call(&self.shared.tasks, &request, &cx).await;
        }
        let entry = &CATALOGUE["tools"][name];
        let mut known = request.arguments.clone().unwrap_or_default();
        if entry.get("ask").is_some() {
            match ask::rounds(entry, &mut known, ask::Given::of(&request), &cx).await? {
                Asked::Required(result) => return Ok(result.into()),
                Asked::Answered => {
                    let text = filled(&entry["then"], &known);
                    return Ok(CallToolResult::success(vec![ContentBlock::text(
                        text.as_str().unwrap(),
                    )])
                    .into());
                }
            }
        }
        if let Some(result) = entry.get("result") {
            let mut result = filled(result, &known);
            result["resultType"] = "complete".into();
            return Ok(decoded::<CallToolResult>(result)?.into());
        }
        self.act(name, &cx).await.map(Into::into)
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(entries("prompts", "name")?)
            .with_ttl_ms(TTL)
            .with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        cx: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let entry = CATALOGUE["prompts"].get(&request.name).ok_or_else(|| {
            ErrorData::invalid_params(format!("Unknown prompt: {}", request.name), None)
        })?;
        let mut known: Map<String, Value> =
            decoded(json!(request.arguments.clone().unwrap_or_default()))?;
        if entry.get("ask").is_some()
            && let Asked::Required(result) =
                ask::rounds(entry, &mut known, ask::Given::of_prompt(&request), &cx).await?
        {
            return Ok(result.into());
        }
        Ok(GetPromptResult::new(decoded(filled(&entry["messages"], &known))?).into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = CATALOGUE["resources"].as_object().unwrap().iter().map(|(uri, entry)| {
            Resource::new(uri, uri.trim_start_matches("test://"))
                .with_description("A resource for tests")
                .with_mime_type(entry["mimeType"].as_str().unwrap())
        });
        Ok(ListResourcesResult::with_all_items(resources.collect())
            .with_ttl_ms(TTL)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = CATALOGUE["templates"].as_object().unwrap().keys();
        let templates = templates
            .map(|uri| ResourceTemplate::new(uri, uri).with_description("A template for tests"));
        Ok(ListResourceTemplatesResult::with_all_items(templates.collect())
            .with_ttl_ms(TTL)
            .with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let mut known = Map::new();
        let entry = catalogue::resource(&request.uri, &mut known).ok_or_else(|| {
            ErrorData::resource_not_found(
                format!("no resource {}", request.uri),
                Some(json!({"uri": request.uri})),
            )
        })?;
        let mut content = filled(entry, &known);
        content["uri"] = request.uri.into();
        Ok(ReadResourceResult::new(vec![decoded(content)?])
            .with_ttl_ms(TTL)
            .with_cache_scope(CacheScope::Public)
            .into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let names = ["Ada", "Alan", "Barbara", "Grace"].into_iter();
        let values = names
            .filter(|name| name.starts_with(&request.argument.value))
            .map(String::from)
            .collect();
        Ok(CompleteResult::new(
            CompletionInfo::new(values).map_err(|error| ErrorData::internal_error(error, None))?,
        ))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let key = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.listeners.lock().unwrap().insert(key, context.sink().clone());
        context.cancelled().await;
        self.shared.listeners.lock().unwrap().remove(&key);
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.shared.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.shared.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [era, transport @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let all = ProtocolVersion::KNOWN_VERSIONS.iter();
    let versions = all.filter(|version| match *era {
        "both" => true,
        "modern" => **version == ProtocolVersion::V_2026_07_28,
        latest => version.as_str() <= latest,
    });
    let fixture = Fixture { versions: versions.cloned().collect(), shared: Arc::default() };
    match transport {
        ["stdio"] => {
            fixture.serve(rmcp::transport::stdio()).await?.waiting().await?;
        }
        ["http", port] => {
            let service = StreamableHttpService::new(
                move || Ok(fixture.clone()),
                Arc::new(LocalSessionManager::default()),
                StreamableHttpServerConfig::default(),
            );
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
            axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
