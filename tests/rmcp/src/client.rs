//! A client on rmcp that tries the features of the interoperation matrix:
//! `client REVISION http URL`, or `client REVISION stdio COMMAND ARGS…`.
//!
//! Prints one JSON object: the feature, and `ok` or what went wrong.
#![allow(deprecated)] // roots, sampling and logging are, and are tried nevertheless

use std::future::Future;
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestContext,
    RunningService,
};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

type Outcome = Result<(), String>;

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Log(Value),
    Updated(String),
    ToolsChanged,
    Progress(f64),
}

struct Handler {
    config: ClientConfig,
    events: broadcast::Sender<Event>,
}

impl Handler {
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"name": "Tester"})))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text("pong"), "test".into()))
    }

    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(vec![Root::new("file:///project")]))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.tell(Event::Progress(params.progress));
    }

    async fn on_logging_message(
        &self,
        params: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.tell(Event::Log(params.data));
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.tell(Event::Updated(params.uri));
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.tell(Event::ToolsChanged);
    }
}

struct Client {
    service: RunningService<RoleClient, Handler>,
    modern: bool,
}

fn fits(what: impl std::fmt::Debug, holds: bool) -> Outcome {
    if holds { Ok(()) } else { Err(format!("unexpected: {what:?}").chars().take(300).collect()) }
}

