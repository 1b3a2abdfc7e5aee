//! Reads the description of an API, and sends requests to it.

use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::{Era, Object, RpcError, method};

use super::{Api, read};
use crate::call_error::CallError;
use crate::{Asked, Contact, Link, Server, Transport};
use doorward_config::OpenApiSettings;
use doorward_core::Failure;
use doorward_net::outbound::{self, Author};
use doorward_transport::http::Endpoint;

/// Timeout and maximum size of a description.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 64 << 20;

impl Server {
    /// Reads the description. Sends no request to the API itself.
    pub(crate) async fn find_api(
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
                let public = self.settings.public_only;
                let author = if public { Author::Stranger } else { Author::Operator };
                let fetched = outbound::get_large(from, author, PATIENCE, LARGEST).await;
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

    pub(crate) async fn ask_api(&self, api: &Api, asked: &Asked<'_>) -> Result<Object, CallError> {
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
