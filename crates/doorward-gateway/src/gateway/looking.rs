//! Inspects a server under review: connects, lists, disconnects. It declares no capabilities, so
//! that no request of the server is answered, and it is limited in time.

use std::time::{Duration, Instant};

use doorward_config::{PinSettings, ServerSettings, Start};
use doorward_governance::pins::{Definition, Kind, Place};
use doorward_mcp::meta::Client;
use doorward_mcp::{Era, Value, method};
use doorward_store::{Error, Store, StoredServer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Gateway;
use crate::call::{CallError, Failure};
use doorward_upstream::catalog::{KINDS, PROMPTS, TEMPLATES, TOOLS, View};
use doorward_upstream::{Asked, Deadline, Server};

/// Time limit of an inspection.
const LOOK: Duration = Duration::from_secs(30);
/// Maximum size of all lists together, in bytes.
const MOST_BYTES: usize = 6 << 20;

/// The result of an inspection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Look {
    /// Why the server could not be reached, or its lists could not be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub era: String,
    pub revision: String,
    pub transport: String,
    /// `{name, version, …}`, as stated by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    pub capabilities: serde_json::Value,
    /// Complete definitions.
    pub tools: Vec<serde_json::Value>,
    pub prompts: Vec<serde_json::Value>,
    pub resources: Vec<serde_json::Value>,
    pub templates: Vec<serde_json::Value>,
    /// Remarks for the reviewer: lists that could not be fetched, tools that cannot be served,
    /// schemas that cannot be checked.
    pub findings: Vec<String>,
    pub took_ms: u64,
}

impl Look {
    /// The definitions to pin if the server is approved as inspected. Hashes everything: run it on
    /// a thread that may block.
    pub fn definitions(&self) -> Vec<(Place, Definition)> {
        let era = if self.era == Era::Modern.to_string() { Era::Modern } else { Era::Handshake };
        let lists = [
            (Kind::Tool, &self.tools, KINDS[TOOLS].key),
            (Kind::Prompt, &self.prompts, KINDS[PROMPTS].key),
            (Kind::Template, &self.templates, KINDS[TEMPLATES].key),
        ];
        let named = lists.into_iter().flat_map(|(kind, items, key)| {
            items.iter().filter_map(move |item| {
                let place = Place::new(era, kind, item[key].as_str()?);
                Some((place, Definition::read(&item.to_string().into())))
            })
        });
        let identity = self.server.as_ref().map(|said| (Kind::Identity, said.to_string()));
        let told = self.instructions.as_deref().map(serde_json::Value::from);
        let told = told.map(|said| (Kind::Instructions, said.to_string()));
        let whole = identity.into_iter().chain(told);
        let whole =
            whole.map(|(kind, said)| (Place::new(era, kind, ""), Definition::read(&said.into())));
        named.chain(whole).collect()
    }
}

