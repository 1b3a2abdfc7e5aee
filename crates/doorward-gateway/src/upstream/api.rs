//! The adapter for APIs: tools are read from an OpenAPI description, and a call of one is a request.
//!
//! Nothing but the operator's URL is ever called: neither what the description names nor what an answer leads to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Era, Object, RpcError, Value, method};
use doorward_openapi::{Description, Selection, Tool, tools};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::json;

use super::about::About;
use super::http::{Endpoint, NoAnswer, read_whole};
use super::{Asked, Contact, Link, Server, Transport};
use crate::call::{CallError, Failure};
use crate::gather::Gathered;
use crate::outbound::{self, Author};
use crate::settings::OpenApiSettings;

/// How long a description may take to be fetched, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 64 << 20;
/// How much is told of an answer that is an error.
const MOST_TOLD: usize = 4_000;

/// What is known of an API.
#[derive(Debug)]
pub struct Api {
    tools: HashMap<String, Tool>,
    listing: Object,
    endpoint: Endpoint,
}

impl Server {
    /// Reads the description. The API itself is asked nothing.
    pub(super) async fn find_api(
        &self,
        settings: &OpenApiSettings,
        endpoint: &Endpoint,
    ) -> Result<Contact, Failure> {
        let unusable = |why: String| {
            Failure::new(Kind::InvalidMessage, "The API's description cannot be used").because(why)
        };
        let text: Arc<str> = match (&settings.description, &settings.from) {
            (Some(text), _) => text.clone(),
            (None, Some(from)) => {
                let fetched = outbound::get_large(from, Author::Operator, PATIENCE, LARGEST).await;
                let answer = fetched.map_err(|error| {
                    Failure::new(Kind::Unreachable, "The API's description cannot be fetched")
                        .because(error)
                })?;
                if !answer.status.is_success() {
                    let status = answer.status.as_u16();
                    let why = format!("The API's description is answered with HTTP {status}");
                    return Err(Failure::new(Kind::HttpStatus, why));
                }
                String::from_utf8_lossy(&answer.body).into()
            }
            (None, None) => return Err(unusable("there is none".into())),
        };
        let selection = settings.selection();
        let read = tokio::task::spawn_blocking(move || read(&text, &selection)).await;
        let (about, tools) =
            read.map_err(|error| unusable(error.to_string()))?.map_err(unusable)?;
        for (operation, why) in &tools.left_out {
            tracing::warn!(server = &*self.name, operation, "left out an operation: {why}");
        }
        let api = Api { tools: tools.by_name, listing: tools.listing, endpoint: endpoint.clone() };
        let link = Link::Api(Arc::new(api));
        Ok(Contact::new(Era::Modern, Transport::OpenApi, about, link))
    }

    pub(super) async fn ask_api(&self, api: &Api, asked: &Asked<'_>) -> Result<Object, CallError> {
        match asked.method {
            method::TOOLS_LIST => Ok(api.listing.clone()),
            method::TOOLS_CALL => {
                let name = asked.params.string("name").unwrap_or_default();
                let tool = api
                    .tools
                    .get(name.as_ref())
                    .ok_or_else(|| RpcError::invalid_params(format!("Unknown tool: {name}")))?;
                let answering = api.call(tool, asked);
                tokio::time::timeout_at(asked.deadline.at(), answering)
                    .await
                    .map_err(|_| asked.deadline.passed())?
            }
            other => Err(RpcError::method_not_found(other).into()),
        }
    }
}

/// The tools of a description.
struct Read {
    by_name: HashMap<String, Tool>,
    listing: Object,
    left_out: Vec<(String, String)>,
}

fn read(text: &str, selection: &Selection) -> Result<(About, Read), String> {
    let description = Description::parse(text).map_err(|error| error.to_string())?;
    let (tools, left_out) = tools(&description, selection);
    let about = About {
        capabilities: object(json!({ "tools": {} })),
        info: Some(Value::from_serde(&json!({ "name": description.title(), "version": "" }))),
        ..About::default()
    };
    let listing = object(json!({
        "tools": tools, "resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "private",
    }));
    let left_out = left_out.into_iter().filter(|left| !left.unselected);
    let left_out = left_out.map(|left| (left.operation, left.why)).collect();
    let by_name = tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect();
    Ok((about, Read { by_name, listing, left_out }))
}

