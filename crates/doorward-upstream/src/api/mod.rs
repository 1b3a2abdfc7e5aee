//! The adapter for APIs: tools are built from an OpenAPI document, and a call of one is a request.
//!
//! Only the configured URL is ever called: neither what the document names nor what a response refers to.

mod answer;
mod credential;
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Era, Object, RpcError, Value, method};
use doorward_openapi::{Description, Selection, Tool, tools};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::json;

use self::answer::{object, refusal, result, wrong};
use self::credential::Shown;
use self::pages::{More, Page};
use super::http::Endpoint;
use super::server_info::About;
use super::{Asked, Contact, Link, Server, Transport};
use crate::call_error::CallError;
use doorward_config::{OpenApiSettings, PageSettings, Secret};
use doorward_core::Failure;
use doorward_net::outbound::{self, Author};

/// How long a description may take to be fetched, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 64 << 20;

/// What is known of an API.
#[derive(Debug)]
pub struct Api {
    tools: HashMap<String, Ready>,
    listing: Object,
    endpoint: Endpoint,
    pages: Option<PageSettings>,
}

/// A tool, and what is shown when it is called.
#[derive(Debug)]
struct Ready {
    tool: Tool,
    shown: Shown,
}

impl Server {
    /// Reads the description. The API itself is asked nothing.
    pub(super) async fn find_api(
        &self,
        settings: &OpenApiSettings,
        endpoint: &Endpoint,
    ) -> Result<Contact, Failure> {
        let unusable = |why: String| {
            Failure::new(Kind::InvalidMessage, "The API's OpenAPI document cannot be used")
                .because(why)
        };
        let text: Arc<str> = match (&settings.description, &settings.from) {
            (Some(text), _) => text.clone(),
            (None, Some(from)) => {
                let fetched = outbound::get_large(from, Author::Operator, PATIENCE, LARGEST).await;
                let answer = fetched.map_err(|error| {
                    Failure::new(Kind::Unreachable, "The API's OpenAPI document cannot be fetched")
                        .because(error)
                })?;
                if !answer.status.is_success() {
                    let status = answer.status.as_u16();
                    let why = format!("The API's OpenAPI document was answered with HTTP {status}");
                    return Err(Failure::new(Kind::HttpStatus, why));
                }
                String::from_utf8_lossy(&answer.body).into()
            }
            (None, None) => return Err(unusable("there is none".into())),
        };
        let (selection, security) = (settings.selection(), settings.security.clone());
        let reading = move || read(&text, &selection, &security);
        let read = tokio::task::spawn_blocking(reading).await;
        let (about, tools) =
            read.map_err(|error| unusable(error.to_string()))?.map_err(unusable)?;
        for (operation, why) in &tools.left_out {
            tracing::warn!(
                server = &*self.name,
                operation,
                "an operation is not listed as a tool: {why}"
            );
        }
        let api = Api {
            tools: tools.by_name,
            listing: tools.listing,
            endpoint: endpoint.clone(),
            pages: settings.pages.clone(),
        };
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
    by_name: HashMap<String, Ready>,
    listing: Object,
    left_out: Vec<(String, String)>,
}

fn read(
    text: &str,
    selection: &Selection,
    security: &BTreeMap<String, Secret>,
) -> Result<(About, Read), String> {
    let description = Description::parse(text).map_err(|error| error.to_string())?;
    let credentials = credential::credentials(&description, security)?;
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
    let by_name = tools.into_iter().map(|tool| {
        let shown = Shown::of(&tool, &credentials);
        (tool.name.clone(), Ready { tool, shown })
    });
    let by_name = by_name.collect();
    Ok((about, Read { by_name, listing, left_out }))
}

impl Api {
    async fn call(&self, ready: &Ready, asked: &Asked<'_>) -> Result<Object, CallError> {
        let tool = &ready.tool;
        let arguments = match asked.params.get("arguments").map(Value::to_bytes) {
            None => serde_json::Map::new(),
            Some(text) => serde_json::from_slice(&text)
                .map_err(|_| RpcError::invalid_params("'arguments' must be an object"))?,
        };
        let boundary = doorward_identity::seal::random_id().map_err(|_| {
            Failure::new(Kind::Overloaded, "The random number generator of the system failed")
        })?;
        if let Some(member) = tool.body_members(&arguments).find(|name| ready.shown.taken_by(name))
        {
            let why = format!("'{member}' in the body could be mistaken for a credential");
            return Ok(wrong(&format!("The arguments do not make a valid request:\n{why}"), None));
        }
        let request = match tool.request(&arguments, &boundary) {
            Ok(request) => request,
            Err(bad) => {
                return Ok(wrong(
                    &format!("The arguments do not make a valid request:\n{bad}"),
                    None,
                ));
            }
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
        ready.shown.put(&mut headers);
        let mut path_and_query = request.path_and_query;
        ready.shown.put_query(&mut path_and_query);
        let endpoint = self.at(&path_and_query)?.with(asked.own.as_ref());
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
        let follows = self.pages.as_ref().filter(|_| method == Method::GET);
        let further = follows.map(|settings| (settings, headers.clone()));
        endpoint.tell(&mut headers, &asked.deadline);
        let first = Page::fetch(&endpoint, method, headers, body.unwrap_or_default()).await?;
        if !first.status.is_success() {
            return Ok(refusal(first.status, &first.body));
        }
        let Some((settings, headers)) = further else { return Ok(result(tool, &first)) };
        let (base, shown, deadline) = (self.endpoint.uri(), &ready.shown, &asked.deadline);
        let more = More { settings, base, headers, shown, deadline };
        let (whole, told) = more.follow(&endpoint, first).await?;
        let mut result = result(tool, &whole);
        if let Some(told) = told {
            result.set("_meta", object(json!({ "doorward/pages": told })));
        }
        Ok(result)
    }

    /// A place of the API's.
    fn at(&self, path_and_query: &str) -> Result<Endpoint, Failure> {
        let mut parts = self.endpoint.uri().clone().into_parts();
        let base = parts.path_and_query.as_ref().map_or("", |base| base.path());
        let whole = format!("{}{path_and_query}", base.trim_end_matches('/'));
        parts.path_and_query = whole.parse().ok();
        let uri = Uri::from_parts(parts).map_err(|_| {
            Failure::new(Kind::InvalidMessage, "The arguments do not make a valid URL")
        })?;
        Ok(self.endpoint.at(uri))
    }
}
