//! The adapter for APIs: tools are built from an OpenAPI document, and a call is an HTTP request.
//!
//! Only the configured URL is ever called, never a URL that the document or a response names.

mod answer;
mod ask;
mod credential;
mod pages;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, RpcError, Value};
use doorward_openapi::{Description, Selection, Tool, tools};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::json;

use self::answer::{object, refusal, result, wrong};
use self::credential::Presented;
use self::pages::{More, Page};
use super::asked::Asked;
use crate::call_error::CallError;
use doorward_config::{PageSettings, Secret};
use doorward_core::Failure;
use doorward_mcp::server_info::About;
use doorward_transport::http::Endpoint;

/// The parsed description of an API.
#[derive(Debug)]
pub struct Api {
    tools: HashMap<String, Ready>,
    listing: Object,
    endpoint: Endpoint,
    pages: Option<PageSettings>,
}

/// A tool, and the credentials that its calls present.
#[derive(Debug)]
struct Ready {
    tool: Tool,
    presented: Presented,
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
        let presented = Presented::of(&tool, &credentials);
        (tool.name.clone(), Ready { tool, presented })
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
        if let Some(member) =
            tool.body_members(&arguments).find(|name| ready.presented.taken_by(name))
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
        ready.presented.put(&mut headers);
        let mut path_and_query = request.path_and_query;
        ready.presented.put_query(&mut path_and_query);
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
        let (base, presented, deadline) = (self.endpoint.uri(), &ready.presented, &asked.deadline);
        let more = More { settings, base, headers, presented, deadline };
        let (whole, told) = more.follow(&endpoint, first).await?;
        let mut result = result(tool, &whole);
        if let Some(told) = told {
            result.set("_meta", object(json!({ "doorward/pages": told })));
        }
        Ok(result)
    }

    /// A URL of the API.
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