impl Api {
    async fn call(&self, tool: &Tool, asked: &Asked<'_>) -> Result<Object, CallError> {
        let arguments = match asked.params.get("arguments").map(Value::to_bytes) {
            None => serde_json::Map::new(),
            Some(text) => serde_json::from_slice(&text)
                .map_err(|_| RpcError::invalid_params("'arguments' must be an object"))?,
        };
        let boundary = crate::seal::random_id().map_err(|_| {
            Failure::new(Kind::Overloaded, "The system has no randomness at the moment")
        })?;
        let request = match tool.request(&arguments, &boundary) {
            Ok(request) => request,
            Err(bad) => return Ok(wrong(&format!("No request can be made of this:\n{bad}"), None)),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.append(name, value);
            }
        }
        let body = request.body.map(|(kind, bytes)| {
            if let Ok(kind) = HeaderValue::try_from(kind) {
                headers.insert(CONTENT_TYPE, kind);
            }
            Bytes::from(bytes)
        });
        let endpoint = self.at(&request.path_and_query)?.with(asked.own.as_ref());
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
        let response = endpoint.call(method, headers, body.unwrap_or_default()).await?;
        let (head, mut body) = response.into_parts();
        let status = head.status;
        if matches!(status.as_u16(), 401 | 403 | 429)
            || status.is_server_error()
            || status.is_redirection()
        {
            return Err(NoAnswer { status, error: None, headers: head.headers }.failure().into());
        }
        let limit = endpoint.bounds().message;
        let body = read_whole(&mut Gathered::default(), &mut body, limit).await?;
        let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !status.is_success() {
            return Ok(refusal(status, &body));
        }
        Ok(result(tool, status, &kind.to_ascii_lowercase(), &body))
    }

    /// A place of the API's.
    fn at(&self, path_and_query: &str) -> Result<Endpoint, Failure> {
        let mut parts = self.endpoint.uri().clone().into_parts();
        let base = parts.path_and_query.as_ref().map_or("", |base| base.path());
        let whole = format!("{}{path_and_query}", base.trim_end_matches('/'));
        parts.path_and_query = whole.parse().ok();
        let uri = Uri::from_parts(parts)
            .map_err(|_| Failure::new(Kind::InvalidMessage, "The arguments make no URL"))?;
        Ok(self.endpoint.at(uri))
    }
}

/// A good answer: its JSON as structured content and as text, else what it is.
fn result(tool: &Tool, status: StatusCode, kind: &str, body: &[u8]) -> Object {
    let is_json = kind == "application/json" || kind.ends_with("+json");
    let mut result = json!({ "resultType": "complete" });
    let parsed: Option<serde_json::Value> =
        is_json.then(|| serde_json::from_slice(body).ok()).flatten();
    if let Some(value) = parsed {
        result["content"] = json!([{ "type": "text", "text": value.to_string() }]);
        result["structuredContent"] =
            if tool.wraps || !value.is_object() { json!({ "result": value }) } else { value };
    } else if body.is_empty() {
        let text = format!("done (HTTP {})", status.as_u16());
        result["content"] = json!([{ "type": "text", "text": text }]);
    } else if let (true, Ok(text)) = (is_text(kind), std::str::from_utf8(body)) {
        result["content"] = json!([{ "type": "text", "text": text }]);
    } else if kind.starts_with("image/") || kind.starts_with("audio/") {
        let of = kind.split('/').next().unwrap_or("image");
        let data = STANDARD.encode(body);
        result["content"] = json!([{ "type": of, "data": data, "mimeType": kind }]);
    } else {
        let blob = STANDARD.encode(body);
        let mime = if kind.is_empty() { "application/octet-stream" } else { kind };
        let resource =
            json!({ "uri": format!("api:{}", tool.name), "mimeType": mime, "blob": blob });
        result["content"] = json!([{ "type": "resource", "resource": resource }]);
    }
    object(result)
}

fn is_text(kind: &str) -> bool {
    kind.is_empty()
        || kind.starts_with("text/")
        || kind.ends_with("json")
        || kind.ends_with("xml")
        || kind.ends_with("yaml")
        || kind == "application/javascript"
}

/// What the API refuses, in its own words: problem details (RFC 9457), or what its body says.
fn refusal(status: StatusCode, body: &[u8]) -> Object {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let words: Vec<String> = ["title", "detail", "message", "error_description", "error"]
        .into_iter()
        .filter_map(said)
        .collect();
    let mut text = format!("The API refuses this with HTTP {}", status.as_u16());
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

fn wrong(text: &str, status: Option<StatusCode>) -> Object {
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
fn object(value: serde_json::Value) -> Object {
    Object::from_serde(&value).unwrap_or_default()
}