async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    let limit = Duration::from_secs(seconds);
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| format!("{what}: nothing within {seconds} s"))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Client {
    fn request(&self, name: &str, arguments: Value) -> CallToolRequestParams {
        let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
        let mut params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        if self.modern {
            let mut meta = RequestMetaObject::new();
            meta.set_log_level(LoggingLevel::Debug);
            params.meta = Some(meta);
        }
        params
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<CallToolResult, String> {
        self.service.call_tool(self.request(name, arguments)).await.map_err(said)
    }

    async fn text(&self, name: &str, arguments: Value) -> Result<String, String> {
        let result = self.call(name, arguments).await?;
        Ok(result
            .content
            .first()
            .and_then(|block| block.as_text())
            .map(|text| text.text.clone())
            .unwrap_or_default())
    }

    async fn tools(&self) -> Result<Vec<String>, String> {
        let tools = self.service.list_all_tools().await.map_err(said)?;
        Ok(tools.into_iter().map(|tool| tool.name.to_string()).collect())
    }

    async fn read(&self, uri: &str) -> Result<Value, String> {
        let result =
            self.service.read_resource(ReadResourceRequestParams::new(uri)).await.map_err(said)?;
        Ok(json!(result.contents[0]))
    }

    /// Waits for what fits.
    async fn event(&self, mut events: broadcast::Receiver<Event>, wanted: Event) -> Outcome {
        within(5, &format!("{wanted:?}"), async {
            while events.recv().await.map_err(said)? != wanted {}
            Ok(())
        })
        .await?
    }

    /// Listens for changes in the words of the era, does something, and waits for the news of it.
    async fn news(&self, filter: SubscriptionFilter, act: &str, wanted: Event) -> Outcome {
        let events = self.service.service().events.subscribe();
        if !self.modern {
            for uri in filter.resource_subscriptions.into_iter().flatten() {
                self.service.subscribe(SubscribeRequestParams::new(uri)).await.map_err(said)?;
            }
            self.call(act, json!({})).await?;
            return self.event(events, wanted).await;
        }
        let mut subscription = self.service.listen(filter).await.map_err(said)?;
        self.call(act, json!({})).await?;
        let news = within(5, "news", subscription.next()).await?.map_err(said)?;
        fits(
            &news,
            match (&news, &wanted) {
                (
                    Some(ServerNotification::ResourceUpdatedNotification(news)),
                    Event::Updated(uri),
                ) => news.params.uri == *uri,
                (Some(ServerNotification::ToolListChangedNotification(_)), Event::ToolsChanged) => {
                    true
                }
                _ => false,
            },
        )
    }

    async fn try_feature(&self, feature: &str) -> Outcome {
        match feature {
            "list" => {
                let tools = self.tools().await?;
                fits(&tools, tools.iter().any(|name| name == "echo"))
            }
            "call" => {
                let words = "grüße \u{2028} \"\\";
                let answer = self.text("echo", json!({"text": words})).await?;
                fits(&answer, answer == words)
            }
            "structured" => {
                let result = self.call("structured", json!({})).await?;
                fits(
                    &result,
                    result.structured_content == Some(json!({"number": 7, "word": "seven"})),
                )
            }
            "image" | "audio" => {
                let result = json!(self.call(feature, json!({})).await?);
                let block = &result["content"][0];
                let kind = if feature == "image" { "image/png" } else { "audio/wav" };
                fits(block, block["type"] == feature && block["mimeType"] == kind)
            }
            "error" => {
                let result = self.call("fail", json!({})).await?;
                fits(&result, result.is_error == Some(true))
            }
            "progress" => self.progress().await,
            "cancel" => self.cancel().await,
            "log" => {
                let events = self.service.service().events.subscribe();
                self.call("log", json!({})).await?;
                self.event(events, Event::Log("a log line".into())).await
            }
            "resource" => {
                let content = self.read("test://static").await?;
                fits(
                    &content,
                    content["text"] == "content of static" && content["uri"] == "test://static",
                )
            }
            "template" => {
                let templates = self.service.list_all_resource_templates().await.map_err(said)?;
                let content = self.read("test://item/42").await?;
                let listed =
                    templates.iter().any(|template| template.uri_template == "test://item/{id}");
                fits((&templates, &content), listed && content["text"] == "item 42")
            }
            "subscribe" => {
                let filter =
                    SubscriptionFilter::builder().resource_subscription("test://watched").build();
                self.news(filter, "touch", Event::Updated("test://watched".into())).await
            }
            "prompt" => {
                let arguments: Map<String, Value> =
                    serde_json::from_value(json!({"name": "Ada"})).unwrap();
                let params = GetPromptRequestParams::new("greet").with_arguments(arguments);
                let prompt = json!(self.service.get_prompt(params).await.map_err(said)?);
                fits(&prompt, prompt["messages"][0]["content"]["text"] == "Greet Ada")
            }
            "completion" => {
                let values = self
                    .service
                    .complete_prompt_simple("greet", "name", "A")
                    .await
                    .map_err(said)?;
                fits(&values, values == ["Ada", "Alan"])
            }
            "elicitation" => {
                let answer = self.text("elicit", json!({})).await?;
                fits(&answer, answer == "hello Tester")
            }
            "sampling" => {
                let answer = self.text("sample", json!({})).await?;
                fits(&answer, answer == "said pong")
            }
            "roots" => {
                let answer = self.text("roots", json!({})).await?;
                fits(&answer, answer == "file:///project")
            }
            "list change" => {
                let filter = SubscriptionFilter::builder().tools_list_changed().build();
                self.news(filter, "grow", Event::ToolsChanged).await?;
                let tools = self.tools().await?;
                fits(&tools, tools.iter().any(|name| name.starts_with("grown-")))
            }
            _ => unreachable!("{feature}"),
        }
    }

    async fn progress(&self) -> Outcome {
        let mut events = self.service.service().events.subscribe();
        let result = self.text("progress", json!({})).await?;
        let mut seen = Vec::new();
        while let Ok(Ok(event)) =
            tokio::time::timeout(Duration::from_millis(200), events.recv()).await
        {
            if let Event::Progress(progress) = event {
                seen.push(progress);
            }
        }
        fits((&result, &seen), result == "done" && seen == [1.0, 2.0, 3.0])
    }

    async fn cancel(&self) -> Outcome {
        let count = async || {
            Ok::<u64, String>(self.text("cancelled", json!({})).await?.parse().unwrap_or_default())
        };
        let before = count().await?;
        let request = ClientRequest::CallToolRequest(Request::new(self.request("slow", json!({}))));
        let call = self
            .service
            .send_cancellable_request(request, PeerRequestOptions::no_options())
            .await
            .map_err(said)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        call.cancel(Some("no more".into())).await.map_err(said)?;
        for _ in 0..50 {
            if count().await? > before {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the server does not know of the cancellation".into())
    }
}

const FEATURES: &[&str] = &[
    "list",
    "call",
    "structured",
    "image",
    "audio",
    "error",
    "progress",
    "cancel",
    "log",
    "resource",
    "template",
    "subscribe",
    "prompt",
    "completion",
    "elicitation",
    "sampling",
    "roots",
    "list change",
];

async fn connect(arguments: &[String]) -> Result<Client, String> {
    let [revision, transport, target, rest @ ..] = arguments else {
        return Err("client REVISION http URL | client REVISION stdio COMMAND ARGS…".into());
    };
    let version: ProtocolVersion =
        serde_json::from_value(revision.as_str().into()).map_err(said)?;
    let modern = version == ProtocolVersion::V_2026_07_28;
    let capabilities =
        ClientCapabilities::builder().enable_elicitation().enable_sampling().enable_roots().build();
    let config = ClientConfig::new(capabilities, Implementation::new("rmcp-client", "1.0.0"));
    let handler = Handler {
        config: config.with_protocol_version(version.clone()),
        events: broadcast::channel(256).0,
    };
    let lifecycle = if modern {
        ClientLifecycleMode::Discover { preferred_versions: vec![version] }
    } else {
        ClientLifecycleMode::Initialize
    };
    let service = if transport == "http" {
        let transport = StreamableHttpClientTransport::from_uri(target.as_str());
        handler.serve_with_lifecycle(transport, lifecycle).await
    } else {
        let mut command = tokio::process::Command::new(target);
        command.args(rest);
        handler
            .serve_with_lifecycle(TokioChildProcess::new(command).map_err(said)?, lifecycle)
            .await
    }
    .map_err(said)?;
    if !modern {
        service.set_level(SetLevelRequestParams::new(LoggingLevel::Debug)).await.map_err(said)?;
    }
    Ok(Client { service, modern })
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut outcomes = Map::new();
    match connect(&arguments).await {
        Ok(client) => {
            for feature in FEATURES {
                let outcome = within(15, feature, client.try_feature(feature))
                    .await
                    .and_then(|outcome| outcome);
                outcomes
                    .insert((*feature).into(), outcome.err().unwrap_or_else(|| "ok".into()).into());
            }
            let _ = client.service.cancel().await;
        }
        Err(error) => {
            outcomes.insert("connect".into(), error.into());
        }
    }
    println!("{}", Value::Object(outcomes));
}
