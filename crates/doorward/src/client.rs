//! A client of the gateway, in the stateless form of 2026-07-28, for the commands that list and call tools.

use std::collections::HashMap;

use bytes::Bytes;
use doorward_config::{Limits, Secret, ServerSettings};
use doorward_gateway::call::Failure;
use doorward_mcp::error::Kind;
use doorward_mcp::meta::{self, Client as Identity};
use doorward_mcp::param_headers::{self, ParamHeader};
use doorward_mcp::{Id, Message, Object, Revision, RpcError, Value, message, method};
use doorward_transport::answer::Answer;
use doorward_transport::http::{Endpoint, mirrored_headers};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::cli::Credential;
use crate::commands::{Exit, Failed};

/// Maximum number of pages fetched of a list.
const MAX_PAGES: usize = 1_000;

/// Why a request has no result.
#[derive(Debug)]
pub enum Error {
    /// The gateway cannot be reached, or the response is not a gateway's.
    Unreachable(Failure),
    Rpc(RpcError),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Unreachable(failure)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Unreachable(failure) => {
                let cause = failure.cause.as_ref().map(|cause| format!(": {cause}"));
                let hint = match failure.kind {
                    Kind::Unreachable => "; is it running? Start it with 'doorward serve'",
                    _ => "",
                };
                let message = failure.message.replace("The server", "the gateway");
                Self::new(
                    Exit::Unreachable,
                    format!("{message}{}{hint}", cause.unwrap_or_default()),
                )
            }
            Error::Rpc(error) => Self::new(Exit::Refused, describe(&error)),
        }
    }
}

/// An error's message, code and data.
fn describe(error: &RpcError) -> String {
    let data = error
        .data
        .as_ref()
        .map(|data| format!("\n  {}", String::from_utf8_lossy(&data.to_bytes())));
    format!("{} (code {}){}", error.message, error.code, data.unwrap_or_default())
}

/// An endpoint with the headers that the user has given.
pub fn endpoint(
    url: &Url,
    headers: &[(String, String)],
    credential: &Credential,
) -> Result<Endpoint, Failed> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failed::new(Exit::Usage, format!("{url} is not an http:// or https:// URL")));
    }
    let settings = ServerSettings {
        url: Some(url.clone()),
        headers: headers
            .iter()
            .cloned()
            .chain(
                credential.key.iter().map(|key| ("authorization".into(), format!("Bearer {key}"))),
            )
            .map(|(name, value)| (name, Secret(value)))
            .collect(),
        ..ServerSettings::default()
    };
    let limits = Limits::default();
    Endpoint::new(
        doorward_net::clients::Clients::new(std::time::Duration::from_secs(5)),
        &settings,
        &limits,
    )
    .ok_or_else(|| Failed::new(Exit::Usage, format!("{url} cannot be used")))
}

/// The arguments that each tool requires in headers.
#[derive(Debug, Default)]
pub struct Mirrors(HashMap<String, Vec<ParamHeader>>);

impl Mirrors {
    /// Reads a page of `tools/list`.
    pub fn learn(&mut self, result: &Object) {
        let tools = result.get("tools").and_then(Value::as_array).unwrap_or_default();
        for tool in tools.iter().filter_map(Value::as_object) {
            let (Some(name), Some(schema)) = (tool.string("name"), tool.get("inputSchema")) else {
                continue;
            };
            let schema = serde_json::from_slice(&schema.to_bytes()).unwrap_or_default();
            if let Ok(mirrors) = param_headers::read(&schema) {
                self.0.insert(name.into_owned(), mirrors);
            }
        }
    }

    /// Adds the headers for a call of a known tool.
    pub fn add(&self, params: &Object, sent: &mut HeaderMap) {
        let Some(mirrors) = params.string("name").and_then(|name| self.0.get(name.as_ref())) else {
            return;
        };
        let arguments = params.object("arguments");
        for mirror in mirrors {
            let Ok(Some(value)) = mirror.value(arguments.as_deref()) else { continue };
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(&mirror.header), HeaderValue::try_from(value))
            {
                sent.append(name, value);
            }
        }
    }
}

/// A client with its identity.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    identity: Identity,
    next_id: i64,
    pub mirrors: Mirrors,
}

impl Client {
    pub fn new(
        endpoint: Endpoint,
        capabilities: Object,
        log_level: Option<meta::LogLevel>,
    ) -> Self {
        let info =
            serde_json::json!({ "name": "doorward-cli", "version": env!("CARGO_PKG_VERSION") });
        let identity = Identity { info: Some(Value::from_serde(&info)), capabilities, log_level };
        Self { endpoint, identity, next_id: 0, mirrors: Mirrors::default() }
    }

    /// Sends a request; notifications before the response go to `notice`.
    pub async fn request(
        &mut self,
        method: &str,
        mut params: Object,
        notice: &mut dyn FnMut(&str, &Object),
    ) -> Result<Object, Error> {
        self.next_id += 1;
        let id = Id::Number(self.next_id);
        meta::put_client(&mut params, &self.identity, Revision::NEWEST);
        let mut sent = mirrored_headers(method, &params);
        if method == method::TOOLS_CALL {
            self.mirrors.add(&params, &mut sent);
        }
        let body: Bytes = message::request(&id, method, &params);
        let response = self.endpoint.post(sent, body).await?;
        let mut answer = match Answer::open(response, self.endpoint.bounds()).await {
            Ok(answer) => answer,
            Err(Err(failure)) => return Err(failure.into()),
            Err(Ok(none)) => {
                return Err(match none.error {
                    Some(Message::Error { mut error, .. }) => {
                        if none.status == http::StatusCode::UNAUTHORIZED {
                            error.message.push_str("; pass one with --key or DOORWARD_KEY");
                        }
                        Error::Rpc(error)
                    }
                    _ => Error::Unreachable(none.failure()),
                });
            }
        };
        while let Some(message) = answer.next().await? {
            match message {
                Message::Response { id: of, result } if of == id => return Ok(result),
                Message::Error { error, .. } => return Err(Error::Rpc(error)),
                Message::Notification { method, params } => notice(&method, &params),
                Message::Response { .. } | Message::Request { .. } => {}
            }
        }
        Err(Failure::new(
            Kind::StreamEnded,
            "The server closed the response before it was complete",
        )
        .into())
    }

    /// All tools, page by page.
    pub async fn tools(&mut self) -> Result<Vec<Object>, Error> {
        let mut tools = Vec::new();
        let mut cursor: Option<Value> = None;
        for _ in 0..MAX_PAGES {
            let mut params = Object::new();
            if let Some(cursor) = cursor.take() {
                params.set("cursor", cursor);
            }
            let page = self.request(method::TOOLS_LIST, params, &mut |_, _| {}).await?;
            self.mirrors.learn(&page);
            let items = page.get("tools").and_then(Value::as_array).unwrap_or_default();
            tools.extend(
                items.iter().filter_map(|tool| tool.as_object().map(std::borrow::Cow::into_owned)),
            );
            cursor = page.get("nextCursor").filter(|cursor| !cursor.is_null()).cloned();
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }
}