/// Why a server cannot be inspected or reviewed.
#[derive(Debug, thiserror::Error)]
pub enum NoLook {
    #[error(transparent)]
    Store(#[from] Error),
    /// The review has not begun.
    #[error("nothing connects to '{0}' before its review has begun")]
    NotReviewed(String),
    #[error("{0}")]
    Settings(String),
}

impl Gateway {
    /// The settings of a server in any state: from the configuration file, or for a server proposed
    /// at run time, those that its reviewer has allowed.
    pub fn settings_of(&self, server: &StoredServer) -> Result<ServerSettings, NoLook> {
        if server.origin == doorward_store::ServerOrigin::File {
            let settings = self.settings();
            let found = settings
                .servers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&server.name))
                .map(|(_, wanted)| wanted.clone());
            let gone =
                || format!("the configuration file no longer has a server '{}'", server.name);
            return found.ok_or_else(|| NoLook::Settings(gone()));
        }
        doorward_config::proposal::approved(&server.spec, server.allow_private).map_err(
            |problems| NoLook::Settings(problems.iter().map(|it| format!("{it}; ")).collect()),
        )
    }

    /// Inspects a server under review, and stores the result. `store` acts as the reviewer.
    pub async fn look(&self, store: &Store, name: &str) -> Result<Look, NoLook> {
        let server = store.server(name).await?;
        if server.state == doorward_governance::lifecycle::State::Proposed {
            return Err(NoLook::NotReviewed(server.name));
        }
        let settings = self.settings_of(&server)?;
        if server.origin == doorward_store::ServerOrigin::File
            && settings.approval_digest() != server.digest
        {
            let why =
                format!("'{}' is another server in this gateway's configuration", server.name);
            return Err(NoLook::Settings(why));
        }
        let look = self.look_at(&server.name, settings).await;
        store.keep_look(&server.name, &server.digest, &found(&look)?).await?;
        Ok(look)
    }

    /// Connects to a server, fetches its lists, and disconnects.
    pub async fn look_at(&self, name: &str, settings: ServerSettings) -> Look {
        let begun = Instant::now();
        let settings = settings.with_defaults(&self.settings());
        // Only this request connects to it.
        let pins = PinSettings::off();
        let settings = ServerSettings { start: Start::Lazy, prestart: 0, pins, ..settings };
        let several = !settings.replicas.is_empty();
        let server = Server::new(name, settings, self.shared.clone(), Default::default());
        if several {
            server.keep();
        }
        let seen = tokio::time::timeout(LOOK, see(&server)).await;
        let mut look = match seen {
            Ok(Ok(look)) => look,
            Ok(Err(problem)) => Look { problem: Some(problem), ..Look::default() },
            Err(_) => {
                let problem = format!("the server took longer than {} s", LOOK.as_secs());
                Look { problem: Some(problem), ..Look::default() }
            }
        };
        server.retire();
        if !several {
            server.close();
        }
        look.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        look
    }
}

fn found(look: &Look) -> Result<String, Error> {
    Ok(serde_json::to_string(look)?)
}

async fn see(server: &Server) -> Result<Look, String> {
    let client = Client::default();
    let own = server.own_request(method::TOOLS_LIST, &client);
    let asked = Asked { deadline: Deadline::within(LOOK), ..own };
    let contact = server.contact().await.map_err(|failure| in_words(&failure))?;
    let view = server.catalog.view(server, &asked).await.map_err(|error| match error {
        CallError::Gateway(failure) | CallError::Refused { failure, .. } => in_words(&failure),
        CallError::Rpc(error) => format!("{} (code {})", error.message, error.code),
        CallError::Denied(_) | CallError::InvalidArguments(_) | CallError::Limited(_) => {
            "the gateway refused it".into()
        }
    })?;
    let bytes: usize = view
        .lists
        .iter()
        .flat_map(|list| list.items.iter())
        .map(|item| item.definition.size_hint())
        .sum();
    if bytes > MOST_BYTES {
        return Err(format!("what the server offers is larger than {MOST_BYTES} bytes"));
    }
    let state = server.state();
    let mut findings = Vec::new();
    for failed in &state.failed_lists {
        findings.push(format!("{} failed: {}", failed.list, failed.why));
    }
    for left in &state.left_out {
        findings.push(format!("tool '{}' is not listed: {}", left.tool, left.why));
    }
    for left in &state.unchecked {
        findings.push(format!("tool '{}': {}", left.tool, left.why));
    }
    let about = &contact.about;
    let text = |value: &Option<Value>| {
        value.as_ref().and_then(|value| value.as_str().map(std::borrow::Cow::into_owned))
    };
    Ok(Look {
        problem: None,
        era: contact.era.to_string(),
        revision: contact.revision.to_string(),
        transport: contact.transport.as_str().into(),
        server: about.info.as_ref().map(|info| parsed(&info.to_bytes())),
        instructions: text(&about.instructions),
        capabilities: about.capabilities.to_serde(),
        tools: definitions(&view, TOOLS),
        prompts: definitions(&view, PROMPTS),
        resources: definitions(&view, PROMPTS + 1),
        templates: definitions(&view, TEMPLATES),
        findings,
        took_ms: 0,
    })
}

fn parsed(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap_or_default()
}

fn definitions(view: &View, kind: usize) -> Vec<serde_json::Value> {
    view.lists[kind].items.iter().map(|item| item.definition.to_serde()).collect()
}

/// With the cause: a reviewer is an operator.
fn in_words(failure: &Failure) -> String {
    match &failure.cause {
        Some(cause) => format!("{failure} ({cause})"),
        None => failure.to_string(),
    }
}
